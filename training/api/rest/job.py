"""Jobs at /api/v1: starting them, where they stand, and what an admin may do with them."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from rest_framework import exceptions, serializers

from labeling.api.endpoint import Call, PageAsked, operation
from labeling.states import Role
from training.actions.errors import JobRefused, NotPossible
from training.actions.job import (
    LEAST_PRIORITY,
    MAX_SUFFIX,
    MOST_PRIORITY,
    cancel_job,
    create_job,
    pause_job,
    resume_job,
    set_priority,
)
from training.actions.preflight import start_job
from training.actions.repeat import repeat_job
from training.api.rest.shapes import JobShape, JobSummaryShape
from training.models import BaseModel, DatasetVersion, Job, TunedModel
from training.queries import newest_model
from training.states import JobMethod, JobState, JobTuning

PARTS = ("dataset_version", "base_model", "parent", "tuned_model")


class JobsAsked(PageAsked):
    state = serializers.ChoiceField(required=False, choices=JobState.choices)


class SetupAsked(serializers.Serializer):
    """How a job is run, beside its hyperparameters."""

    recipe = serializers.ChoiceField(required=False, choices=["auto", "corrections", "many_rows"])
    processes = serializers.IntegerField(required=False, min_value=1, max_value=64)
    fsdp = serializers.BooleanField(required=False)


class JobAsked(serializers.Serializer):
    dataset_version = serializers.IntegerField(min_value=1, max_value=2**31 - 1, help_text="its number")
    base_model = serializers.CharField(
        required=False, max_length=60, help_text="the short name of a base model; without it the project's default"
    )
    parent = serializers.CharField(
        required=False, max_length=200, help_text="the name of a model to train further; its base model is the job's"
    )
    method = serializers.ChoiceField(required=False, default=JobMethod.SFT, choices=JobMethod.choices)
    tuning = serializers.ChoiceField(required=False, default=JobTuning.AUTO, choices=JobTuning.choices)
    suffix = serializers.CharField(required=False, default="", allow_blank=True, max_length=MAX_SUFFIX)
    seed = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**31 - 1)
    hyperparameters = serializers.DictField(required=False, default=dict, help_text='each "auto" or a number')
    setup = SetupAsked(required=False)
    waits_for_start = serializers.BooleanField(
        required=False, default=False, help_text="look at it only; it begins after a POST to start/"
    )


class PriorityAsked(serializers.Serializer):
    priority = serializers.IntegerField(min_value=LEAST_PRIORITY, max_value=MOST_PRIORITY)


class Refused(exceptions.APIException):
    status_code = 409
    default_code = "not_possible"


@operation(Role.ADMIN, query=JobsAsked, answer=JobSummaryShape, is_list=True)
def job_list(call: Call) -> dict[str, Any]:
    """List the jobs, newest first."""
    jobs = jobs_of(call)
    return call.page(jobs.filter(state=call.query["state"]) if "state" in call.query else jobs)


@operation(Role.ADMIN, body=JobAsked, answer=JobShape, status=201)
def job_create(call: Call) -> Job:
    """Create a job. It is looked at first, and then queued, or waits to be started."""
    asked = dict(call.body)
    rows = {
        "dataset_version": DatasetVersion.objects.visible_to(call.membership).filter(number=asked["dataset_version"]),
        "base_model": BaseModel.objects.filter(slug=asked.get("base_model")),
        "parent": TunedModel.objects.visible_to(call.membership).named(asked.get("parent", "")),
    }
    for name, found in rows.items():
        if name in asked:
            asked[name] = found.first()
            if asked[name] is None:
                raise serializers.ValidationError({name: ["There is none of this name."]})
    newest = newest_model(call.project)
    known = newest.job.dataset_version if newest else None
    return job_of(call, _create(lambda: create_job(by=call.user, known_version=known, **asked)).key)


@operation(Role.ADMIN, answer=JobShape)
def job_show(call: Call, key: str) -> Job:
    """Show where a job stands: its progress, its place in the queue, why it failed."""
    return job_of(call, key)


@operation(Role.ADMIN, answer=JobShape)
def job_start(call: Call, key: str) -> Job:
    """Queue a job that was looked at and waits to be started."""
    return _act(call, key, start_job)


@operation(Role.ADMIN, answer=JobShape)
def job_pause(call: Call, key: str) -> Job:
    """Pause a job; it goes on from its last checkpoint."""
    return _act(call, key, pause_job)


@operation(Role.ADMIN, answer=JobShape)
def job_resume(call: Call, key: str) -> Job:
    """Put a paused job back into the queue."""
    return _act(call, key, resume_job)


@operation(Role.ADMIN, answer=JobShape)
def job_cancel(call: Call, key: str) -> Job:
    """End a job for good."""
    return _act(call, key, cancel_job)


@operation(Role.ADMIN, body=PriorityAsked, answer=JobShape)
def job_priority(call: Call, key: str) -> Job:
    """Let a job overtake those of a lower priority."""
    return _act(call, key, set_priority, priority=call.body["priority"])


@operation(Role.ADMIN, answer=JobShape, status=201)
def job_retry(call: Call, key: str) -> Job:
    """Create a job like one that failed or was cancelled, on the same dataset version."""
    job = job_of(call, key)
    return job_of(call, _create(lambda: repeat_job(job=job, by=call.user)).key)


def jobs_of(call: Call) -> "QuerySet[Job]":
    return Job.objects.visible_to(call.membership).select_related(*PARTS)


def job_of(call: Call, key: str) -> Job:
    job: Job = call.find(jobs_of(call), key=key)
    return job


def _create(make: Callable[[], Job]) -> Job:
    try:
        return make()
    except JobRefused as error:
        raise serializers.ValidationError({error.field or "hyperparameters": [str(error)]}) from error
    except NotPossible as error:
        raise Refused(str(error)) from error


def _act(call: Call, key: str, action: Callable[..., None], **more: Any) -> Job:
    try:
        action(job=job_of(call, key), by=call.user, **more)
    except NotPossible as error:
        raise Refused(str(error)) from error
    return job_of(call, key)
