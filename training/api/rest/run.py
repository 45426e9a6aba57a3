"""What a job's run tells, at /api/v1: preflight, events, figures, checkpoints, and several jobs side by side."""

from typing import Any

from django.http.response import HttpResponseBase
from rest_framework import serializers

from common.exports import send_folder
from labeling.api.endpoint import Call, operation
from labeling.states import Role
from training.actions.checkpoint import request_model
from training.actions.errors import NotPossible
from training.api.rest.job import Refused, job_of, jobs_of
from training.api.rest.shapes import CheckpointShape, ComparedJobsShape, EventShape, MetricsShape, PreflightShape
from training.curves import differences
from training.models import Checkpoint, Event, Job, JobPreflight
from training.queries import checkpoints, loss_points

MAX_JOBS = 3


class EventsAsked(serializers.Serializer):
    """The part of a job's log that is wanted, oldest first."""

    after = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**31 - 1)
    limit = serializers.IntegerField(required=False, default=200, min_value=1, max_value=1000)


class JobsCompared(serializers.Serializer):
    job = serializers.ListField(
        child=serializers.CharField(max_length=40), min_length=1, max_length=MAX_JOBS, help_text="keys of jobs"
    )


@operation(Role.ADMIN, answer=PreflightShape)
def job_preflight(call: Call, key: str) -> JobPreflight:
    """Show what was found before a job could take a slot; `finished_at` is null while it is looked at."""
    rows = JobPreflight.objects.filter(job__in=Job.objects.visible_to(call.membership))
    preflight: JobPreflight = call.find(rows, job__key=key)
    return preflight


@operation(Role.ADMIN, query=EventsAsked, answer=EventShape, is_list=True)
def job_events(call: Call, key: str) -> dict[str, Any]:
    """List the events of a job from a number on, oldest first; `next` is the number to go on after."""
    rows = Event.objects.filter(job=job_of(call, key), number__gt=call.query["after"]).order_by("number")
    limit = call.query["limit"]
    found = list(rows[: limit + 1])
    return {"items": found[:limit], "next": found[limit - 1].number if len(found) > limit else None}


@operation(Role.ADMIN, answer=MetricsShape, is_list=True)
def job_metrics(call: Call, key: str) -> list[dict[str, Any]]:
    """List what was measured at each step; of a step that a resumed run repeated, the last figures."""
    return _points(job_of(call, key))


@operation(Role.ADMIN, answer=CheckpointShape, is_list=True)
def job_checkpoints(call: Call, key: str) -> list[dict[str, Any]]:
    """List the checkpoints that a job has written, oldest first, with what was measured at their steps."""
    return checkpoints(job_of(call, key))


@operation(Role.ADMIN, media=("application/x-tar",))
def job_tensorboard(call: Call, key: str) -> HttpResponseBase:
    """Download what TensorBoard reads of the figures, as one tar file."""
    job = job_of(call, key)
    if not job.tensorboard_dir.is_dir():
        raise Refused("The job has not written any figures for TensorBoard on this machine.")
    return send_folder(job.tensorboard_dir, name=f"{job.key}-tensorboard")


@operation(Role.ADMIN, answer=CheckpointShape, status=202)
def job_checkpoint_model(call: Call, key: str, step: int) -> dict[str, Any]:
    """Have a checkpoint made a model of its own; `model` names it once it is one. 409 while the job has not ended."""
    job = job_of(call, key)
    checkpoint = call.find(Checkpoint.objects.filter(job=job).select_related("job"), step=step)
    try:
        request_model(checkpoint=checkpoint, by=call.user)
    except NotPossible as error:
        raise Refused(str(error)) from error
    return next(each for each in checkpoints(job) if each["step"] == step)


@operation(Role.ADMIN, query=JobsCompared, answer=ComparedJobsShape)
def job_compare(call: Call) -> dict[str, Any]:
    """Show up to three jobs side by side: what differs between them, and their figures."""
    jobs = [call.find(jobs_of(call), key=key) for key in dict.fromkeys(call.query["job"])]
    started = [job.events.filter(code="started").order_by("number").first() for job in jobs]
    rows = differences(jobs, [event.data if event else {} for event in started])
    return {
        "jobs": jobs,
        "differences": [{"name": name, "values": values} for name, values in rows],
        "curves": [{"job": job.key, "points": _points(job)} for job in jobs],
    }


def _points(job: Job) -> list[dict[str, Any]]:
    return [{"step": point["step"], "values": point} for point in loss_points(job)]
