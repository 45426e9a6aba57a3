"""Answers that say nothing, and answers that were cut off because they did not end."""

import regex

from deployment.detectors.answer import Answer

# A caller who asks for fewer tokens than this wants a piece, not a whole answer.
LEAST_LIMIT = 128
_SAYS_SOMETHING = regex.compile(r"[\p{L}\p{N}\p{S}]")
_ONLY_MARKS = regex.compile(r"\s*(?:<\|?[\w/ ]{1,20}\|?>|\[/?[A-Z]{2,8}\])+\s*")
_TAIL = 60


def find_empty(answer: Answer) -> str:
    """An answer without a letter, a digit or a sign, or of nothing but a template's marks."""
    if not _SAYS_SOMETHING.search(answer.text.replace("`", "")) or _ONLY_MARKS.fullmatch(answer.text):
        return repr(answer.text[:_TAIL])
    return ""


def find_cut(answer: Answer) -> str:
    """An answer that ran into the token limit, unless the caller's own limit was that of a piece."""
    if answer.finish_reason != "length":
        return ""
    if answer.max_tokens is not None and answer.max_tokens < LEAST_LIMIT:
        return ""
    return f"…{answer.text.strip()[-_TAIL:]}"
