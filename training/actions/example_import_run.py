"""The work on a file of conversations: reading it, importing it in batches, taking it back. Killed at any moment, it goes on
behind the last batch that was committed."""

import logging
import uuid
from functools import partial
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from common.bulk import insert_many
from common.in_order import InOrder
from common.states import StateError, move
from labeling.actions.example_bulk import Outcome, Sieve, add_examples, delete_examples
from labeling.actions.example_incoming import Incoming
from labeling.actions.import_work import LostWork, fail, seen, take_up
from labeling.actions.prompt_files import UnreadableFile
from labeling.models import Example, ExampleImport, Project, Retraction, Tag
from labeling.states import PROMPT_IMPORT_MOVES, PromptImportState
from training.actions.example_batches import Order, read_ahead
from training.formats.source import ExampleFile
from training.models import DatasetRow

BATCH = 10_000  # rows in a transaction, or fewer with so many characters: each touches most of the index of bands
BATCH_LENGTH = 10_000_000
N_WRITERS = 2  # batches that are written at a time: most of that is the work of one process of the database
SMALL_BATCH = 2000
N_SHOWN = 8
N_BAD_SHOWN = 200
MAX_SHOWN = 2000  # characters of a turn in the preview
logger = logging.getLogger(__name__)


def work_on(*, import_pk: int) -> None:
    """Bring an import to its next rest: ready, done, undone or failed. Does nothing while another worker is at it."""
    if take_up(ExampleImport.objects.all(), import_pk):
        row = ExampleImport.objects.select_related("project", "created_by").get(pk=import_pk)
        _work(row, row.path)


def import_path(
    *, project: Project, path: Path, tags: list[str], asked_format: str = "", skips_near: bool = True
) -> ExampleImport:
    """Import a file or a folder of this machine, here and now; return how it ended. Whatever went in can be undone."""
    files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    row = ExampleImport.objects.create(
        project=project,
        name=path.name[-200:],
        file_key=uuid.uuid4(),
        size_bytes=sum(each.stat().st_size for each in files),
        tags=tags,
        asked_format=asked_format,
        skips_near=skips_near,
        seen_at=timezone.now(),
    )
    _work(row, path)
    if row.state == PromptImportState.READY:
        move(row, PromptImportState.IMPORTING, moves=PROMPT_IMPORT_MOVES, seen_at=timezone.now())
        _work(row, path)
    return row


def _work(row: ExampleImport, path: Path) -> None:
    try:
        with translation.override(row.language or None):
            if row.state == PromptImportState.IMPORTING:
                _import(row, path)
            elif row.state == PromptImportState.UNDOING:
                _undo(row)
            else:
                _check(row, ExampleFile(path, name=row.name, asked=row.asked_format, encoding=row.encoding))
    except (LostWork, StateError):
        logger.info("Import %s is in other hands or was cancelled", row.pk)


def _check(row: ExampleImport, file: ExampleFile) -> None:
    """Read the whole file once: what it is, its first rows, each bad row."""
    if row.state == PromptImportState.UPLOADED:
        move(row, PromptImportState.CHECKING, moves=PROMPT_IMPORT_MOVES, by=None)
    preview: list[dict[str, Any]] = []
    bad: list[tuple[str, str, str]] = []
    n_rows = n_bad = 0
    try:
        for n_rows, item in enumerate(file, 1):
            if item.problem:
                n_bad += 1
                if len(bad) < N_BAD_SHOWN:
                    bad.append((item.place, item.problem, item.text))
            elif len(preview) < N_SHOWN:
                preview += [_shown(item.place, each) for each in item.rows[: N_SHOWN - len(preview)]]
            if n_rows % SMALL_BATCH == 0:
                seen(row, read_bytes=item.read_bytes, n_rows=n_rows, n_bad=n_bad)
        if not n_rows:
            raise UnreadableFile(_("The file has no row."))
    except UnreadableFile as error:
        fail(row, str(error), needs_encoding=error.needs_encoding)
        return
    except OSError:
        fail(row, _("The file is not on the server any more. Upload it again."))
        return
    facts: dict[str, Any] = {
        "format": (file.containers or [""])[0] if len(file.containers) == 1 else "mixed",
        "columns": {"formats": file.formats},
        "unknown_columns": file.ignored,
        "preview": preview,
        "bad_lines": bad,
        "n_rows": n_rows,
        "n_bad": n_bad,
        "read_bytes": row.size_bytes,
    }
    if n_bad == n_rows:
        facts["problem"] = _("No row of the file can be used. The first ones and what is wrong with them are below.")
    after = PromptImportState.FAILED if facts.get("problem") else PromptImportState.READY
    move(row, after, moves=PROMPT_IMPORT_MOVES, by=None, seen_at=None, **facts)


def _import(row: ExampleImport, path: Path) -> None:
    """Add the rows behind the last committed batch, a transaction to a batch."""
    tags = [Tag.objects.get_or_create(project_id=row.project_id, name=name)[0].pk for name in row.tags]
    n_rows = row.n_rows - row.n_handled
    n_writers = N_WRITERS if n_rows > BATCH and _takes_several_writers() else 0
    order = Order(
        path=path,
        name=row.name,
        asked=row.asked_format,
        encoding=row.encoding,
        language=row.language,
        n_handled=row.n_handled,
        project_pk=row.project_id,
        n_before=n_writers if row.skips_near else None,
        most_rows=BATCH,
        most_characters=BATCH_LENGTH,
    )
    sieve = Sieve(example_import=row, n_before=n_writers)
    try:
        with InOrder(n_threads=n_writers) as writers:
            for n_items, incoming in read_ahead(order, n_rows=n_rows):
                outcome = sieve.sift(incoming)
                conclude = partial(_conclude, row, n_items, outcome, _shown_held_out(outcome))
                writers.run(partial(_add, row, outcome.fresh, tags), conclude)
    except (UnreadableFile, OSError) as error:
        fail(row, str(error) if isinstance(error, UnreadableFile) else _("The file is not on the server any more."))
        return
    counts = f"{row.n_added} added, {row.n_duplicates} there already, {row.n_near} nearly the same, {row.n_bad} bad"
    move(row, PromptImportState.DONE, moves=PROMPT_IMPORT_MOVES, by=row.created_by, reason=counts, seen_at=None)
    row.path.unlink(missing_ok=True)


def _takes_several_writers() -> bool:
    """Whether the database lets several write at once, and other connections see what this one sees."""
    return connection.vendor == "postgresql" and not connection.in_atomic_block


def _add(row: ExampleImport, fresh: list[Incoming], tags: list[int]) -> int:
    keys = add_examples(example_import=row, rows=fresh)
    if tags:
        links = ((key, tag) for key in keys for tag in tags)
        insert_many(Example.tags.through, ("example_id", "tag_id"), links)
    return len(keys)


def _conclude(row: ExampleImport, n_items: int, outcome: Outcome, bad_lines: list[Any], n_added: int) -> None:
    seen(
        row,
        n_handled=row.n_handled + n_items,
        n_added=row.n_added + n_added,
        n_duplicates=row.n_duplicates
        + outcome.n_duplicates
        + len(outcome.fresh)
        - n_added,  # others may have been sooner
        n_near=row.n_near + len(outcome.near),
        near_lines=(row.near_lines + outcome.near)[:N_BAD_SHOWN] if outcome.near else row.near_lines,
        n_bad=row.n_bad + len(outcome.held_out),
        bad_lines=[*row.bad_lines, *bad_lines][:N_BAD_SHOWN],
    )


def _shown_held_out(outcome: Outcome) -> list[Any]:
    why = _("asks exactly what a held-out probe asks")
    return [(each.place, why, each.messages[-2]["content"][:120]) for each in outcome.held_out[:N_BAD_SHOWN]]


def _undo(row: ExampleImport) -> None:
    """Take the examples back, a transaction to a batch. What a dataset version holds cannot go and trains no more."""
    last, retraction = 0, None
    while keys := list(row.examples.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:SMALL_BATCH]):
        last = keys[-1]
        with transaction.atomic():
            frozen = set(DatasetRow.objects.filter(example__in=keys).values_list("example_id", flat=True))
            delete_examples(keys=[key for key in keys if key not in frozen])
            in_use = Example.objects.trainable().filter(pk__in=frozen)
            if retraction is None and in_use.exists():
                reason = f"import undone: {row.name}"
                retraction = Retraction.objects.create(project=row.project, reason=reason, by=row.created_by)
            in_use.update(retracted_at=timezone.now(), retraction=retraction)
            seen(row)
    n_kept = row.examples.count()
    reason = f"{n_kept} examples retracted" if n_kept else ""
    move(row, PromptImportState.UNDONE, moves=PROMPT_IMPORT_MOVES, by=None, reason=reason, n_kept=n_kept, seen_at=None)


def _shown(place: str, each: Any) -> dict[str, Any]:
    turns = [{"role": turn["role"], "content": turn["content"][:MAX_SHOWN]} for turn in each.messages]
    return {"line": place, "messages": turns, "rejected": each.rejected and each.rejected[:MAX_SHOWN]}
