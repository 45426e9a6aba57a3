"""/v1/fine_tuning/jobs."""

import re
from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, JsonResponse, QueryDict

from common.wire import WireError, read_json
from common.wire_params import Params, list_page
from labeling.api.key import require_key
from labeling.models import ApiKey
from labeling.states import Scope
from training.actions.errors import NotPossible
from training.actions.job import pause_job, resume_job
from training.actions.wire_job import cancel_wire_job, is_over
from training.api import asked
from training.api.events import job_events, parse_event_id
from training.api.shapes import JOB_PARTS, checkpoint_shapes, job_shape
from training.models import Job

EVENTS, MAX_EVENTS = 20, 1000
METADATA_FIELD = re.compile(r"metadata\[(.*)\]", re.DOTALL)


def create(request: HttpRequest) -> JsonResponse:
    key = require_key(request, Scope.JOBS)
    job = asked.create(asked.read_job(Params(read_json(request)), key.project), key)
    return JsonResponse(job_shape(job))


def index(request: HttpRequest) -> JsonResponse:
    key = require_key(request, Scope.JOBS)
    rows = _filter_metadata(_jobs(key), request.GET)
    return JsonResponse(list_page(rows, request.GET, show=job_shape))


def show(request: HttpRequest, name: str) -> JsonResponse:
    return JsonResponse(job_shape(_find(request, name)))


def cancel(request: HttpRequest, name: str) -> JsonResponse:
    return _act(request, name, cancel_wire_job)


def pause(request: HttpRequest, name: str) -> JsonResponse:
    return _act(request, name, pause_job)


def resume(request: HttpRequest, name: str) -> JsonResponse:
    return _act(request, name, resume_job)


def events(request: HttpRequest, name: str) -> JsonResponse:
    job = _find(request, name)
    limit = read_limit(request.GET, EVENTS, MAX_EVENTS)
    after = None
    if text := request.GET.get("after"):
        after = parse_event_id(job, text)
        if after is None:
            raise WireError(f"Invalid 'after': there is no {text[:100]!r} in this list.", param="after")
    return JsonResponse(_page(job_events(job, after=after, limit=limit + 1), limit))


def checkpoints(request: HttpRequest, name: str) -> JsonResponse:
    job = _find(request, name)
    limit = read_limit(request.GET, 10, 100)
    found = checkpoint_shapes(job)
    if text := request.GET.get("after"):
        places = [place for place, shape in enumerate(found) if shape["id"] == text]
        if not places:
            raise WireError(f"Invalid 'after': there is no {text[:100]!r} in this list.", param="after")
        found = found[places[0] + 1 :]
    return JsonResponse(_page(found, limit))


def read_limit(query: QueryDict, default: int, most: int) -> int:
    text = query.get("limit")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= 1):
        raise WireError(f"Invalid 'limit': expected an integer from 1 to {most}.", param="limit")
    return min(int(text), most)


def _page(found: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    data = found[:limit]
    return {
        "object": "list",
        "data": data,
        "has_more": len(found) > limit,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def _jobs(key: ApiKey) -> "QuerySet[Job]":
    return Job.objects.of_api(key.project, is_legacy=False).select_related(*JOB_PARTS)


def _find(request: HttpRequest, name: str) -> Job:
    key = require_key(request, Scope.JOBS)
    job = _jobs(key).filter(key=name).first()
    if job is None:
        message = f"Could not find fine tune: {name[:100]}"
        raise WireError(message, status=404, param="fine_tune_id", code="fine_tune_not_found")
    return job


def _act(request: HttpRequest, name: str, action: Callable[..., None]) -> JsonResponse:
    job = _find(request, name)
    if is_over(job):
        raise WireError(f"Job has already completed: {name}", code="invalid_state")
    try:
        action(job=job, by=request.api_key.user)  # type: ignore[attr-defined]
    except NotPossible as error:
        raise WireError(f"{error} ({name} is {job.state})", code="invalid_state") from error
    return JsonResponse(job_shape(_jobs(request.api_key).get(pk=job.pk)))  # type: ignore[attr-defined]


def _filter_metadata(rows: "QuerySet[Job]", query: QueryDict) -> "QuerySet[Job]":
    """Keep the jobs that have all pairs `metadata[key]=value` of the query; `metadata=null`: those that have none."""
    if query.get("metadata") == "null":
        return rows.filter(metadata__isnull=True)
    pairs = {match[1]: query[name] for name in query if (match := METADATA_FIELD.fullmatch(name))}
    if not pairs:
        return rows
    found = [
        pk
        for pk, metadata in rows.filter(metadata__isnull=False).values_list("pk", "metadata")
        if pairs.items() <= (metadata or {}).items()
    ]
    return rows.filter(pk__in=found)
