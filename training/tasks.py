from typing import Any

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down

from training.models import BaseModel, Checkpoint, Evaluation, Job


@shared_task
def preflight_job(job_pk: int) -> None:
    """Look at a job before it takes a slot; does nothing when that was done."""
    from training.actions.preflight import preflight_job

    preflight_job(job=Job.objects.select_related("dataset_version", "base_model").get(pk=job_pk))


@shared_task
def run_job(job_pk: int) -> None:
    """Train what is first in the queue, which need not be the job that the message was sent for."""
    from training.actions.job import execute_next_job

    execute_next_job()


@shared_task
def run_evaluation(evaluation_pk: int) -> None:
    """Measure a model; does nothing when the evaluation is no longer waiting."""
    from training.actions.evaluation import execute_evaluation

    execute_evaluation(evaluation=Evaluation.objects.get(pk=evaluation_pk))


@shared_task
def merge_checkpoint(checkpoint_pk: int) -> None:
    """Make a checkpoint a model; does nothing when it does not wait for that."""
    from training.actions.checkpoint import merge_checkpoint as merge

    merge(checkpoint=Checkpoint.objects.select_related("job__base_model", "job__parent").get(pk=checkpoint_pk))


@shared_task
def judge_evaluation(evaluation_pk: int) -> None:
    """Judge a measured model once the one that it is compared with is measured as well."""
    from training.actions.evaluation import judge_evaluation as judge

    judge(evaluation=Evaluation.objects.get(pk=evaluation_pk))


@shared_task
def make_export(export_pk: int) -> None:
    """Make a file of a dataset version; does nothing when it is made already."""
    from training.actions.export import make_export as make

    make(export_pk=export_pk)


@shared_task(time_limit=3600)
def work_on_examples(import_pk: int) -> None:
    """Read, import or take back a file of conversations, from where it stands."""
    from training.actions.example_import_run import work_on

    work_on(import_pk=import_pk)


@shared_task(time_limit=60)
def sweep_files() -> None:
    """Take up files of dataset versions, and imports of examples, that a dead worker left behind."""
    from training.actions.example_import import resume_imports
    from training.actions.export import recover_exports

    recover_exports()
    resume_imports()


@shared_task
def pull_base_model(base_model_pk: int) -> None:
    """Fetch a base model and look into it; does nothing when it does not wait for that."""
    from training.actions.pulling import pull

    pull(base_model=BaseModel.objects.get(pk=base_model_pk))


@shared_task(time_limit=60)
def sweep_base_models() -> None:
    """Take up pulls that a dead worker left behind."""
    from training.actions.pulling import recover_pulls

    recover_pulls()


@shared_task
def count_statistics() -> None:
    """Count a dataset version that nobody has counted yet, where there is one."""
    from training.actions.statistics import count_next

    count_next()


@shared_task(time_limit=60)
def sweep() -> None:
    """Take up what a dead worker left behind, and nudge for what waits unnoticed."""
    from training.actions.recovery import recover

    recover()


@worker_ready.connect
def sweep_at_start(**kwargs: Any) -> None:
    """A worker that starts may follow one that was killed: look at once, not only with the next beat."""
    sweep.delay()


@worker_shutting_down.connect
def leave_at_once(**kwargs: Any) -> None:
    """A worker that is to stop does not wait for hours of training: the run goes back to the queue and resumes later."""
    from training.actions.runner import SHUTDOWN

    SHUTDOWN.set()
