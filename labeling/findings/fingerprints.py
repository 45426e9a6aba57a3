"""Near-duplicate texts: pairs of neighbouring words, their exact overlap, and MinHash bands by which candidates are found.

A word is a run of letters and digits; a Chinese, Japanese or Korean character is a word of its own. Two texts are nearly
the same when the Jaccard index of their pairs reaches NEARLY_THE_SAME. With 12 bands of 4 values a text of index s shares
a band with probability 1 - (1 - s^4)^12: 0.99 at 0.75, 0.998 at 0.8, 0.0001 at 0.05 (Leskovec, Rajaraman, Ullman: Mining of
Massive Datasets, section 3.4).
"""

import struct
import unicodedata
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

import regex
from rensa import RMinHash

NEARLY_THE_SAME = 0.75
N_BANDS, N_ROWS = 12, 4
_N_VALUES = N_BANDS * N_ROWS
_LAYOUT = f"<{_N_VALUES}I"
_SPLIT = struct.Struct(f"{4 * N_ROWS}s" * N_BANDS).unpack
_AS_KEYS = struct.Struct(f">{N_BANDS}q").unpack
_SEED = 1
_NO_ASCII_WORD = {code: " " for code in range(128) if not chr(code).isalnum()}
_WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]|[^\W_]+")


def split_words(text: str) -> list[str]:
    """Return the words in folded form: width variants and letter case make no difference, neither does punctuation."""
    if text.isascii():
        return text.lower().translate(_NO_ASCII_WORD).split()
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def pair_words(text: str) -> frozenset[str]:
    """Return the pairs of neighbouring words; the word itself where there is only one."""
    return frozenset(list_pairs(text))


def list_pairs(text: str) -> list[str]:
    """Return the pairs in their order, those that come again too, which make no difference to `minhash`."""
    words = split_words(text)
    return words if len(words) == 1 else list(map(" ".join, pairwise(words)))


def has_pairs(pairs: list[str], fewest: int) -> bool:
    """Whether so many of them are different; of a long list the beginning tells as a rule."""
    return len(set(pairs[: 2 * fewest])) >= fewest or len(set(pairs)) >= fewest


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the Jaccard index, from 0 to 1."""
    n_shared = len(one & other)
    return n_shared / (len(one) + len(other) - n_shared) if n_shared else 0.0


def sketch_pairs(pairs: frozenset[str]) -> bytes:
    """Return the MinHash values, 4 bytes each; nothing for no pairs."""
    return pack_values(minhash(list(pairs))) if pairs else b""


def minhash(pairs: list[str]) -> list[int]:
    """Return the MinHash values as numbers. A pair that is there twice makes no difference."""
    sketch = RMinHash(num_perm=_N_VALUES, seed=_SEED)
    sketch.update(pairs)
    return sketch.digest()


def pack_values(values: list[int]) -> bytes:
    return struct.pack(_LAYOUT, *values)


def estimate_overlap(one: bytes, other: bytes) -> float:
    """Return the share of equal values of two sketches: the Jaccard index, with a standard deviation of at most 0.07."""
    pairs = zip(struct.unpack(_LAYOUT, one), struct.unpack(_LAYOUT, other), strict=True)
    return sum(value == another for value, another in pairs) / _N_VALUES


def band_keys(sketch: bytes, *, space: str) -> list[int]:
    """Return the keys of the bands, signed 64-bit numbers. Equal keys mean: perhaps nearly the same, in the same space."""
    digests = []
    for begun, band in zip(_begun(space), _SPLIT(sketch), strict=True) if sketch else ():
        hashed = begun.copy()
        hashed.update(band)
        digests.append(hashed.digest())
    return list(_AS_KEYS(b"".join(digests))) if digests else []


@lru_cache(maxsize=256)
def _begun(space: str) -> list[blake2b]:
    """Return the hashes of the bands' names, to be gone on with."""
    return [blake2b(f"{space}:{number}:".encode(), digest_size=8) for number in range(N_BANDS)]
