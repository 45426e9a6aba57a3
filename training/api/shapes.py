"""Rows as the API shows them. Jobs come with their files, base model and tuned model fetched (`JOB_PARTS`)."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from training.actions.wire_job import MIN_EXAMPLES
from training.models import Checkpoint, File, Job
from training.states import CheckpointState, ErrorKind, JobState

JOB_PARTS = (
    "base_model",
    "dataset_version",
    "training_file",
    "validation_file",
    "result_file",
    "tuned_model",
    "parent",
)
SHOWN_HYPERPARAMETERS = ("n_epochs", "batch_size", "learning_rate_multiplier")
DPO_HYPERPARAMETERS = ("beta", "sft_weight")
LEGACY_STATES = {
    JobState.VALIDATING_FILES: "pending",
    JobState.QUEUED: "pending",
    JobState.PAUSED: "pending",
}
PROMPT_LOSS_WEIGHT = 0.01
Shape = dict[str, Any]


def seconds(moment: datetime | None) -> int | None:
    return int(moment.timestamp()) if moment else None


def file_shape(file: File) -> Shape:
    return {
        "id": file.key,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": seconds(file.created_at),
        "expires_at": seconds(file.expires_at),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed" if file.is_live else "deleted",
        "status_details": None,
    }


def job_shape(job: Job) -> Shape:
    words = job.request
    hyperparameters = _hyperparameters(job)
    kind = words.get("method", {}).get("type", "supervised")
    details = dict(hyperparameters)
    if kind == "dpo":
        resolved = _resolved(job)
        for name in DPO_HYPERPARAMETERS:
            details[name] = resolved.get(name, job.hyperparameters.get(name, "auto"))
    return {
        "id": job.key,
        "object": "fine_tuning.job",
        "created_at": seconds(job.created_at),
        "finished_at": seconds(job.finished_at or job.cancel_requested_at),
        "model": words.get("model") or job.base_model.slug,
        "fine_tuned_model": model_name(job),
        "organization_id": organization_id(),
        "status": status(job),
        "training_file": job.training_file.key if job.training_file else None,
        "validation_file": job.validation_file.key if job.validation_file else None,
        "result_files": [job.result_file.key] if job.result_file else [],
        "trained_tokens": job.result.get("n_tokens") if job.state == JobState.SUCCEEDED else None,
        "estimated_finish": _estimated_finish(job),
        "error": _error(job),
        "hyperparameters": hyperparameters,
        "method": {"type": kind, kind: {"hyperparameters": details}},
        "seed": job.seed,
        "integrations": words.get("integrations") or [],
        "metadata": job.metadata,
        "user_provided_suffix": words.get("suffix"),
    }


def fine_tune_shape(job: Job, events: Iterable[Shape] | None = None) -> Shape:
    """Return the legacy form; lists leave the events out."""
    asked = job.request.get("hyperparams", {})
    found = {name: None if value == "auto" else value for name, value in _hyperparameters(job).items()}
    moments = (job.created_at, job.started_at, job.heartbeat_at, job.finished_at, job.cancel_requested_at)
    shape = {
        "object": "fine-tune",
        "id": job.key,
        "model": job.request.get("model") or job.base_model.slug,
        "created_at": seconds(job.created_at),
        "updated_at": seconds(max(moment for moment in moments if moment)),
        "status": LEGACY_STATES.get(JobState(job.state), job.state) if status(job) != "cancelled" else "cancelled",
        "fine_tuned_model": model_name(job),
        "organization_id": organization_id(),
        "hyperparams": {"prompt_loss_weight": PROMPT_LOSS_WEIGHT, **found, **asked},
        "training_files": [file_shape(job.training_file)] if job.training_file else [],
        "validation_files": [file_shape(job.validation_file)] if job.validation_file else [],
        "result_files": [file_shape(job.result_file)] if job.result_file else [],
    }
    return shape if events is None else {**shape, "events": list(events)}


def checkpoint_shapes(job: Job) -> list[Shape]:
    """Return the checkpoints that can be asked, newest first: the model itself, as the last one, and those made models since."""
    return [*_last_checkpoint(job), *_checkpoints(job)]


def _checkpoints(job: Job) -> list[Shape]:
    made = (CheckpointState.MADE,)
    rows = Checkpoint.objects.filter(job=job, state__in=made, model__deleted_at=None).select_related("model")
    return [
        {
            "object": "fine_tuning.job.checkpoint",
            "id": f"ftckpt_{job.key.rpartition('-')[2]}_{row.step}",
            "created_at": seconds(row.created_at),
            "fine_tuned_model_checkpoint": row.model.name,
            "fine_tuning_job_id": job.key,
            "step_number": row.step,
            "metrics": _measured(
                step=row.step,
                train_loss=row.train_loss,
                valid_loss=row.valid_loss,
                valid_mean_token_accuracy=row.valid_token_accuracy,
            ),
        }
        for row in rows.order_by("-step")
        if row.model
    ]


def _measured(**values: float | None) -> Shape:
    return {name: value for name, value in values.items() if value is not None}


def _last_checkpoint(job: Job) -> list[Shape]:
    name = model_name(job)
    if name is None:
        return []
    last = job.events.filter(code="metrics").order_by("-number").values_list("data", flat=True).first() or {}
    found = _measured(
        step=job.step,
        train_loss=last.get("loss"),
        train_mean_token_accuracy=last.get("token_accuracy"),
        full_valid_loss=job.result.get("valid_loss"),
    )
    return [
        {
            "object": "fine_tuning.job.checkpoint",
            "id": f"ftckpt_{job.key.rpartition('-')[2]}",
            "created_at": seconds(job.finished_at),
            "fine_tuned_model_checkpoint": name,
            "fine_tuning_job_id": job.key,
            "step_number": job.step,
            "metrics": found,
        }
    ]


def status(job: Job) -> str:
    """Return the state; a job that is being stopped for good counts as cancelled, since nothing can undo that."""
    return "cancelled" if job.cancel_requested_at and not job.has_ended else str(job.state)


def model_name(job: Job) -> str | None:
    model = getattr(job, "tuned_model", None)
    if model is None:
        return None
    return model.alias if job.is_legacy and model.alias else model.name


def organization_id() -> str:
    return f"org-{settings.ORGANISATION}"


def _resolved(job: Job) -> Shape:
    """Return the trainer's hyperparameters, {} before it has decided on them."""
    if job.result.get("hyperparameters") or not job.started_at:
        return job.result.get("hyperparameters") or {}
    data = job.events.filter(code="started").values_list("data", flat=True).first()
    return (data or {}).get("hyperparameters") or {}


def _hyperparameters(job: Job) -> Shape:
    resolved = _resolved(job)
    if resolved:
        resolved = {"learning_rate_multiplier": 1.0, **resolved}
    asked = job.hyperparameters
    return {
        name: resolved.get(name, "auto") if asked.get(name, "auto") == "auto" else asked[name]
        for name in SHOWN_HYPERPARAMETERS
    }


def _estimated_finish(job: Job) -> int | None:
    if job.state != JobState.RUNNING or job.remaining_s is None or job.heartbeat_at is None:
        return None
    return seconds(job.heartbeat_at + timedelta(seconds=job.remaining_s))


def _error(job: Job) -> Shape | None:
    if job.state != JobState.FAILED:
        return None
    if job.error_kind != ErrorKind.DATA:
        code, param = "server_error", None
    elif job.dataset_version.n_train < MIN_EXAMPLES:
        code, param = "invalid_n_examples", "training_file"
    else:
        code, param = "invalid_training_file", "training_file"
    return {"code": code, "message": job.error or "The job failed.", "param": param}
