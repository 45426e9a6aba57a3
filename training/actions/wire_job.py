"""Jobs that are created over the API from uploaded files."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from common.wire import new_id
from labeling.models import User
from training.actions.errors import BaseModelNotReady, FileRefused, NotPossible
from training.actions.event import append_event
from training.actions.file import freeze_files
from training.actions.hyperparameters import check_hyperparameters
from training.actions.job import (
    cancel_job,
    change_state,
    normalise_suffix,
    prepare_job,
)
from training.models import BaseModel, File, Job, TunedModel
from training.states import ErrorKind, FileFormat, JobMethod, JobState, Split

MIN_EXAMPLES = 10
MAX_SEED = 2**31 - 1
PLAIN = {"recipe": "many_rows"}  # who uploads a file expects its rows to be learnt, and nothing else
REPEATED = "repeated"
INTEGRATIONS = "integrations"
NOT_SERVED = "not_served"


@dataclass(frozen=True)
class JobRequest:
    """What a client asks for. `words` are echoed as they came; `model` is the name it used for the base model.

    `without_effect` names what is kept and changes nothing here, which the job's log says.
    """

    training_file: File
    validation_file: File | None
    base_model: BaseModel
    parent: TunedModel | None = None
    suffix: str = ""
    method: str = JobMethod.SFT
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    metadata: dict[str, str] | None = None
    words: dict[str, Any] = field(default_factory=dict)
    is_legacy: bool = False
    without_effect: tuple[str, ...] = ()


def create_wire_job(*, request: JobRequest, by: User | None = None) -> Job:
    """Create a job of uploaded files: they become a dataset version of the project.

    Fewer than ten rows fail a job of the present form, as its users expect; a legacy job takes what there is. Raises
    FileRefused, LeakedProbe, BaseModelNotReady or BadHyperparameter.
    """
    if not (request.parent or request.base_model).is_ready:
        raise BaseModelNotReady
    is_preference = request.training_file.format == FileFormat.PREFERENCE
    if is_preference and request.method != JobMethod.DPO:
        raise FileRefused("Rows of preferences need the method dpo.", field="training_file")
    if request.method == JobMethod.DPO and not is_preference:
        raise FileRefused(
            "The method dpo needs rows with input, preferred_output and non_preferred_output.", field="training_file"
        )
    hyperparameters = check_hyperparameters(request.hyperparameters, method=request.method)
    version = freeze_files(training_file=request.training_file, validation_file=request.validation_file, by=by)
    with transaction.atomic():
        job = Job.objects.create(
            project_id=version.project_id,
            key=new_id("ft-" if request.is_legacy else "ftjob-"),
            dataset_version=version,
            base_model=request.base_model,
            parent=request.parent,
            suffix=normalise_suffix(request.suffix),
            method=request.method,
            seed=secrets.randbelow(MAX_SEED) if request.seed is None else request.seed,
            hyperparameters=hyperparameters,
            setup={} if "recipe" in request.base_model.setup else PLAIN,
            training_file=request.training_file,
            validation_file=request.validation_file,
            is_legacy=request.is_legacy,
            request=request.words,
            metadata=request.metadata,
            created_by=by,
        )
        append_event(job, JobState.VALIDATING_FILES)
        if version.n_train < MIN_EXAMPLES and not request.is_legacy:
            message = f"Training file has {version.n_train} example(s), but must have at least {MIN_EXAMPLES} examples"
            now = timezone.now()
            change_state(job, JobState.FAILED, error_kind=ErrorKind.DATA, error=message, finished_at=now)
            return job
    prepare_job(job=job)
    n_repeated = version.n_train - version.rows.filter(split=Split.TRAIN).values("row_hash").distinct().count()
    if n_repeated:
        append_event(job, REPEATED, {"n": n_repeated})
    if request.words.get("integrations"):
        append_event(job, INTEGRATIONS)
    if request.without_effect:
        append_event(job, NOT_SERVED, {"names": list(request.without_effect)})
    return job


def cancel_wire_job(*, job: Job, by: User | None = None) -> None:
    """Cancel a job that neither has ended nor is being cancelled. Raises NotPossible."""
    if is_over(job):
        raise NotPossible(f"Job has already completed: {job.key}")
    cancel_job(job=job, by=by)


def delete_job(*, job: Job) -> None:
    """Take a job that has ended off the API's lists. Its pages, its model and its files stay. Raises NotPossible."""
    if not job.has_ended:
        raise NotPossible(f"Job is still {job.state}: {job.key}. Cancel it first.")
    Job.objects.filter(pk=job.pk).update(deleted_at=timezone.now())


def is_over(job: Job) -> bool:
    """Whether the job has ended or is being cancelled, which nothing can undo."""
    return job.has_ended or job.cancel_requested_at is not None
