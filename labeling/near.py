"""Keys by which nearly equal prompts find each other in an index, without a comparison of each with each.

A text is taken as the set of its runs of four characters (letter case, width and punctuation apart), a MinHash
of it is drawn, and three values each of it make one key. Two texts whose sets overlap by 80 % share one of the eight keys with a
probability of 99.8 %, by 60 % with 86 %, by 30 % with 20 % (Broder 1997; Leskovec, Rajaraman, Ullman, chapter 3).
"""

import random
import unicodedata
from zlib import crc32

import regex

N_KEYS = 8
ROWS_PER_KEY = 3
SHINGLE = 4
LONGEST = 2000  # characters; two prompts that differ only later share all keys
_PRIME = (1 << 61) - 1
_draw = random.Random(1997)
_HASHES = [(_draw.randrange(1, _PRIME), _draw.randrange(_PRIME)) for _ in range(N_KEYS * ROWS_PER_KEY)]
_APART = regex.compile(r"[^\p{L}\p{N}]+")


def fold(text: str) -> str:
    """Return the text as two spellings of the same question share it: small letters, one blank between words."""
    return _APART.sub(" ", unicodedata.normalize("NFKC", text[:LONGEST]).casefold()).strip()


def near_keys(text: str) -> list[int]:
    """Return the keys of a text, each once; none for a text without letters and digits."""
    folded = fold(text)
    if not folded:
        return []
    runs = {folded[at : at + SHINGLE] for at in range(max(1, len(folded) - SHINGLE + 1))}
    marks = [crc32(run.encode()) for run in runs]
    least = [min((a * mark + b) % _PRIME for mark in marks) for a, b in _HASHES]
    bands = [least[at : at + ROWS_PER_KEY] for at in range(0, len(least), ROWS_PER_KEY)]
    return list(dict.fromkeys(_join(number, band) for number, band in enumerate(bands)))


def _join(number: int, band: list[int]) -> int:
    """One signed 64-bit number, as databases have them."""
    text = f"{number}:{band}".encode()
    return (crc32(text) << 31) ^ crc32(text[::-1])
