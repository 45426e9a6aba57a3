"""Which split a row belongs to. It follows from the row's own text, so that no other row's coming or going changes it, but for
two rules: what resembles a held-out row is not trained on, and what a correction teaches is.

Two openings are nearly the same when the estimated Jaccard index of their pairs of words reaches NEARLY_THE_SAME. Candidates
share one of 8 bands of 4 MinHash values (labeling.findings.fingerprints): 0.985 of those with an index of 0.8 do, 0.999 at 0.9.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise

from common.conversations import Message
from labeling.findings.fingerprints import N_ROWS, estimate_overlap, pair_words, sketch_pairs
from labeling.states import ExampleKind
from training.states import Split

VALID_SHARE = 0.1
NEARLY_THE_SAME = 0.8
# Fewer pairs of words say nothing: many conversations open with "What time is it?".
FEWEST_PAIRS = 5
_WIDTH, _N_BANDS = 4 * N_ROWS, 8  # fewer bands than the check of a single text, for the memory of a million rows
_ASCII_WORDS = {code: " " for code in range(128) if not chr(code).isalnum()}


def opening(messages: Sequence[Message]) -> str:
    """Return the first thing that the user says, without letter case, spacing and punctuation."""
    text = next(message["content"] for message in messages if message["role"] == "user")
    if text.isascii():
        folded = text.lower().translate(_ASCII_WORDS)
    else:
        folded = unicodedata.normalize("NFKC", text).casefold()
        folded = "".join(letter if letter.isalnum() else " " for letter in folded)
    return " ".join(folded.split()) or text


def place(opening: str) -> float:
    """Return the place of an opening between 0 and 1, by its hash."""
    return int.from_bytes(hashlib.sha256(opening.encode("utf-8", "surrogatepass")).digest()[:8]) / 2**64


def sketch(opening: str) -> bytes:
    """Return the MinHash values of an opening, nothing for one that is too short to resemble anything."""
    if opening.isascii():
        pairs = frozenset(f"{one} {other}" for one, other in pairwise(opening.split()))
    else:
        pairs = pair_words(opening)
    return sketch_pairs(pairs) if len(pairs) >= FEWEST_PAIRS else b""


class Neighbours:
    """Openings, each with a word for it, to be found by others that are nearly the same."""

    def __init__(self) -> None:
        self._sketches: list[bytes] = []
        self._words: list[str] = []
        self._bands: dict[int, int | list[int]] = {}  # a list where several share a band, which is rare

    def add(self, sketch: bytes, word: str) -> None:
        if not sketch:
            return
        for band in _bands(sketch):
            others = self._bands.setdefault(band, len(self._sketches))
            if isinstance(others, list):
                others.append(len(self._sketches))
            elif others != len(self._sketches):
                self._bands[band] = [others, len(self._sketches)]
        self._sketches.append(sketch)
        self._words.append(word)

    def find(self, sketch: bytes, *, least: float = NEARLY_THE_SAME) -> set[str]:
        """Return the words of those that are nearly the same."""
        if not sketch or not self._bands:
            return set()
        rows: set[int] = set()
        for band in _bands(sketch):
            found = self._bands.get(band)
            if isinstance(found, int):
                rows.add(found)
            elif found:
                rows.update(found)
        return {self._words[i] for i in rows if estimate_overlap(self._sketches[i], sketch) >= least}


def _bands(sketch: bytes) -> list[int]:
    # values of different bands are of different hash functions, so that a band needs not be told by its number
    return [hash(sketch[start : start + _WIDTH]) for start in range(0, _WIDTH * _N_BANDS, _WIDTH)]


class Splitter:
    """Says the split of each row, after it has seen all of them: first the corrections, then the others, in any order.

    Corrections train: what is held out of them are their probes. Another row is held out when the place of its opening says
    so; a row for validation is not where a correction teaches its opening or nearly that. What is nearly the same as a row for
    validation is held out with it; what is nearly the same as a test row is in no split at all, so that neither its coming nor
    its going moves another row: a row of the test split stays one, and nothing like it is learnt.
    """

    def __init__(self, *, test_share: float = 0.0, valid_share: float = VALID_SHARE) -> None:
        self._test_share, self._valid_share = test_share, valid_share
        self._taught: set[str] = set()
        self._tested: set[str] = set()
        self._near_taught, self._held = Neighbours(), Neighbours()

    def see(self, kind: str, opening: str) -> None:
        if kind == ExampleKind.CORRECTION:
            self._taught.add(opening)
            self._near_taught.add(sketch(opening), "taught")
            return
        own = self._own(opening)
        if own != Split.TRAIN:
            mark = sketch(opening)
            if own == Split.TEST:
                self._tested.add(opening)
            if own == Split.TEST or not self._is_taught(opening, mark):
                self._held.add(mark, own)

    def split(self, kind: str, opening: str) -> Split | None:
        """Return the row's split, None for one that is to be left out."""
        if kind == ExampleKind.CORRECTION:
            return Split.TRAIN
        own = self._own(opening)
        if own == Split.TEST:
            return own
        mark = sketch(opening)
        near = self._held.find(mark)
        if Split.TEST in near:
            return None
        is_held = own == Split.VALID or Split.VALID in near
        return Split.VALID if is_held and not self._is_taught(opening, mark) else Split.TRAIN

    def tests_what_is_taught(self, opening: str) -> bool:
        """Whether a correction's opening is that of a test row, or nearly so: a leak."""
        return opening in self._tested or Split.TEST in self._held.find(sketch(opening))

    def _own(self, opening: str) -> Split:
        # the shares lie side by side, so that a larger test share moves no row of the other
        at = place(opening)
        if at < self._valid_share:
            return Split.VALID
        return Split.TEST if at < self._valid_share + self._test_share else Split.TRAIN

    def _is_taught(self, opening: str, mark: bytes) -> bool:
        return opening in self._taught or bool(self._near_taught.find(mark))


def assign(rows: Iterable[tuple[str, str]], **shares: float) -> list[Split | None]:
    """Return the splits of rows of (kind, opening), in their order; None for those to be left out."""
    rows, splitter = list(rows), Splitter(**shares)
    for is_correction in (True, False):
        for kind, text in rows:
            if (kind == ExampleKind.CORRECTION) == is_correction:
                splitter.see(kind, text)
    return [splitter.split(kind, text) for kind, text in rows]
