"""Whether a run that ended without a result is tried again."""

import signal

from training.actions import runner
from training.models import Job
from training.states import ErrorKind, JobState

STOPPED, KILLED, MEMORY = "stopped", "killed", "memory"


def reason_to_retry(job: Job, *, child: runner.Child, kind: str) -> str:
    """Return why the job goes back into the queue, "" when it has failed.

    A run that is killed again and again is borne as long as it gets from checkpoint to checkpoint. Memory that ran out is
    met once, by half as many rows at a time in as many steps; two kills in a row are taken for it, too.
    """
    n_fruitless = count_fruitless(job)
    is_killed = child.exit_code == -signal.SIGKILL
    if kind == ErrorKind.MEMORY and (not is_killed or n_fruitless > 1) and _can_halve(job):
        return MEMORY
    if runner.was_stopped(child, n_attempts=n_fruitless):
        return KILLED if is_killed and not runner.SHUTDOWN.is_set() else STOPPED
    return ""


def count_fruitless(job: Job) -> int:
    """Return how many starts there were since the last checkpoint."""
    checkpoint = job.events.filter(code="checkpoint").order_by("-number").first()
    return job.events.filter(code=JobState.RUNNING, number__gt=checkpoint.number if checkpoint else 0).count()


def has_half_batch(job: Job) -> bool:
    """Whether memory ran out in an earlier attempt, so that this one takes half as many rows at a time."""
    return job.events.filter(code=JobState.QUEUED, data__reason=MEMORY).exists()


def _can_halve(job: Job) -> bool:
    """The recipe for corrections learns a step of a few rows as a whole."""
    started = job.events.filter(code="started").order_by("-number").first()
    return (started is None or started.data.get("recipe") != "corrections") and not has_half_batch(job)
