"""Files of finished conversations that become examples: taking one in, and what a person decides about it. The work itself is in
example_import_run."""

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
from labeling.models import ExampleImport, Project, User
from labeling.states import PROMPT_IMPORT_MOVES, PromptImportState
from training.formats import find_format
from training.tasks import work_on_examples


def upload_examples(
    *,
    project: Project,
    name: str,
    chunks: Iterable[bytes],
    tags: list[str] | None = None,
    asked_format: str = "",
    skips_near: bool = True,
    by: User | None = None,
) -> ExampleImport:
    """Store a file of conversations and have it read in the background. Raises FileRefused when it is empty or too large."""
    row = ExampleImport(
        project=project,
        name=name.replace("\x00", "")[-200:] or "examples",
        file_key=uuid.uuid4(),
        size_bytes=0,
        language=get_language() or "",
        tags=tags or [],
        asked_format=asked_format if find_format(asked_format) else "",
        skips_near=skips_near,
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


def start_import(*, example_import: ExampleImport, by: User | None) -> None:
    """Import what was read. Raises StateError when it is not ready (any more)."""
    _move_on(example_import, PromptImportState.IMPORTING, by=by)


def read_again(
    *, example_import: ExampleImport, by: User, encoding: str = "utf-8", asked_format: str | None = None
) -> None:
    """Read a failed file anew, in another encoding or as another format. Raises FileRefused, StateError."""
    if encoding not in ENCODINGS:
        raise FileRefused
    fields: dict[str, Any] = {"encoding": encoding, "problem": "", "needs_encoding": False}
    if asked_format is not None:
        fields["asked_format"] = asked_format if find_format(asked_format) else ""
    _move_on(example_import, PromptImportState.UPLOADED, by=by, **fields)


def cancel_import(*, example_import: ExampleImport, by: User) -> None:
    """Stop where it stands; what is imported already stays and can be undone. Raises StateError."""
    move(example_import, PromptImportState.CANCELLED, moves=PROMPT_IMPORT_MOVES, by=by)
    example_import.path.unlink(missing_ok=True)


def undo_import(*, example_import: ExampleImport, by: User) -> None:
    """Take the import's examples out again: those in no dataset version are deleted, the others retracted. Raises StateError."""
    _move_on(example_import, PromptImportState.UNDOING, by=by)


def resume_imports() -> int:
    """Nudge the imports that no worker is at; return how many."""
    keys = list(abandoned(ExampleImport.objects.all()).values_list("pk", flat=True))
    for key in keys:
        work_on_examples.delay(key)
    return len(keys)


def _move_on(row: ExampleImport, after: PromptImportState, *, by: User | None, **fields: Any) -> None:
    with transaction.atomic():
        move(row, after, moves=PROMPT_IMPORT_MOVES, by=by, seen_at=None, **fields)
        _nudge(row)


def _nudge(row: ExampleImport) -> None:
    transaction.on_commit(partial(work_on_examples.delay, row.pk))
