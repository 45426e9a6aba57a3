"""A row as the formats see it, and the readers' common ground: errors that name the field, texts, turns."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from common.conversations import ConversationError, Message, clean
from labeling.actions.errors import CONVERSATION_MESSAGES


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation that ends with the answer; `rejected` is the worse answer of a pair. `split` and `kind` as frozen, or ""."""

    messages: list[Message]
    rejected: str | None = None
    kind: str = ""
    split: str = ""


class BadValue(ValueError):
    """A value that is no row; `field` says where in it, the text why."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}" if field else why)
        self.field = field


def split_system(messages: list[Message]) -> tuple[str, list[Message]]:
    """Return the text of the system message, "" for none, and the turns."""
    if messages and messages[0]["role"] == "system":
        return messages[0]["content"], messages[1:]
    return "", messages


def read_row(messages: Any, rejected: Any = None, *, field: str = "messages", rejected_field: str = "rejected") -> Row:
    """Return the row in clean form. Raises BadValue that names the turn at fault."""
    turns = [_turn(value, f"{field}[{at}]") for at, value in enumerate(as_list(messages, field))]
    try:
        cleaned = clean(turns, ends_with="assistant")
    except ConversationError as error:
        code = "last_assistant" if error.code == "last_turn" else error.code
        raise BadValue(field, SENTENCES[code]() if code in SENTENCES else str(CONVERSATION_MESSAGES[code])) from None
    if rejected is None:
        return Row(cleaned)
    worse = clean_text(rejected, rejected_field)
    if not worse:
        raise BadValue(rejected_field, _("is empty"))
    if worse.split() == cleaned[-1]["content"].split():
        raise BadValue(rejected_field, _("is the same as the answer"))
    return Row(cleaned, worse)


SENTENCES = {
    "last_assistant": lambda: _("the last turn has to be the assistant's"),
    "order": lambda: _("after at most one system message, user and assistant have to alternate, the user first"),
    "empty": lambda: _("the conversation is empty"),
    "empty_turn": lambda: _("a turn is empty"),
}


def _turn(value: Any, field: str) -> Message:
    if not isinstance(value, dict):
        raise BadValue(field, _("is not an object with role and content"))
    role = value.get("role")
    if role == "developer":
        role = "system"
    if role not in ("system", "user", "assistant"):
        raise BadValue(f"{field}.role", _("is not system, user or assistant"))
    if value.get("tool_calls") or value.get("function_call"):
        raise BadValue(field, _("calls a tool, which is not trained on here"))
    if value.get("weight") == 0:
        raise BadValue(f"{field}.weight", _("says that the turn is not learnt, which an example cannot say"))
    content = text_of(value.get("content"), f"{field}.content")
    if not content.replace("\x00", "").strip() and role != "system":
        raise BadValue(f"{field}.content", _("is empty"))
    return {"role": role, "content": content}


def text_of(value: Any, field: str) -> str:
    """Return a text, which may come as a list of parts of the type "text"."""
    if isinstance(value, str):
        return value
    if value is None:
        raise BadValue(field, _("is missing"))
    if not isinstance(value, list):
        raise BadValue(field, _("is not a text"))
    for at, part in enumerate(value):
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise BadValue(f"{field}[{at}]", _("is not a part of the type “text”"))
    return "".join(part["text"] for part in value)


def clean_text(value: Any, field: str) -> str:
    """Return the text of an answer in the form in which answers are kept."""
    text = text_of(value, field)
    if not text.replace("\x00", "").strip():
        return ""
    return clean([{"role": "user", "content": text}], ends_with="user")[0]["content"]


def as_list(value: Any, field: str) -> list[Any]:
    if value is None:
        raise BadValue(field, _("is missing"))
    if not isinstance(value, list):
        raise BadValue(field, _("is not a list"))
    return value


def one_answer(value: Any, field: str) -> str:
    """Return the text of a list with one message of the assistant."""
    turns = as_list(value, field)
    if len(turns) != 1 or not isinstance(turns[0], dict) or turns[0].get("role") != "assistant":
        raise BadValue(field, _("is not one message of the assistant"))
    return text_of(turns[0].get("content"), f"{field}[0].content")


def answer(text: str) -> Message:
    return {"role": "assistant", "content": text}


def asked(text: str) -> Message:
    return {"role": "user", "content": text}
