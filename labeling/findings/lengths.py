"""The length of a text in words, counted as the editor counts below the text (static/js/counts.js)."""

import regex

_CJK = r"\p{Han}\p{Hiragana}\p{Katakana}"
_BLANK = r"\t\n\v\f\r\p{Zs}\u2028\u2029\ufeff"  # what a browser takes for a blank
_PIECE = regex.compile(rf"[{_CJK}]|[^{_BLANK}{_CJK}]+")
_SAYS_SOMETHING = regex.compile(r"[\p{L}\p{N}]")


def count_words(text: str) -> int:
    """A Chinese or Japanese character counts as a word, anything else between blanks as one if it has a letter or a digit."""
    return sum(1 for piece in _PIECE.findall(text) if _SAYS_SOMETHING.search(piece))


def find_length(text: str, *, fewest: int | None, most: int | None) -> tuple[str, int, int] | None:
    """Return ("short" or "long", the number of words, the limit that is broken), None where the length is right."""
    n_words = count_words(text)
    if fewest is not None and n_words < fewest:
        return "short", n_words, fewest
    if most is not None and n_words > most:
        return "long", n_words, most
    return None
