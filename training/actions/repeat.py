"""Starting a job once more."""

from django.utils.translation import gettext as _

from labeling.models import User
from training.actions.errors import NotPossible
from training.actions.job import create_job
from training.models import Job
from training.queries import newest_model
from training.states import JobState


def repeat_job(*, job: Job, by: User | None = None) -> Job:
    """Create a job on the same dataset version with the settings of one that failed or was cancelled.

    Raises NotPossible for any other, and what `create_job` raises.
    """
    if job.state not in (JobState.FAILED, JobState.CANCELLED):
        raise NotPossible(_("Only a job that failed or was cancelled can be tried again."))
    newest = newest_model(job.project)
    return create_job(
        dataset_version=job.dataset_version,
        base_model=job.base_model,
        parent=job.parent,
        suffix=job.suffix,
        hyperparameters=job.hyperparameters,
        seed=job.seed,
        method=job.method,
        tuning=job.tuning,
        setup=job.setup,
        known_version=newest.job.dataset_version if newest else None,
        by=by,
    )
