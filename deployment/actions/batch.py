"""Batches: made and cancelled by clients, found by workers."""

import contextlib
import os
import shutil
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from common.states import IllegalMove, StaleState, move
from common.wire import new_id
from deployment import tasks
from deployment.actions.errors import BatchEnded
from deployment.models import Batch
from deployment.states import BATCH_AT_WORK, BATCH_MOVES, BatchState
from labeling.models import ApiKey
from training.actions.runner import is_worker_dead
from training.models import File

INPUT = "input.jsonl"
WINDOW = timedelta(hours=24)


def create_batch(*, key: ApiKey, endpoint: str, input_file: File, metadata: dict[str, str] | None = None) -> Batch:
    """Make a batch of the requests in a file and have it looked at. The file may be deleted meanwhile."""
    with transaction.atomic():
        batch = Batch.objects.create(
            key=new_id("batch_"),
            project=key.project,
            api_key=key,
            endpoint=endpoint,
            input_file=input_file,
            metadata=metadata,
            expires_at=timezone.now() + WINDOW,
        )
        batch.folder.mkdir(parents=True)
        try:
            os.link(input_file.path, batch.folder / INPUT)
        except OSError:
            shutil.copyfile(input_file.path, batch.folder / INPUT)
        transaction.on_commit(lambda: tasks.run_batches.delay())
    return batch


def cancel_batch(*, batch: Batch) -> None:
    """Ask for the end of a batch; what was answered is kept. Raises BatchEnded."""
    try:
        move(batch, BatchState.CANCELLING, moves=BATCH_MOVES, cancelling_at=timezone.now())
    except StaleState:
        batch.refresh_from_db()
        cancel_batch(batch=batch)
    except IllegalMove as error:
        if batch.state != BatchState.CANCELLING:
            raise BatchEnded(f"The batch is {batch.state}.") from error
    else:
        transaction.on_commit(lambda: tasks.run_batches.delay())


def next_batch() -> Batch | None:
    """Return the oldest batch that waits for a worker, None while a living one is at work: they run one at a time."""
    found = None
    for batch in Batch.objects.filter(state__in=BATCH_AT_WORK).order_by("pk"):
        if batch.worker and not is_worker_dead(batch.worker, batch.heartbeat_at):
            return None
        found = found or batch
    return found


def remove_folder(batch: Batch) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(batch.folder)
