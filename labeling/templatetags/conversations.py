"""A conversation in one line, for lists."""

from django import template

from common.conversations import Message

register = template.Library()
LENGTH = 300


def _line(text: str) -> str:
    words = " ".join(text[: 2 * LENGTH].split())
    return words if len(words) <= LENGTH else f"{words[:LENGTH]}…"


@register.filter
def first_words(messages: list[Message]) -> str:
    """Return the beginning of what the user asked first; of a draft that has none, of whatever is there."""
    asked = [turn["content"] for turn in messages if turn["role"] == "user" and turn["content"].strip()]
    rest = [turn["content"] for turn in messages if turn["content"].strip()]
    return _line((asked or rest or ["…"])[0])


@register.filter
def last_words(messages: list[Message]) -> str:
    """Return the beginning of the last turn."""
    return _line(messages[-1]["content"]) if messages else ""
