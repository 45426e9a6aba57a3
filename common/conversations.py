"""Conversations in OpenAI's form: a list of {"role", "content"}. One canonical form, so that equal texts have equal hashes."""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from typing import Any, TypedDict

import orjson

ROLES = ("system", "user", "assistant")


class Message(TypedDict):
    role: str
    content: str


class ConversationError(ValueError):
    """A conversation that cannot be used. Field: `code`, one of not_a_list, empty, bad_message, bad_role, empty_turn, order, last_turn."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def clean(messages: Any, *, ends_with: str) -> list[Message]:
    """Return the conversation as plain roles and contents, stripped at the ends and NFC-normalised.

    It may open with one system message; then user and assistant alternate, beginning with the user, and the last turn is
    `ends_with` ("user" for a prompt, "assistant" for an example). Raises ConversationError.
    """
    if not isinstance(messages, list):
        raise ConversationError("not_a_list", "messages is not a list")
    turns: list[Message] = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise ConversationError("bad_message", f"message {number} has no text")
        role = "system" if message.get("role") == "developer" else message.get("role")
        if role not in ROLES:
            raise ConversationError("bad_role", f"message {number} has the unknown role {message.get('role')!r}")
        content = unicodedata.normalize("NFC", message["content"].replace("\r\n", "\n").replace("\x00", "")).strip()
        if not content and role == "system":
            continue
        if not content:
            raise ConversationError("empty_turn", f"message {number} is empty")
        turns.append({"role": role, "content": content})
    spoken = [turn["role"] for turn in turns if turn["role"] != "system"]
    if not spoken:
        raise ConversationError("empty", "the conversation is empty")
    if "system" in [turn["role"] for turn in turns][1:]:
        raise ConversationError("order", "a system message may only come first")
    if any(role != ("user", "assistant")[index % 2] for index, role in enumerate(spoken)):
        raise ConversationError("order", "user and assistant have to alternate, beginning with the user")
    if spoken[-1] != ends_with:
        raise ConversationError("last_turn", f"the last turn has to be the {ends_with}'s")
    return turns


def canonical_json(value: Any) -> str:
    """Return the one way in which Emend writes a value: sorted keys, no spaces, UTF-8 as it is."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def canonical_texts(value: Any) -> bytes:
    """Return the bytes of `canonical_json`, in a tenth of the time, of a value that holds texts and no fractions.

    Fractions are the one thing that orjson writes otherwise (1e16 and 1e+16).
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # half of a character, or a number of more than 64 bits
        return canonical_json(value).encode("utf-8", "surrogatepass")


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical form, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def digest_texts(value: Any) -> str:
    """Return the `digest` of a value that holds texts and no fractions, sooner."""
    return hashlib.sha256(canonical_texts(value)).hexdigest()


def split_last(messages: Sequence[Message]) -> tuple[list[Message], str]:
    """Return the prompt and the text of the last turn."""
    return list(messages[:-1]), messages[-1]["content"]
