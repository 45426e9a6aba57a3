"""ShareGPT: turns with from and value."""

from typing import Any

from django.utils.translation import gettext as _

from training.formats.row import BadValue, Row, as_list, read_row, text_of

WRITTEN = {"system": "system", "user": "human", "assistant": "gpt"}
READ = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
READ |= {"chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "model": "assistant"}


def write(row: Row) -> dict[str, Any]:
    return {"conversations": [{"from": WRITTEN[turn["role"]], "value": turn["content"]} for turn in row.messages]}


def detects(value: dict[str, Any]) -> bool:
    return isinstance(value.get("conversations"), list)


def read(value: dict[str, Any]) -> list[Row]:
    """`system`, and `chosen` with `rejected`, are read too."""
    turns = [{"role": "system", "content": text_of(value["system"], "system")}] if value.get("system") else []
    turns += [
        _turn(turn, f"conversations[{at}]")
        for at, turn in enumerate(as_list(value.get("conversations"), "conversations"))
    ]
    if not isinstance(value.get("chosen"), dict):
        return [read_row(turns, field="conversations")]
    rejected = _turn(value.get("rejected"), "rejected")
    return [read_row([*turns, _turn(value["chosen"], "chosen")], rejected["content"], field="conversations")]


def _turn(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadValue(field, _("is not an object with from and value"))
    role = READ.get(str(value.get("from")).lower())
    if role is None:
        raise BadValue(f"{field}.from", _("is not system, human or gpt"))
    text = text_of(value.get("value"), f"{field}.value")
    if not text.strip():
        raise BadValue(f"{field}.value", _("is empty"))
    return {"role": role, "content": text}
