"""The formats of rows to train on: one module per family, each with a writer, a reader and a detector, and this table of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from training.formats import alpaca, oasst, openai, sharegpt, tables, trl
from training.formats.row import BadValue, Row, split_system

__all__ = ["FORMATS", "BadValue", "Format", "Row", "carry", "find_format"]


@dataclass(frozen=True)
class Format:
    """One format. What it carries decides what an export loses; see `carry`.

    `is_made_ahead`: a worker makes the file, for a web process could not.
    """

    key: str
    name: str
    suffix: str
    write: Callable[[Row], dict[str, Any]]
    read: Callable[[dict[str, Any]], list[Row]]
    detects: Callable[[dict[str, Any]], bool]
    has_system: bool = True
    has_turns: bool = True
    has_rejected: bool = False
    has_single_answers: bool = True
    has_labels: bool = False
    has_weights: bool = False
    is_made_ahead: bool = False

    @property
    def is_lossless(self) -> bool:
        return self.has_system and self.has_turns and self.has_rejected and self.has_single_answers


_TABLE: dict[str, Any] = {"write": tables.write, "read": tables.read, "detects": tables.detects}
_TABLE |= {"has_rejected": True, "has_labels": True}

# In the order in which a file is recognised: the first that fits.
FORMATS = (
    Format("parquet", "Parquet", "parquet", is_made_ahead=True, **_TABLE),
    Format("huggingface", "Hugging Face datasets", "zip", is_made_ahead=True, **_TABLE),
    Format("csv", "CSV", "csv", **_TABLE),
    Format(
        "openai-chat", "OpenAI chat", "jsonl", openai.write_chat, openai.read_chat, openai.is_chat, has_weights=True
    ),
    Format(
        "openai-preference",
        "OpenAI preference",
        "jsonl",
        openai.write_preference,
        openai.read_preference,
        openai.is_preference,
        has_rejected=True,
        has_single_answers=False,
    ),
    Format("sharegpt", "ShareGPT", "jsonl", sharegpt.write, sharegpt.read, sharegpt.detects),
    Format("alpaca", "Alpaca", "jsonl", alpaca.write, alpaca.read, alpaca.detects, has_system=False, has_turns=False),
    Format(
        "oasst",
        "OpenAssistant trees",
        "jsonl",
        oasst.write,
        oasst.read,
        oasst.detects,
        has_system=False,
        has_rejected=True,
    ),
    Format(
        "trl-preference",
        "TRL preference",
        "jsonl",
        trl.write_preference,
        trl.read_preference,
        trl.is_preference,
        has_rejected=True,
        has_single_answers=False,
    ),
    Format("trl-sft", "TRL prompt and completion", "jsonl", trl.write_sft, trl.read_sft, trl.is_sft),
    Format(
        "completion",
        "Prompt and completion",
        "jsonl",
        openai.write_completion,
        openai.read_completion,
        openai.is_completion,
        has_system=False,
        has_turns=False,
    ),
)
_BY_KEY = {each.key: each for each in FORMATS}


def find_format(key: str) -> Format | None:
    return _BY_KEY.get(key)


def recognise(value: dict[str, Any]) -> Format | None:
    """Return the format that a value of a file is in, None for one that fits none. Columns of a table count as CSV."""
    return next((each for each in FORMATS if not each.is_made_ahead and each.detects(value)), None)


def carry(row: Row, wanted: Format) -> Row | None:
    """Return what the format carries of a row, None where it carries nothing of it.

    The rest is what `losses` counts: system messages, rejected answers, weights of turns, and whole rows with several
    exchanges or without a rejected answer.
    """
    messages, rejected = row.messages, row.rejected
    if rejected is None and not wanted.has_single_answers:
        return None
    if not wanted.has_system:
        _system, messages = split_system(messages)
    if not wanted.has_turns and len(messages) != 2:
        return None
    if not wanted.has_weights and any("weight" in turn for turn in messages):
        messages = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
    return Row(messages, rejected if wanted.has_rejected else None, row.kind, row.split)
