"""Files of prompts: taking one in, and what a person decides about it. The work itself is in prompt_import_run."""

import uuid
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import transaction
from django.utils.translation import get_language

from common.states import move
from labeling.actions.errors import FileRefused
from labeling.actions.import_work import abandoned, store_chunks
from labeling.actions.prompt_files import ENCODINGS
from labeling.models import Project, PromptImport, User
from labeling.states import PROMPT_IMPORT_MOVES, PromptImportState
from labeling.tasks import work_on_import


def upload_prompts(
    *, project: Project, name: str, chunks: Iterable[bytes], tags: list[str] | None = None, by: User | None = None
) -> PromptImport:
    """Store a file of prompts and have it read in the background. Raises FileRefused when it is empty or too large."""
    row = PromptImport(
        project=project,
        name=name.replace("\x00", "")[-200:] or "prompts",
        file_key=uuid.uuid4(),
        size_bytes=0,
        language=get_language() or "",
        tags=tags or [],
        created_by=by,
    )
    try:
        store_chunks(row, chunks)
        with transaction.atomic():
            row.save()
            _nudge(row)
    except BaseException:
        row.path.unlink(missing_ok=True)
        raise
    return row


def start_import(*, prompt_import: PromptImport, by: User) -> None:
    """Import what was checked. Raises StateError when it is not ready (any more)."""
    _move_on(prompt_import, PromptImportState.IMPORTING, by=by)


def read_again(*, prompt_import: PromptImport, encoding: str, by: User) -> None:
    """Read a failed file anew, in another encoding. Raises FileRefused for an unknown one, StateError."""
    if encoding not in ENCODINGS:
        raise FileRefused
    _move_on(prompt_import, PromptImportState.UPLOADED, by=by, encoding=encoding, problem="", needs_encoding=False)


def cancel_import(*, prompt_import: PromptImport, by: User) -> None:
    """Stop where it stands; what is imported already stays and can be undone. Raises StateError."""
    move(prompt_import, PromptImportState.CANCELLED, moves=PROMPT_IMPORT_MOVES, by=by)
    prompt_import.path.unlink(missing_ok=True)


def undo_import(*, prompt_import: PromptImport, by: User) -> None:
    """Take the import's tasks out again, but for those that somebody worked on. Raises StateError."""
    _move_on(prompt_import, PromptImportState.UNDOING, by=by)


def resume_imports() -> int:
    """Nudge the imports that no worker is at; return how many."""
    keys = list(abandoned(PromptImport.objects.all()).values_list("pk", flat=True))
    for key in keys:
        work_on_import.delay(key)
    return len(keys)


def _move_on(row: PromptImport, after: PromptImportState, *, by: User, **fields: Any) -> None:
    with transaction.atomic():
        move(row, after, moves=PROMPT_IMPORT_MOVES, by=by, seen_at=None, **fields)
        _nudge(row)


def _nudge(row: PromptImport) -> None:
    transaction.on_commit(partial(work_on_import.delay, row.pk))
