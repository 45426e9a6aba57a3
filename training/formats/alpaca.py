"""Alpaca: an instruction, an input that may be empty, and an output. Read with the additions that LLaMA-Factory makes."""

from typing import Any

from django.utils.translation import gettext as _

from training.formats.row import BadValue, Row, answer, as_list, asked, read_row, text_of


def write(row: Row) -> dict[str, Any]:
    return {"instruction": row.messages[-2]["content"], "input": "", "output": row.messages[-1]["content"]}


def detects(value: dict[str, Any]) -> bool:
    return "instruction" in value and ("output" in value or "chosen" in value)


def read(value: dict[str, Any]) -> list[Row]:
    """The input follows the instruction after a blank line. `system`, `history`, `chosen` and `rejected` are read too."""
    instruction, given = text_of(value.get("instruction"), "instruction"), text_of(value.get("input") or "", "input")
    if not instruction.strip() and not given.strip():
        raise BadValue("instruction", _("is empty"))
    pair = "chosen" in value and "rejected" in value
    name = "chosen" if pair else "output"
    output = text_of(value.get(name), name)
    if not output.strip():
        raise BadValue(name, _("is empty"))
    turns: list[Any] = (
        [{"role": "system", "content": text_of(value["system"], "system")}] if value.get("system") else []
    )
    for at, exchange in enumerate(as_list(value.get("history") or [], "history")):
        if not isinstance(exchange, list) or len(exchange) != 2:
            raise BadValue(f"history[{at}]", _("is not a question and its answer"))
        turns += [asked(text_of(exchange[0], f"history[{at}][0]")), answer(text_of(exchange[1], f"history[{at}][1]"))]
    turns += [asked("\n\n".join(text for text in (instruction, given) if text.strip())), answer(output)]
    return [read_row(turns, value["rejected"] if pair else None)]
