"""What was forgotten: rows that a dead worker left running, and rows whose nudge was lost."""

import contextlib
import logging
from datetime import timedelta

from django.utils import timezone

from common.states import StateError
from training import tasks
from training.actions import evaluation as evaluations
from training.actions import job as jobs
from training.actions import runner
from training.actions.artefacts import keep_forgotten_models
from training.actions.checkpoint import forget_checkpoints, recover_checkpoints
from training.actions.file import delete_expired_files
from training.actions.retry import count_fruitless
from training.models import Evaluation, Job
from training.states import ErrorKind, EvaluationState, JobState

logger = logging.getLogger(__name__)

UNPREPARED = timedelta(seconds=60)
NUDGE_EXPIRES_S = 60


def recover() -> None:
    """Put what a dead worker left behind back into the queue, and nudge for what waits while nothing runs."""
    unlooked_at = Job.objects.filter(state=JobState.VALIDATING_FILES, created_at__lt=timezone.now() - UNPREPARED)
    unlooked_at = unlooked_at.exclude(preflight__finished_at__isnull=False)
    unlooked_at = unlooked_at.exclude(preflight__heartbeat_at__gt=timezone.now() - runner.SILENCE)
    for job in unlooked_at.select_related("project", "dataset_version", "base_model"):
        with contextlib.suppress(StateError):
            jobs.prepare_job(job=job)
    for job in Job.objects.filter(state=JobState.RUNNING):
        if runner.is_worker_dead(job.worker, job.heartbeat_at):
            with contextlib.suppress(StateError):  # its worker ended it meanwhile
                _recover_job(job)
    for evaluation in Evaluation.objects.filter(state=EvaluationState.RUNNING):
        if runner.is_worker_dead(evaluation.worker, evaluation.heartbeat_at):
            with contextlib.suppress(StateError):
                _recover_evaluation(evaluation)
    recover_checkpoints()
    _judge_forgotten()
    delete_expired_files()
    keep_forgotten_models()
    nudge_waiting()


def nudge_waiting() -> None:
    """Tell the gpu queue about the first waiting job and evaluation, unless something runs and will be followed by them.

    The messages expire: where no worker is up, they do not pile up.
    """
    is_busy = (
        Job.objects.filter(state=JobState.RUNNING).exists()
        or Evaluation.objects.filter(state=EvaluationState.RUNNING).exists()
    )
    if is_busy:
        return
    evaluation = Evaluation.objects.filter(state=EvaluationState.QUEUED).order_by("pk").first()
    if evaluation:
        tasks.run_evaluation.apply_async((evaluation.pk,), expires=NUDGE_EXPIRES_S)
    job = Job.objects.waiting().first()
    if job:
        tasks.run_job.apply_async((job.pk,), expires=NUDGE_EXPIRES_S)


def _judge_forgotten() -> None:
    """Judge what is measured on both sides and was not judged, because its message was lost."""
    measured = EvaluationState.SUCCEEDED
    for evaluation in Evaluation.objects.filter(state=measured, baseline__state=measured, comparison={}, gate=[])[:20]:
        evaluations.judge_evaluation(evaluation=evaluation)


def _recover_job(job: Job) -> None:
    logger.warning("%s: its worker %s is gone", job, job.worker)
    runner.stop_leftover(job.run_dir)
    now = timezone.now()
    if job.cancel_requested_at:
        jobs.change_state(job, JobState.CANCELLED, finished_at=now)
        forget_checkpoints(job=job)
    elif (n_fruitless := count_fruitless(job)) >= runner.MAX_ATTEMPTS:
        message = f"Its worker died {n_fruitless} times without getting any further."
        jobs.change_state(job, JobState.FAILED, error_kind=ErrorKind.CODE, error=message, finished_at=now)
    else:
        jobs.change_state(job, JobState.QUEUED, reason="worker_lost")


def _recover_evaluation(evaluation: Evaluation) -> None:
    logger.warning("%s: its worker %s is gone", evaluation, evaluation.worker)
    runner.stop_leftover(evaluation.run_dir)
    now = timezone.now()
    if evaluation.cancel_requested_at:
        evaluations.change_state(evaluation, EvaluationState.CANCELLED, finished_at=now)
    elif evaluation.n_attempts >= runner.MAX_ATTEMPTS:
        message = f"Its worker died {evaluation.n_attempts} times."
        evaluations.change_state(evaluation, EvaluationState.FAILED, error=message, finished_at=now)
    else:
        evaluations.change_state(evaluation, EvaluationState.QUEUED)
