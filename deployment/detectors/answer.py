from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A finished answer. `messages` is its prompt; `max_tokens` the limit that the caller asked for, None for the server's."""

    messages: Sequence[dict[str, Any]]
    text: str
    finish_reason: str = "stop"
    max_tokens: int | None = None

    @property
    def question(self) -> str:
        """The last turn of the prompt."""
        return str(self.messages[-1]["content"]) if self.messages else ""

    @property
    def prompt(self) -> str:
        """All turns of the prompt."""
        return "\n".join(str(turn.get("content") or "") for turn in self.messages)


@dataclass(frozen=True)
class KnownCase:
    """A case as answers are compared with it. `correction` is "" where there is none."""

    pk: int
    question: str
    wrong_output: str
    correction: str = ""
    is_settled: bool = False  # corrected, in training, fixed or not fixed
    is_live: bool = False
    is_dismissed: bool = False


@dataclass(frozen=True)
class Rules:
    """A project's own rules for every answer."""

    forbidden_words: Sequence[str] = ()
    forbidden_pattern: str = ""
    must_be_json: bool = False
