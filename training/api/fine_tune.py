"""/v1/fine-tunes, the legacy form of jobs."""

import asyncio
import time
from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from common.wire import DONE, KEEP_ALIVE, WireError, read_json, sse, stream_response
from common.wire_params import Params
from labeling.api.key import require_key
from labeling.models import ApiKey
from labeling.states import Scope
from training.actions.errors import NotPossible
from training.actions.wire_job import cancel_wire_job, delete_job
from training.api import asked
from training.api.events import LegacyLog
from training.api.shapes import JOB_PARTS, Shape, fine_tune_shape
from training.models import Job

POLL_S = 0.4
KEEP_ALIVE_S = 15.0


def create(request: HttpRequest) -> JsonResponse:
    key = require_key(request, Scope.JOBS)
    job = asked.create(asked.read_fine_tune(Params(read_json(request)), key.project), key)
    return JsonResponse(fine_tune_shape(job, _all_events(job)))


def index(request: HttpRequest) -> JsonResponse:
    """All of them, oldest first: this form knows no pages."""
    key = require_key(request, Scope.JOBS)
    return JsonResponse({"object": "list", "data": [fine_tune_shape(job) for job in _jobs(key).order_by("pk")]})


def show(request: HttpRequest, name: str) -> JsonResponse:
    job = _find(request, name)
    return JsonResponse(fine_tune_shape(job, _all_events(job)))


def cancel(request: HttpRequest, name: str) -> JsonResponse:
    job = _find(request, name)
    try:
        cancel_wire_job(job=job, by=request.api_key.user)  # type: ignore[attr-defined]
    except NotPossible as error:
        raise WireError(f"Fine-tune {name} has already completed.", param="id") from error
    job = _find(request, name)
    return JsonResponse(fine_tune_shape(job, _all_events(job)))


def delete(request: HttpRequest, name: str) -> JsonResponse:
    """Takes the job off the list; its model stays and is deleted as a model."""
    job = _find(request, name)
    try:
        delete_job(job=job)
    except NotPossible as error:
        raise WireError(str(error), param="id") from error
    return JsonResponse({"id": job.key, "object": "fine-tune", "deleted": True})


async def events(request: HttpRequest, name: str) -> HttpResponseBase:
    """The log, oldest first; with `stream=true` as a stream that tells all from the first and ends with the job."""
    job = await sync_to_async(_find)(request, name)
    if request.GET.get("stream", "").lower() == "true":
        return stream_response(_follow(job))
    return JsonResponse({"object": "list", "data": await sync_to_async(_all_events)(job)})


async def _follow(job: Job) -> AsyncIterator[str]:
    log, n_read = LegacyLog(job), 0
    said_at = time.monotonic()
    while True:
        shapes, n_read, has_ended = await sync_to_async(_read_on)(log, n_read)
        for shape in shapes:
            yield sse(shape)
        if has_ended:
            yield DONE
            return
        now = time.monotonic()
        if shapes:
            said_at = now
        elif now - said_at > KEEP_ALIVE_S:
            said_at = now
            yield KEEP_ALIVE
        await asyncio.sleep(POLL_S)


def _read_on(log: LegacyLog, n_read: int) -> tuple[list[Shape], int, bool]:
    """Return what came after the event number `n_read`, the last number now, and whether that was all."""
    job = Job.objects.select_related(*JOB_PARTS).get(pk=log.job.pk)  # the state first: nothing comes after its end
    log.job = job
    found = list(job.events.filter(number__gt=n_read).order_by("number"))
    return log.feed(found), found[-1].number if found else n_read, job.has_ended


def _all_events(job: Job) -> list[Shape]:
    return LegacyLog(job).feed(job.events.order_by("number"))


def _jobs(key: ApiKey) -> "QuerySet[Job]":
    return Job.objects.of_api(key.project, is_legacy=True).select_related(*JOB_PARTS)


def _find(request: HttpRequest, name: str) -> Job:
    key = require_key(request, Scope.JOBS)
    job = _jobs(key).filter(key=name).first()
    if job is None:
        raise WireError(f"No fine-tune job: {name[:100]}", status=404, param="id")
    return job
