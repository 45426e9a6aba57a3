"""Corrections from a file: JSONL rows with a prompt, the wrong output and the right one (docs/importing.md)."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from common.conversations import ConversationError, Message, clean, digest
from labeling.actions.case import correct_case, report_output
from labeling.actions.errors import LabelingError
from labeling.models import Case, Project
from labeling.states import CaseState, Reason, Source


class BadRow(ValueError):
    """A row that cannot go in; the text says why."""


@dataclass
class ImportResult:
    n_added: int = 0
    n_there: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    messages: list[Message]
    wrong_output: str
    text: str
    probes: list[str | list[Message]]
    checks: list[Any]


def import_rows(
    *,
    project: Project,
    lines: Iterable[bytes],
    limit: int | None = None,
    on_row: Callable[[int], None] = lambda number: None,
) -> ImportResult:
    """Make a corrected case of each row, each in a transaction of its own; a bad row does not hold up the others.

    A row whose wrong output has this very correction already counts as there. Blank lines count as nothing. `limit`
    bounds the rows that are read. `on_row` hears the number of each line that is done.
    """
    result = ImportResult()
    n_rows = 0
    for number, line in enumerate(lines, 1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        if limit is not None and n_rows >= limit:
            break
        n_rows += 1
        try:
            is_new = _import_row(project, _read(line))
        except (BadRow, LabelingError) as error:
            result.bad.append((number, str(error)))
        else:
            result.n_added += is_new
            result.n_there += not is_new
        on_row(number)
    return result


def _import_row(project: Project, row: Row) -> bool:
    with transaction.atomic():
        same = Case.objects.filter(
            project=project, prompt_hash=digest(row.messages), output_hash=digest(row.wrong_output)
        )
        if same.filter(corrections__text=row.text).exists():
            return False
        settled = same.exclude(state__in=(CaseState.OPEN, CaseState.CLAIMED, CaseState.NOT_FIXED, CaseState.DISMISSED))
        if other := settled.first():
            raise BadRow(_("case %(case)s has corrected this output to another text") % {"case": other})
        case = report_output(
            project=project,
            messages=row.messages,
            wrong_output=row.wrong_output,
            model_name="",
            reason=Reason.WRONG,
            source=Source.IMPORT,
        )
        correct_case(case=case, text=row.text, by=None, checks=row.checks, probes=row.probes)
        return True


def _read(line: bytes) -> Row:
    """Return the row in clean form. Raises BadRow."""
    try:
        row = json.loads(line.decode())
        json.dumps(row, ensure_ascii=False).encode()  # a lone surrogate, which JSON can spell, is no text
    except UnicodeError as error:
        raise BadRow(_("is not UTF-8")) from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadRow(_("is not JSON (%(error)s)") % {"error": error}) from error
    if not isinstance(row, dict):
        raise BadRow(_("is not a JSON object"))
    messages = _prompt(row)
    answers = {name: _answer(row, name, messages) for name in ("bad_response", "ideal_response")}
    if answers["bad_response"].split() == answers["ideal_response"].split():
        raise BadRow(_("bad_response and ideal_response are the same"))
    return Row(
        messages=messages,
        wrong_output=answers["bad_response"],
        text=answers["ideal_response"],
        probes=[_probe(probe) for probe in _list(row, "probes")],
        checks=_list(row, "checks"),
    )


def _prompt(row: dict[str, Any]) -> list[Message]:
    if ("prompt" in row) == ("messages" in row):
        raise BadRow(_("needs either prompt or messages"))
    if "messages" in row:
        return _clean(row["messages"], "messages")
    if not isinstance(row["prompt"], str):
        raise BadRow(_("prompt is not a text"))
    return _clean([{"role": "user", "content": row["prompt"]}], "prompt")


def _answer(row: dict[str, Any], name: str, messages: list[Message]) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.replace("\x00", "").strip():
        raise BadRow(_("%(name)s is missing, empty or not a text") % {"name": name})
    return clean([*messages, {"role": "assistant", "content": value}], ends_with="assistant")[-1]["content"]


def _list(row: dict[str, Any], name: str) -> list[Any]:
    value = row.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadRow(_("%(name)s is not a list") % {"name": name})
    return value


def _probe(probe: Any) -> str | list[Message]:
    return probe if isinstance(probe, str) else _clean(probe, "probes")


def _clean(messages: Any, name: str) -> list[Message]:
    try:
        return clean(messages, ends_with="user")
    except ConversationError as error:
        raise BadRow(f"{name}: {error}") from error
