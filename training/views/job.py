import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from common.exports import send_folder
from common.htmx import STOP_POLLING, render_page
from common.pagination import paginate
from labeling.models import Membership
from labeling.queries import require_member
from labeling.states import Role
from training.actions.errors import NotPossible
from training.actions.job import (
    LEAST_PRIORITY,
    MOST_PRIORITY,
    cancel_job,
    pause_job,
    resume_job,
    set_priority,
)
from training.charts import line_chart
from training.curves import curves
from training.forms.job import PriorityForm
from training.models import Event, Job
from training.queries import continuations, loss_points
from training.queries.checkpoint import list_checkpoints
from training.queries.lineage import ancestors_of
from training.queries.queue import find_place
from training.states import ErrorKind, JobState

AT_WORK = (JobState.VALIDATING_FILES, JobState.QUEUED, JobState.RUNNING)
N_EVENTS_SHOWN = 40
STREAM_POLL_S = 0.5
KEEP_ALIVE_S = 15.0


@require_GET
@login_required
def job_list(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    jobs = Job.objects.visible_to(membership).select_related(
        "dataset_version", "base_model", "tuned_model", "preflight"
    )
    return render_page(request, "training/job_list.html", {"page": paginate(request, jobs)})


@require_GET
@login_required
def job_show(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    """The job's page; to htmx its live piece, which is asked for until the job rests."""
    membership = require_member(request, slug, Role.ADMIN)
    job = _find(membership, key)
    context = _page(job, is_whole_log=request.GET.get("events") == "all")
    is_last = bool(request.htmx) and not context["is_at_work"]  # type: ignore[attr-defined]
    status = STOP_POLLING if is_last else 200
    return render_page(request, "training/job_show.html", context, fragment="training/_job_live.html", status=status)


@require_GET
@login_required
def job_tensorboard(request: HttpRequest, slug: str, key: str) -> HttpResponseBase:
    """What TensorBoard reads of the job's figures, as a tar file."""
    job = _find(require_member(request, slug, Role.ADMIN), key)
    if not job.tensorboard_dir.is_dir():
        messages.error(request, _("The job has not written any figures for TensorBoard on this machine."))
        return redirect("training-job-show", slug, key)
    return send_folder(job.tensorboard_dir, name=f"{job.key}-tensorboard")


@require_POST
@login_required
def job_cancel(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    return _act(request, slug, key, cancel_job)


@require_POST
@login_required
def job_pause(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    return _act(request, slug, key, pause_job)


@require_POST
@login_required
def job_resume(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    return _act(request, slug, key, resume_job)


@require_POST
@login_required
def job_priority(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    _find(require_member(request, slug, Role.ADMIN), key)
    form = PriorityForm(request.POST)
    if form.is_valid():
        return _act(request, slug, key, partial(set_priority, priority=form.cleaned_data["priority"]))
    messages.error(request, _("A priority is a number from %d to %d.") % (LEAST_PRIORITY, MOST_PRIORITY))
    return redirect("training-job-show", slug, key)


@require_GET
@login_required
async def job_stream(request: HttpRequest, slug: str, key: str) -> StreamingHttpResponse:
    """The job's events as server-sent events, whose ids are the events' numbers.

    A browser that lost the connection goes on from the number that it saw last. The stream ends with an event `end`
    when the job has ended.
    """
    membership = await sync_to_async(require_member)(request, slug, Role.ADMIN)
    job = await sync_to_async(_find)(membership, key)
    seen = request.headers.get("Last-Event-ID") or request.GET.get("after", "")
    response = StreamingHttpResponse(
        _events(job, after=int(seen) if seen.isdecimal() else 0), content_type="text/event-stream"
    )
    response["Cache-Control"] = "no-cache"
    response["X-Accel-Buffering"] = "no"
    return response


async def _events(job: Job, *, after: int) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    said_at = time.monotonic()
    while True:
        # The state is read before the events: what a job said before it ended is never missed.
        await job.arefresh_from_db(fields=["state"])
        async for event in Event.objects.filter(job=job, number__gt=after).order_by("number"):
            after, said_at = event.number, time.monotonic()
            data = {"number": event.number, "code": event.code, "at": event.at.isoformat(), "data": event.data}
            yield f"id: {event.number}\ndata: {json.dumps(data)}\n\n"
        if job.has_ended:
            yield f"event: end\ndata: {job.state}\n\n"
            return
        if time.monotonic() - said_at > KEEP_ALIVE_S:
            said_at = time.monotonic()
            yield ": still there\n\n"
        await asyncio.sleep(STREAM_POLL_S)


def _find(membership: Membership, key: str) -> Job:
    jobs = Job.objects.visible_to(membership).select_related(
        "dataset_version", "base_model", "created_by", "parent__job", "preflight", "tuned_model"
    )
    return get_object_or_404(jobs, key=key)


def _act(request: HttpRequest, slug: str, key: str, action: Callable[..., None]) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    job = _find(membership, key)
    try:
        action(job=job, by=membership.user)
    except NotPossible as error:
        messages.error(request, str(error))
    return redirect("training-job-show", slug, key)


def _page(job: Job, *, is_whole_log: bool) -> dict[str, Any]:
    points = loss_points(job)
    valid = [(point["step"], point["valid_loss"]) for point in points if point.get("valid_loss") is not None]
    started = job.events.filter(code="started").order_by("number").first()
    smoke = job.events.filter(code="smoke_test").order_by("-number").first()
    checkpoints = list_checkpoints(job)
    found = job.result or (started.data if started else {})
    reasons = found.get("auto") or {}
    n_events = job.events.count()
    preflight = getattr(job, "preflight", None)
    report = preflight.report if preflight else {}
    n_trained = next((n for n in (found.get("n_train"), report.get("n_train")) if n is not None), None)
    n_shown = n_events if is_whole_log else min(n_events, N_EVENTS_SHOWN)
    return {
        "job": job,
        "preflight": preflight,
        "waits": job.state == JobState.VALIDATING_FILES and preflight is not None and preflight.waits_for_start,
        "n_trained": n_trained,
        "model": job.tuned_model,
        "is_at_work": job.state in AT_WORK or any(each.row.is_at_work for each in checkpoints),
        "is_stopping": job.state == JobState.RUNNING and job.cancel_requested_at is not None,
        "latest": points[-1] if points else {},
        "chart": line_chart([(_("Training"), [(p["step"], p["loss"]) for p in points]), (_("Validation"), valid)]),
        "points": points[-100:],
        "curves": [curve for curve in curves([(job.key, points)]) if curve.name not in ("loss", "valid_loss")],
        "place": find_place(job),
        "least_priority": LEAST_PRIORITY,
        "most_priority": MOST_PRIORITY,
        "hyperparameters": [
            {"name": name, "value": value, "reason": _(reasons[name]) if reasons.get(name) else ""}
            for name, value in (found.get("hyperparameters") or {}).items()
        ],
        "checkpoints": checkpoints,
        "checkpoints_bytes": sum(each.row.size_bytes for each in checkpoints),
        "can_make_models": job.state in (JobState.SUCCEEDED, JobState.FAILED),
        "smoke": smoke.data if smoke else None,
        "ancestors": [job.parent, *ancestors_of(job.parent)] if job.parent else [],
        "continuations": continuations(job),
        "preferences": _preferences(job, started.data if started else {}) if job.learns_preferences else None,
        "events": [
            {"row": event, "label": _event_label(event.code)} for event in job.events.order_by("-number")[:n_shown]
        ],
        "n_events": n_events,
        "n_events_hidden": n_events - n_shown,
        "is_whole_log": is_whole_log,
        "advice": ErrorKind(job.error_kind).label if job.error_kind in ErrorKind.values else "",
    }


def _preferences(job: Job, started: dict[str, Any]) -> dict[str, Any]:
    """Return what became of the held-out pairs, and which rows were none."""
    after, before = job.result, job.result.get("before") or {}
    measures = (
        ("valid_margin", _("Margin, nats a pair"), 2),
        ("valid_token_margin", _("Margin, nats a token"), 3),
        ("valid_preferred", _("Chosen answer likelier, by token"), 2),
        ("valid_loss", _("Loss of the chosen, nats a token"), 3),
    )
    return {
        "n_without_rejected": started.get("n_without_rejected", 0),
        "n_too_long": started.get("n_too_long", 0),
        "rows": [
            {"label": label, "before": before[name], "after": after.get(name), "digits": digits}
            for name, label, digits in measures
            if name in before
        ],
    }


def _event_label(code: str) -> str:
    if code in JobState.values:
        return str(JobState(code).label)
    labels = {
        "started": _("Training began"),
        "resumed": _("Training went on"),
        "metrics": _("Step"),
        "checkpoint": _("Checkpoint saved"),
        "best_kept": _("Best checkpoint kept"),
        "merging": _("Weights are merged"),
        "smoke_test": _("Model tried"),
        "stopped": _("Trainer stopped"),
        "finished": _("Trainer finished"),
        "queue": _("Place in the queue"),
        "integrations": _("Integrations are not served"),
        "not_served": _("Settings without effect"),
        "repeated": _("Rows that are repeated"),
    }
    return labels.get(code, code)
