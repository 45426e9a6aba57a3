"""The checkpoints of a job, as its page and the API list them."""

from dataclasses import dataclass

from training.models import Checkpoint, Job


@dataclass(frozen=True)
class Listed:
    """`is_best`: of those that are kept, the one with the lowest validation loss; `is_result`: its weights are the job's model."""

    row: Checkpoint
    is_best: bool
    is_last: bool
    is_result: bool


def list_checkpoints(job: Job) -> list[Listed]:
    """Return what is kept, newest first."""
    rows = list(Checkpoint.objects.filter(job=job).select_related("model").order_by("-step"))
    measured = [row for row in rows if row.valid_loss is not None]
    best = min(measured, key=lambda row: (row.valid_loss, row.step)) if len(measured) > 1 else None
    ended_with = job.result.get("best_step") or (rows[0].step if rows else None)
    return [
        Listed(
            row=row,
            is_best=row == best,
            is_last=row == rows[0],
            is_result=job.tuned_model_id is not None and row.step == ended_with,
        )
        for row in rows
    ]
