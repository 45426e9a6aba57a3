"""Tables of a project's work as CSV, for people, and as JSONL, for programs. Both come in chunks of text."""

import json
from collections.abc import Iterator
from typing import Any

from common.conversations import Message
from common.exports import csv_text, harmless
from labeling.models import Project

FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}
CHUNK = 2000
FIELDS = ("id", "task_id", "author", "state", "revision", "instructions", "submitted_at")


def export_submissions(*, project: Project, kind: str) -> Iterator[str]:
    """Yield the project's submissions but the gold ones, oldest first, as `kind` csv or jsonl.

    Each chunk is a query of its own, from the last key on, so that a slow reader holds neither memory nor a cursor.
    What came in meanwhile is included.
    """
    columns = ("pk", "task_id", "author__email", "state", "revision", "instruction_version__number", "submitted_at")
    rows = project.submissions.filter(is_gold=False).order_by("pk").values_list(*columns, "messages")
    write = _csv_lines if kind == "csv" else _json_lines
    if kind == "csv":
        yield ",".join((*FIELDS, "prompt", "response", "messages")) + "\r\n"
    last = 0
    while chunk := list(rows.filter(pk__gt=last)[:CHUNK]):
        yield write(chunk)
        last = chunk[-1][0]


def _json_lines(chunk: list[tuple[Any, ...]]) -> str:
    lines = []
    for *values, submitted_at, messages in chunk:
        row = dict(zip(FIELDS, (*values, submitted_at.isoformat()), strict=True)) | {"messages": messages}
        lines.append(json.dumps(row, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def _csv_lines(chunk: list[tuple[Any, ...]]) -> str:
    """Prompt and response are the last two turns; a cell that a spreadsheet would compute begins with an apostrophe."""
    return csv_text(
        (*values, submitted_at.isoformat(), *_last_texts(messages), json.dumps(messages, ensure_ascii=False))
        for *values, submitted_at, messages in chunk
    )


def _last_texts(messages: list[Message]) -> list[str]:
    return [harmless(turn["content"]) for turn in messages[-2:]]
