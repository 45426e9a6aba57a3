"""Checkpoints of jobs: which are kept, and how one becomes a model of its own."""

import contextlib
import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from common.states import StaleState, StateError, move
from labeling.models import User
from training import tasks
from training.actions import runner
from training.actions.errors import NotPossible
from training.actions.registry import register_checkpoint
from training.models import Checkpoint, Job
from training.states import CHECKPOINT_AT_WORK, CHECKPOINT_MOVES, CheckpointState, JobState

logger = logging.getLogger(__name__)

SILENT = timedelta(seconds=60)
MAX_ATTEMPTS = 3


def note_checkpoints(*, job: Job, lines: Iterable[dict[str, Any]]) -> None:
    """Take up what the trainer tells of its checkpoints, in the transaction that records its events."""
    for line in lines:
        data = line.get("data") or {}
        if line.get("code") != "checkpoint" or not data.get("step"):
            continue
        facts = {
            "train_loss": data.get("loss"),
            "valid_loss": data.get("valid_loss"),
            "valid_token_accuracy": data.get("valid_token_accuracy"),
            "size_bytes": data.get("size_bytes") or 0,
            "created_at": parse_datetime(line["at"]) or timezone.now(),
        }
        Checkpoint.objects.update_or_create(job=job, step=data["step"], defaults=facts)
        if data.get("kept"):
            Checkpoint.objects.filter(job=job).exclude(step__in=data["kept"]).delete()


def forget_checkpoints(*, job: Job) -> None:
    """Free the space of a job that will neither go on nor be asked for a model."""
    runner.remove_checkpoints(job.run_dir)
    Checkpoint.objects.filter(job=job).delete()


def request_model(*, checkpoint: Checkpoint, by: User | None = None) -> None:
    """Have a checkpoint made a model; does nothing when somebody else has just asked for that. Raises NotPossible.

    A job that runs or may go on needs its checkpoints for itself.
    """
    if checkpoint.job.state not in (JobState.SUCCEEDED, JobState.FAILED):
        raise NotPossible(_("A checkpoint becomes a model once the job has ended."))
    if checkpoint.is_at_work or checkpoint.state == CheckpointState.MADE:
        return
    if not checkpoint.folder.is_dir():
        raise NotPossible(_("The files of this checkpoint are no longer there."))
    with contextlib.suppress(StaleState), transaction.atomic():
        fields: dict[str, Any] = {"wanted_by": by, "problem": "", "seen_at": timezone.now(), "n_attempts": 0}
        move(checkpoint, CheckpointState.WAITING, moves=CHECKPOINT_MOVES, by=by, **fields)
        transaction.on_commit(lambda: tasks.merge_checkpoint.delay(checkpoint.pk))


def merge_checkpoint(*, checkpoint: Checkpoint) -> None:
    """Make a waiting checkpoint a model in a child process; does nothing when it does not wait.

    Killed at any moment, it is taken up again by `recover_checkpoints`.
    """
    if checkpoint.state != CheckpointState.WAITING:
        return
    n_attempts = checkpoint.n_attempts + 1
    try:
        move(checkpoint, CheckpointState.MERGING, moves=CHECKPOINT_MOVES, seen_at=timezone.now(), n_attempts=n_attempts)
    except StaleState:
        return
    problem = _merge(checkpoint)
    if problem is None:  # the worker leaves: somebody else makes it
        move(checkpoint, CheckpointState.WAITING, moves=CHECKPOINT_MOVES, reason="stopped", seen_at=None)
        return
    with contextlib.suppress(StaleState), transaction.atomic():
        if problem:
            move(checkpoint, CheckpointState.FAILED, moves=CHECKPOINT_MOVES, problem=problem, seen_at=None)
            return
        model = register_checkpoint(job=checkpoint.job, step=checkpoint.step, folder=checkpoint.run_dir / "model")
        move(
            checkpoint, CheckpointState.MADE, moves=CHECKPOINT_MOVES, reason=model.name, model=model, seen_at=None,
            by=checkpoint.wanted_by,
        )  # fmt: skip


def recover_checkpoints() -> None:
    """Take up the checkpoints that no worker is at."""
    silent = Q(seen_at__isnull=True) | Q(seen_at__lt=timezone.now() - SILENT)
    for checkpoint in Checkpoint.objects.filter(silent, state__in=CHECKPOINT_AT_WORK).select_related("job"):
        with contextlib.suppress(StateError):
            if checkpoint.state == CheckpointState.MERGING:
                runner.stop_leftover(checkpoint.run_dir)
                if checkpoint.n_attempts >= MAX_ATTEMPTS:
                    problem = _("Its worker died %(n)s times.") % {"n": checkpoint.n_attempts}
                    move(checkpoint, CheckpointState.FAILED, moves=CHECKPOINT_MOVES, problem=problem, seen_at=None)
                    continue
                move(checkpoint, CheckpointState.WAITING, moves=CHECKPOINT_MOVES, reason="worker_lost", seen_at=None)
            tasks.merge_checkpoint.delay(checkpoint.pk)


def _merge(checkpoint: Checkpoint) -> str | None:
    """Run `python -m ml merge`. Returns what went wrong, "" where nothing did, None when the worker was told to leave."""
    job, run_dir = checkpoint.job, checkpoint.run_dir
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        config = {
            "base": str(job.base_folder),
            "checkpoint": str(checkpoint.folder),
            "threads": runner.n_threads(),
            "parent_pid": runner.worker_pid(runner.worker_name()),
        }
        runner.write_json(run_dir / "config.json", config)
        child = runner.Child("merge", run_dir)
    except OSError as error:
        logger.exception("%s: it cannot be made a model", checkpoint)
        return str(error)
    try:
        for _tick in child.ticks():
            Checkpoint.objects.filter(pk=checkpoint.pk, seen_at__lt=timezone.now() - SILENT / 6).update(
                seen_at=timezone.now()
            )
            if runner.SHUTDOWN.is_set():
                return None
    finally:
        child.end()
    result = runner.read_result(run_dir)
    if child.exit_code == 0 and result.get("status") == "succeeded":
        return ""
    return runner.sort_error(child=child, result=result)[1]
