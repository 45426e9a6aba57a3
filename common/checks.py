"""Rules that a right answer satisfies, with the meaning that docs/run-directory.md gives them."""

import json
from typing import Any, TypedDict

import regex

KINDS = ("contains", "excludes", "matches", "max_words", "json")
MAX_LENGTH = 500
PATTERN_TIMEOUT_S = 1.0


class Check(TypedDict):
    kind: str
    value: Any


class CheckError(ValueError):
    """A check that makes no sense. Field: `code`, one of not_a_check, unknown_kind, no_value, too_long, pattern, number."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def clean_check(check: Any) -> Check:
    """Return the check in its one form: text values as text, the number of `max_words` as a whole number, `json` without one.

    Raises CheckError.
    """
    if not isinstance(check, dict):
        raise CheckError("not_a_check", "a check is an object with kind and value")
    kind, value = check.get("kind"), check.get("value")
    if kind not in KINDS:
        raise CheckError("unknown_kind", f"there is no check of kind {kind!r}")
    if kind == "json":
        return {"kind": kind, "value": None}
    if kind == "max_words":
        return {"kind": kind, "value": _whole_number(value)}
    if not isinstance(value, str) or not value.strip():
        raise CheckError("no_value", f"the check {kind} needs a text")
    if len(value) > MAX_LENGTH:
        raise CheckError("too_long", f"the text of a check has at most {MAX_LENGTH} characters")
    if kind != "matches":
        return {"kind": kind, "value": value.strip()}
    try:
        regex.compile(value)
    except regex.error as error:
        raise CheckError("pattern", f"the pattern cannot be read: {error}") from error
    return {"kind": kind, "value": value}


def _whole_number(value: Any) -> int:
    try:
        number = int(value) if not isinstance(value, bool | float) else 0
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise CheckError("number", "the check max_words needs a whole number, 1 or more")
    return number


def passes(check: Check, text: str) -> bool:
    """Whether `text` satisfies a clean check. Letter case is ignored by `contains` and `excludes` alone.

    A pattern that takes longer than a second does not match.
    """
    kind, value = check["kind"], check["value"]
    if kind == "contains":
        return value.casefold() in text.casefold()
    if kind == "excludes":
        return value.casefold() not in text.casefold()
    if kind == "max_words":
        return len(text.split()) <= value
    if kind == "json":
        return _is_json(text)
    try:
        return regex.search(value, text, timeout=PATTERN_TIMEOUT_S) is not None
    except TimeoutError:
        return False


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
