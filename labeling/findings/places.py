from dataclasses import dataclass

QUOTE_LENGTH = 80


@dataclass(frozen=True)
class Place:
    """Where something was found: the number of the turn in the conversation, the words, and what they are."""

    turn: int
    quote: str
    what: str


def shorten(text: str) -> str:
    """Return the text in one line, at most QUOTE_LENGTH characters of it."""
    line = " ".join(text.split())
    return line if len(line) <= QUOTE_LENGTH else line[: QUOTE_LENGTH - 1] + "…"
