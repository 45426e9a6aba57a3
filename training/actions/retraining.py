"""Training a model anew without what was taken back since."""

from labeling.models import User
from training.actions.composition import Composition
from training.actions.dataset import freeze_dataset
from training.actions.job import create_job
from training.models import Job, TunedModel
from training.queries import newest_model
from training.queries.lineage import ancestors_of, retracted_counts_of_models


def retrain_without_retracted(*, model: TunedModel, by: User | None) -> Job:
    """Freeze what is left by the rules of the model's version and start a job on it with the settings of the model's own.

    Rows of files stay: nothing of theirs can be retracted. A model that went on from one with retracted rows goes on from the nearest before that has none, or starts at the
    base model. Raises what freezing and creating a job raise: NothingToFreeze, Leak, JobRefused.
    """
    former = model.job
    note = f"without retracted rows, after {model.name}"[:500]
    version = former.dataset_version
    if version.training_file_id is None:
        rules = Composition.from_json(version.composition)
        version = freeze_dataset(project=model.project, by=by, note=note, composition=rules)
    newest = newest_model(model.project)
    return create_job(
        dataset_version=version,
        base_model=former.base_model,
        suffix=former.suffix,
        hyperparameters=former.hyperparameters,
        seed=former.seed,
        setup=former.setup,
        method=former.method,
        tuning=former.tuning,
        parent=clean_parent(model),
        by=by,
        known_version=newest.job.dataset_version if newest else None,
    )


def clean_parent(model: TunedModel) -> TunedModel | None:
    """Return the nearest model that this one goes on from and that has learnt from no retracted row."""
    retracted = retracted_counts_of_models(model.project)
    return next((each for each in ancestors_of(model) if each.pk not in retracted and each.is_ready), None)
