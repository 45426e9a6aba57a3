"""The work on a file of prompts: reading it, importing it in batches, taking it back. Killed at any moment, it goes on
behind the last batch that was committed."""

import logging
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import translation
from django.utils.translation import gettext as _

from common.bulk import insert_many
from common.states import StateError, move
from labeling.actions.import_work import LostWork, fail, seen, take_up
from labeling.actions.prompt_files import Line, Prompt, PromptFile, UnreadableFile
from labeling.actions.task import n_people_for
from labeling.models import Draft, GoldTask, PromptImport, Skip, Submission, Tag, Task
from labeling.search_text import searchable
from labeling.states import PROMPT_IMPORT_MOVES, PromptImportState, TaskKind, TaskState

BATCH = 2000
N_SHOWN = 8
N_BAD_SHOWN = 200
MAX_SHOWN = 2000  # characters of a turn in the preview
logger = logging.getLogger(__name__)


def work_on(*, import_pk: int) -> None:
    """Bring an import to its next rest: ready, done, undone or failed. Does nothing while another worker is at it."""
    if not take_up(PromptImport.objects.all(), import_pk):
        return
    row = PromptImport.objects.select_related("project", "created_by").get(pk=import_pk)
    try:
        with translation.override(row.language or None):
            if row.state == PromptImportState.IMPORTING:
                _import(row)
            elif row.state == PromptImportState.UNDOING:
                _undo(row)
            else:
                _check(row)
    except (LostWork, StateError):
        logger.info("Import %s is in other hands or was cancelled", import_pk)


def _check(row: PromptImport) -> None:
    """Read the whole file once: what it is, its first rows, each bad row."""
    if row.state == PromptImportState.UPLOADED:
        move(row, PromptImportState.CHECKING, moves=PROMPT_IMPORT_MOVES, by=None)
    preview: list[dict[str, Any]] = []
    bad: list[tuple[int, str, str]] = []
    n_rows = n_bad = 0
    try:
        with PromptFile(row.path, encoding=row.encoding) as file:
            for n_rows, line in enumerate(file, 1):
                if line.prompt is None:
                    n_bad += 1
                    if len(bad) < N_BAD_SHOWN:
                        bad.append((line.number, line.problem, line.text))
                elif len(preview) < N_SHOWN:
                    preview.append(_shown(line.number, line.prompt))
                if n_rows % BATCH == 0:
                    seen(row, read_bytes=line.read_bytes, n_rows=n_rows, n_bad=n_bad)
            facts: dict[str, Any] = {"format": file.format, "columns": file.names, "unknown_columns": file.unknown}
        if not n_rows:
            raise UnreadableFile(_("The file has a first line with the names of its columns and nothing below it."))
        if n_bad == n_rows:
            facts["problem"] = _(
                "No row of the file can be used. The first ones and what is wrong with them are below."
            )
    except UnreadableFile as error:
        fail(row, str(error), needs_encoding=error.needs_encoding)
        return
    except OSError:
        fail(row, _("The file is not on the server any more. Upload it again."))
        return
    facts |= {"preview": preview, "bad_lines": bad, "n_rows": n_rows, "n_bad": n_bad, "read_bytes": row.size_bytes}
    after = PromptImportState.FAILED if facts.get("problem") else PromptImportState.READY
    move(row, after, moves=PROMPT_IMPORT_MOVES, by=None, seen_at=None, **facts)


def _import(row: PromptImport) -> None:
    """Add the rows behind the last committed batch, a transaction to a batch."""
    tags = _Tags(row)
    try:
        with PromptFile(row.path, encoding=row.encoding) as file:
            lines = islice(iter(file), row.n_handled, None)
            while batch := list(islice(lines, BATCH)):
                _add(row, batch, tags)
    except (UnreadableFile, OSError) as error:
        problem = str(error) if isinstance(error, UnreadableFile) else _("The file is not on the server any more.")
        fail(row, problem)
        return
    with transaction.atomic():
        reason = f"{row.n_added} added, {row.n_duplicates} there already, {row.n_bad} bad"
        move(row, PromptImportState.DONE, moves=PROMPT_IMPORT_MOVES, by=row.created_by, reason=reason, seen_at=None)
    row.path.unlink(missing_ok=True)


def _add(row: PromptImport, batch: list[Line], tags: "_Tags") -> None:
    prompts = [line.prompt for line in batch if line.prompt is not None]
    wanted: dict[str, Prompt] = {}
    for prompt in prompts:
        wanted.setdefault(prompt.prompt_hash, prompt)
    own = Task.objects.filter(project_id=row.project_id, kind=TaskKind.ANSWER, prompt_hash__in=wanted)
    with transaction.atomic():
        known = set(own.values_list("prompt_hash", flat=True))
        insert_many(
            Task,
            ("messages", "prompt_hash", "n_people", "position", "search_text"),
            (
                (
                    prompt.messages,
                    prompt_hash,
                    prompt.n_people or n_people_for(row.project, prompt_hash),
                    prompt.position,
                    searchable(prompt.messages),
                )
                for prompt_hash, prompt in wanted.items()
                if prompt_hash not in known
            ),
            project_id=row.project_id,
            prompt_import_id=row.pk,
            created_by_id=row.created_by_id,
        )
        added = dict(own.exclude(prompt_hash__in=known).filter(prompt_import=row).values_list("prompt_hash", "pk"))
        tags.give({pk: wanted[prompt_hash].tags for prompt_hash, pk in added.items()})
        seen(
            row,
            n_handled=row.n_handled + len(batch),
            n_added=row.n_added + len(added),
            n_duplicates=row.n_duplicates + len(prompts) - len(added),
        )


class _Tags:
    """Gives tasks their tags: those of the whole import and their own."""

    def __init__(self, row: PromptImport) -> None:
        self.row = row
        self.keys = dict(Tag.objects.filter(project_id=row.project_id).values_list("name", "pk"))

    def give(self, own: dict[int, list[str]]) -> None:
        links = []
        for task_pk, names in own.items():
            for name in dict.fromkeys([*self.row.tags, *names]):
                if name not in self.keys:
                    tag, _is_new = Tag.objects.get_or_create(project_id=self.row.project_id, name=name)
                    self.keys[name] = tag.pk
                links.append(Task.tags.through(task_id=task_pk, tag_id=self.keys[name]))
        Task.tags.through.objects.bulk_create(links, batch_size=500, ignore_conflicts=True)


def _undo(row: PromptImport) -> None:
    """Delete the tasks of the import that nobody has worked on, a transaction to a batch."""
    of_task = {"task": OuterRef("pk")}
    untouched = row.tasks.filter(
        ~Exists(Submission.objects.filter(**of_task)),
        ~Exists(Draft.objects.filter(**of_task)),
        ~Exists(Skip.objects.filter(**of_task)),
        ~Exists(GoldTask.objects.filter(**of_task)),
        state=TaskState.OPEN,
    ).order_by("pk")
    for keys in iter(lambda: list(untouched.values_list("pk", flat=True)[:BATCH]), []):
        with transaction.atomic():
            rows = Task.objects.filter(pk__in=keys, state=TaskState.OPEN)
            rows.delete()
            seen(row)
    n_kept = row.tasks.count()
    reason = f"{n_kept} tasks kept" if n_kept else ""
    move(row, PromptImportState.UNDONE, moves=PROMPT_IMPORT_MOVES, by=None, reason=reason, n_kept=n_kept, seen_at=None)


def _shown(number: int, prompt: Prompt) -> dict[str, Any]:
    turns = [{"role": turn["role"], "content": turn["content"][:MAX_SHOWN]} for turn in prompt.messages]
    fields = {"tags": prompt.tags, "n_people": prompt.n_people, "position": prompt.position}
    return {"line": number, "messages": turns, **fields}
