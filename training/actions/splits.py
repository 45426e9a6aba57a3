"""Which split a row belongs to. It follows from the row's own text, so that no other row's coming or going changes it, but for
two rules: what resembles a held-out row is not trained on, and what a correction teaches is.

Two openings are nearly the same when the estimated Jaccard index of their pairs of words reaches NEARLY_THE_SAME. Candidates
share one of 8 bands of 4 MinHash values (labeling.findings.fingerprints): 0.985 of those with an index of 0.8 do, 0.999 at 0.9.
"""

import hashlib
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from common.conversations import Message
from labeling.findings.fingerprints import N_ROWS, estimate_overlap, minhash, pack_values, pair_words
from labeling.states import ExampleKind
from training.states import Split

VALID_SHARE = 0.1
NEARLY_THE_SAME = 0.8
# Fewer pairs of words say nothing: many conversations open with "What time is it?".
FEWEST_PAIRS = 5
_WIDTH, _N_BANDS = 4 * N_ROWS, 8  # fewer bands than the check of a single text, for the memory of a million rows
_32_BITS = 0xFFFFFFFF
_NO_BANDS = (0,) * _N_BANDS
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


def _place(opening: str) -> int:
    """Return the place of an opening between 0 and 2 to the 64th, by its hash."""
    return int.from_bytes(hashlib.sha256(opening.encode("utf-8", "surrogatepass")).digest()[:8])


def sketch(opening: str) -> bytes:
    """Return the MinHash values of an opening, nothing for one that is too short to resemble anything."""
    values = _values(opening)
    return pack_values(values) if values else b""


def _values(opening: str) -> list[int]:
    # a pair that is there twice changes no minimum, so that a list will do
    pairs = list(map(" ".join, pairwise(opening.split())) if opening.isascii() else pair_words(opening))
    if len(set(pairs[: 2 * FEWEST_PAIRS])) < FEWEST_PAIRS and len(set(pairs)) < FEWEST_PAIRS:
        return []
    return minhash(pairs)


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


# What a row is as long as its split is open: what its opening says, but a correction, or what a correction teaches.
_CORRECTION, _TAUGHT = 3, 4
TRAIN, VALID, TEST, LEFT_OUT = range(4)
SPLITS = (Split.TRAIN, Split.VALID, Split.TEST, None)

Openings = Callable[[Iterable[int]], Iterator[tuple[int, str]]]


class Splitter:
    """Says the split of each row, after it has seen all of them, in any order.

    Corrections train: what is held out of them are their probes. Another row is held out when the place of its opening says
    so; a row for validation is not where a correction teaches its opening or nearly that. What is nearly the same as a row for
    validation is held out with it; what is nearly the same as a test row is in no split at all, so that neither its coming nor
    its going moves another row: a row of the test split stays one, and nothing like it is learnt.

    Of a row it keeps 41 bytes: the place and the bands. Rows that share a band with one that matters are read once more.
    """

    def __init__(self, *, test_share: float = 0.0, valid_share: float = VALID_SHARE) -> None:
        self._test_share, self._valid_share = test_share, valid_share
        self._codes = bytearray()
        self._places: array[int] = array("Q")
        self._bands: array[int] = array("I")  # of each row one after the other, 0 where the opening is too short

    def see(self, kind: str, opening: str) -> None:
        place = _place(opening)
        self._places.append(place)
        self._codes.append(_CORRECTION if kind == ExampleKind.CORRECTION else self._own(place / 2**64))
        self._bands.extend(_short_bands(opening))

    def split(self, openings: Openings) -> bytearray:
        """Return for each row, in the order in which they were seen, its split's number in SPLITS.

        `openings` reads the openings of some rows again, in any order.
        """
        codes = self._codes
        for index in self._taught({VALID}, openings):
            codes[index] = _TAUGHT
        left_out = self._near({TRAIN, VALID, _TAUGHT}, {TEST}, openings)
        followers = self._near({TRAIN}, {VALID}, openings)
        found = bytearray(codes.translate(bytes((TRAIN, VALID, TEST, TRAIN, TRAIN)) + bytes(251)))
        for index in followers - self._taught({TRAIN}, openings, among=followers):
            found[index] = VALID
        for index in left_out:
            found[index] = LEFT_OUT
        return found

    def tested_corrections(self, openings: Openings) -> set[int]:
        """Return the corrections whose opening is that of a test row, or nearly so: leaks."""
        return self._same({_CORRECTION}, {TEST}) | self._near({_CORRECTION}, {TEST}, openings)

    def _own(self, place: float) -> int:
        # the shares lie side by side, so that a larger test share moves no row of the other
        if place < self._valid_share:
            return VALID
        return TEST if place < self._valid_share + self._test_share else TRAIN

    def _taught(self, ones: set[int], openings: Openings, *, among: set[int] | None = None) -> set[int]:
        """Return the rows of these codes, or those `among` them, whose opening a correction teaches, or nearly that."""
        same = self._same(ones, {_CORRECTION}, among=among)
        return same | self._near(ones, {_CORRECTION}, openings, among=among)

    def _rows(self, codes: set[int]) -> "array[int]":
        return array("I", (index for index, code in enumerate(self._codes) if code in codes))

    def _same(self, ones: set[int], others: set[int], *, among: set[int] | None = None) -> set[int]:
        theirs = self._rows(others)
        if not theirs:
            return set()
        ours = self._rows(ones) if among is None else among
        wanted = {self._places[index] for index in ours}
        shared = wanted.intersection(self._places[index] for index in theirs)
        return {index for index in ours if self._places[index] in shared}

    def _near(self, ones: set[int], others: set[int], openings: Openings, *, among: set[int] | None = None) -> set[int]:
        """Return the rows of the codes `ones` that are nearly the same as one of the codes `others`."""
        theirs = self._rows(others)
        candidates: dict[int, list[list[int]]] = {}
        for number in range(_N_BANDS if theirs and among != set() else 0):
            column = self._bands[number::_N_BANDS]
            by_band: dict[int, list[int] | int] = {}
            for index in theirs:
                if band := column[index]:
                    before = by_band.setdefault(band, index)
                    if isinstance(before, list):
                        before.append(index)
                    elif before != index:
                        by_band[band] = [before, index]
            for index in [index for index, band in enumerate(column) if band in by_band]:
                if self._codes[index] in ones and (among is None or index in among):
                    held = by_band[column[index]]
                    candidates.setdefault(index, []).append(held if isinstance(held, list) else [held])
        needed = {other for lists in candidates.values() for some in lists for other in some}
        marks = {index: sketch(text) for index, text in openings(sorted(needed))}
        return {
            index
            for index, text in openings(candidates)
            if _resembles(sketch(text), (marks[other] for some in candidates[index] for other in some))
        }


def _resembles(mark: bytes, others: Iterable[bytes]) -> bool:
    return any(estimate_overlap(mark, other) >= NEARLY_THE_SAME for other in others)


def _short_bands(opening: str) -> tuple[int, ...]:
    values = _values(opening)
    if not values:
        return _NO_BANDS
    return tuple([hash(tuple(values[at : at + N_ROWS])) & _32_BITS or 1 for at in range(0, N_ROWS * _N_BANDS, N_ROWS)])


def assign(rows: Iterable[tuple[str, str]], **shares: float) -> list[Split | None]:
    """Return the splits of rows of (kind, opening), in their order; None for those to be left out."""
    rows, splitter = list(rows), Splitter(**shares)
    for kind, text in rows:
        splitter.see(kind, text)
    return [SPLITS[number] for number in splitter.split(lambda some: ((index, rows[index][1]) for index in some))]
