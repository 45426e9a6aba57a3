"""What all imports of files share: taking the file in, working at it one worker at a time, and being taken up after a crash."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from common.states import move
from labeling.actions.errors import FileRefused
from labeling.models.prompt_import import FileImport
from labeling.states import PROMPT_IMPORT_AT_WORK, PROMPT_IMPORT_MOVES, PromptImportState

MAX_BYTES = 200 * 1024 * 1024
SILENT_S = 30  # a worker that has not been seen for so long is gone


class LostWork(Exception):
    """Somebody cancelled the import, or another worker is at it."""


def store_chunks(row: FileImport, chunks: Iterable[bytes]) -> None:
    """Write the file to the row's path and its size to the row. Raises FileRefused when it is empty or too large."""
    row.path.parent.mkdir(parents=True, exist_ok=True)
    with row.path.open("xb") as file:
        for chunk in chunks:
            row.size_bytes += len(chunk)
            if row.size_bytes > MAX_BYTES:
                raise FileRefused(_("The file is larger than %(n)d MB. Split it.") % {"n": MAX_BYTES // 1024**2})
            file.write(chunk)
    if not row.size_bytes:
        raise FileRefused(_("The file is empty."))


def abandoned(rows: "QuerySet[Any]") -> "QuerySet[Any]":
    """Return the imports that have work left and that no worker is at."""
    silent = Q(seen_at__isnull=True) | Q(seen_at__lt=timezone.now() - timedelta(seconds=SILENT_S))
    return rows.filter(silent, state__in=PROMPT_IMPORT_AT_WORK)


def take_up(rows: "QuerySet[Any]", pk: int) -> bool:
    """Make the import this worker's; False while another one is at it, or when there is nothing to do."""
    return bool(abandoned(rows).filter(pk=pk).update(seen_at=timezone.now()))


def seen(row: FileImport, **fields: Any) -> None:
    """Note how far the work is and that somebody is at it. Raises LostWork when it is not this worker's any more."""
    rows = type(row)._default_manager.filter(pk=row.pk, state=row.state, n_handled=row.n_handled)
    if not rows.update(seen_at=timezone.now(), **fields):
        raise LostWork
    for name, value in fields.items():
        setattr(row, name, value)


def fail(row: FileImport, problem: str, *, needs_encoding: bool = False) -> None:
    """End the import with a sentence."""
    fields: dict[str, Any] = {"problem": problem, "needs_encoding": needs_encoding, "seen_at": None}
    move(row, PromptImportState.FAILED, moves=PROMPT_IMPORT_MOVES, by=None, reason=problem, **fields)
