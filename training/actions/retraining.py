"""Training a model anew without what was taken back since."""

from labeling.models import User
from training.actions.dataset import freeze_dataset
from training.actions.job import create_job
from training.models import Job, TunedModel
from training.queries import newest_model


def retrain_without_retracted(*, model: TunedModel, by: User | None) -> Job:
    """Freeze the examples that are left and start a job on them with the settings of the model's own job.

    A model that goes on from one with retracted rows starts from that one's base model instead. Raises what freezing and
    creating a job raise: NothingToFreeze, LeakedProbe, JobRefused.
    """
    former = model.job
    note = f"without retracted rows, after {model.name}"[:500]
    version = freeze_dataset(project=model.project, by=by, note=note)
    newest = newest_model(model.project)
    return create_job(
        dataset_version=version,
        base_model=former.base_model,
        suffix=former.suffix,
        hyperparameters=former.hyperparameters,
        seed=former.seed,
        setup=former.setup,
        by=by,
        known_version=newest.job.dataset_version if newest else None,
    )
