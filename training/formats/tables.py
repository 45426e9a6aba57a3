"""Tables: CSV here, Parquet and a folder of it with the same columns by `python -m ml tables`."""

import json
from typing import Any

from django.utils.translation import gettext as _

from common.conversations import canonical_texts
from common.exports import csv_text, harmless
from training.formats.row import BadValue, Row, read_row, text_of

COLUMNS = ("split", "kind", "prompt", "response", "messages", "rejected")


def write(row: Row) -> dict[str, Any]:
    return {"split": row.split, "kind": row.kind, "messages": row.messages, "rejected": row.rejected}


def csv_head() -> str:
    """Return the first line. Without the mark before it, spreadsheets take UTF-8 for something else."""
    return "\ufeff" + ",".join(COLUMNS) + "\r\n"


def csv_lines(rows: list[Row]) -> str:
    """Prompt and response are for people: a text that a spreadsheet would compute gets an apostrophe. The rest is exact."""
    return csv_text(
        (
            row.split,
            row.kind,
            harmless(row.messages[-2]["content"]) if len(row.messages) > 1 else "",
            harmless(row.messages[-1]["content"]),
            canonical_texts(row.messages).decode("utf-8", "surrogatepass"),
            "" if row.rejected is None else canonical_texts(row.rejected).decode("utf-8", "surrogatepass"),
        )
        for row in rows
    )


def detects(value: dict[str, Any]) -> bool:
    return ("messages" in value and "split" in value) or ("prompt" in value and "response" in value)


def read(value: dict[str, Any]) -> list[Row]:
    """The split and the kind are shown and not taken over: they follow from the rows of the version to come."""
    messages = value.get("messages")
    if messages is None:
        system = value.get("system")
        messages = [{"role": "system", "content": text_of(system, "system")}] if system else []
        for name, role in (("prompt", "user"), ("response", "assistant")):
            text = text_of(value.get(name), name)
            if not text.strip():
                raise BadValue(name, _("is empty"))
            messages.append({"role": role, "content": text})
    row = read_row(messages, value.get("rejected"))
    return [Row(row.messages, row.rejected, str(value.get("kind") or ""), str(value.get("split") or ""))]


def from_cells(cells: dict[str, str]) -> dict[str, Any]:
    """Return what the cells of one line mean: texts, and conversations, which are JSON. Raises BadValue."""
    value: dict[str, Any] = {name: cell for name, cell in cells.items() if cell.strip()}
    for name in JSON_COLUMNS & set(value):
        found = _parsed(value[name])
        is_exact = isinstance(found, str) and name == "rejected" and "messages" in value
        if is_exact or (isinstance(found, list) and found and isinstance(found[0], dict | list)):
            value[name] = found
        elif name in ("messages", "conversations"):
            raise BadValue(name, _("is not a conversation in JSON"))
    return value


JSON_COLUMNS = {"messages", "conversations", "chosen", "rejected", "history", "prompt", "completion"}


def _parsed(cell: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return None
