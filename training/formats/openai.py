"""OpenAI's three kinds of JSON Lines: chat, preference, and the prompts and completions of the time before chat."""

from typing import Any

from django.utils.translation import gettext as _

from training.formats.row import BadValue, Row, answer, as_list, asked, one_answer, read_row, text_of

PREFERRED = ("preferred_output", "preferred_completion")
NON_PREFERRED = ("non_preferred_output", "non_preferred_completion")


def write_chat(row: Row) -> dict[str, Any]:
    return {"messages": row.messages}


def is_chat(value: dict[str, Any]) -> bool:
    return "messages" in value


def read_chat(value: dict[str, Any]) -> list[Row]:
    if value.get("tools") or value.get("functions"):
        raise BadValue("tools", _("are not trained on here"))
    return [read_row(value.get("messages"))]


def write_preference(row: Row) -> dict[str, Any]:
    return {
        "input": {"messages": row.messages[:-1]},
        "preferred_output": [answer(row.messages[-1]["content"])],
        "non_preferred_output": [answer(row.rejected or "")],
    }


def is_preference(value: dict[str, Any]) -> bool:
    return isinstance(value.get("input"), dict) and any(name in value for name in PREFERRED)


def read_preference(value: dict[str, Any]) -> list[Row]:
    given = value.get("input")
    if not isinstance(given, dict):
        raise BadValue("input", _("is not an object with messages"))
    if given.get("tools"):
        raise BadValue("input.tools", _("are not trained on here"))
    names = [next((name for name in names if name in value), names[0]) for names in (PREFERRED, NON_PREFERRED)]
    chosen, rejected = (one_answer(value.get(name), name) for name in names)
    turns = [*as_list(given.get("messages"), "input.messages"), answer(chosen)]
    return [read_row(turns, rejected, field="input.messages", rejected_field=names[1])]


def write_completion(row: Row) -> dict[str, Any]:
    return {"prompt": row.messages[-2]["content"], "completion": row.messages[-1]["content"]}


def is_completion(value: dict[str, Any]) -> bool:
    return isinstance(value.get("prompt"), str) and "completion" in value


def read_completion(value: dict[str, Any]) -> list[Row]:
    texts = [text_of(value.get(name), name) for name in ("prompt", "completion")]
    for name, text in zip(("prompt", "completion"), texts, strict=True):
        if not text.strip():
            raise BadValue(name, _("is empty"))
    return [read_row([asked(texts[0]), answer(texts[1])])]
