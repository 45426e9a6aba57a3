"""Whether the next model may go on from the last one, instead of from the base model."""

from training.models import DatasetVersion, TunedModel
from training.states import JobMethod, Split

# Weights are rounded with each turn, and what a turn forgets is not measured against what came before it.
MOST_TURNS = 5


def can_continue(model: TunedModel, *, version: DatasetVersion) -> bool:
    """Whether a job on `version` may go on from `model`.

    It may if the version has every row that the model has learnt: what was taken back or replaced would else live on in the
    weights. A second job on a version begins anew, and so does one after `MOST_TURNS` models that went on from each other.
    """
    job = model.job
    if not model.is_ready or job.method != JobMethod.SFT or job.result.get("recipe") != "corrections":
        return False
    if version.jobs.exists() or _n_turns(model) >= MOST_TURNS:
        return False
    here = version.rows.filter(split=Split.TRAIN).values("row_hash")
    return not job.dataset_version.rows.filter(split=Split.TRAIN).exclude(row_hash__in=here).exists()


def _n_turns(model: TunedModel) -> int:
    n = 0
    while model.job.parent is not None and n < MOST_TURNS:
        n, model = n + 1, model.job.parent
    return n
