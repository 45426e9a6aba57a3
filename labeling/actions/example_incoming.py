"""Conversations on their way in, with all that can be said of them without the database."""

import json
from array import array
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from common.conversations import Message, digest_texts
from labeling.actions.fingerprint import FEWEST_PAIRS
from labeling.findings.fingerprints import (
    NEARLY_THE_SAME,
    band_keys,
    has_pairs,
    list_pairs,
    minhash,
    overlap,
    pack_values,
    pair_words,
)
from labeling.search_text import searchable

PART = "answer"
MOST_CANDIDATES = 10


class Incoming(NamedTuple):
    """A conversation from a file with all that is looked up and kept beside it, in few objects: it goes from process to process.

    The hash of a pair covers its rejected answer: one prompt may have several. A short answer has neither sketch nor bands:
    many prompts may be answered so. `twins` are rows shortly before it that are nearly the same, their places by content.
    """

    place: str
    text: str
    rejected: str | None
    content_hash: str
    prompt_hash: str
    search_text: str
    sketch: bytes
    bands: bytes
    twins: dict[str, str]

    @property
    def messages(self) -> list[Message]:
        return json.loads(self.text)

    @property
    def keys(self) -> Sequence[int]:
        return unpack_keys(self.bands)


def prepare(*, place: str, messages: list[Message], rejected: str | None, project_pk: int) -> Incoming:
    """Compute what needs no database."""
    pairs = list_pairs(messages[-1]["content"])
    sketch = pack_values(minhash(pairs)) if has_pairs(pairs, FEWEST_PAIRS[PART]) else b""
    keys = dict.fromkeys(band_keys(sketch, space=f"{project_pk}:{PART}"))
    return Incoming(
        place=place,
        text=json.dumps(messages),
        rejected=rejected,
        content_hash=digest_texts(messages if rejected is None else [messages, rejected]),
        prompt_hash=digest_texts(messages[:-1]),
        search_text=searchable(messages),
        sketch=sketch,
        bands=array("q", keys).tobytes(),
        twins={},
    )


def unpack_keys(bands: bytes) -> Sequence[int]:
    return memoryview(bands).cast("q").tolist()


class TwinFinder:
    """Notes for each row which ones before it are nearly the same: of its batch, and of the `n_before` batches before."""

    def __init__(self, *, n_before: int):
        self._batches: deque[_Bands] = deque(maxlen=1 + n_before)

    def look(self, rows: Sequence[Incoming]) -> None:
        """Take in the next batch."""
        own = _Bands()
        self._batches.append(own)
        known: set[str] = set()
        for row in rows:
            if row.content_hash in known:
                continue
            known.add(row.content_hash)
            keys = row.keys
            found = {id(other): other for batch in self._batches for other in batch.find(keys)}
            candidates = list(found.values())[:MOST_CANDIDATES]
            near = (other for other in candidates if are_near(row.messages, other.messages))
            row.twins.update((other.content_hash, other.place) for other in near)
            own.add(row, keys)


class _Bands:
    """The rows of a batch by their bands. Nearly every band is that of one row alone, so that only others get a list."""

    def __init__(self) -> None:
        self._first: dict[int, Incoming] = {}
        self._more: dict[int, list[Incoming]] = defaultdict(list)

    def find(self, keys: Sequence[int]) -> Iterator[Incoming]:
        if not self._first.keys().isdisjoint(keys):
            for key in keys:
                if key in self._first:
                    yield from (self._first[key], *self._more.get(key, ()))[:MOST_CANDIDATES]

    def add(self, row: Incoming, keys: Sequence[int]) -> None:
        for key in keys:
            if self._first.setdefault(key, row) is not row:
                self._more[key].append(row)


def are_near(one: Sequence[Message], other: Sequence[Message]) -> bool:
    """Whether the answers and the whole conversations both overlap by three quarters."""
    return _overlap(one[-1:], other[-1:]) and _overlap(one, other)


def _overlap(one: Sequence[Message], other: Sequence[Message]) -> bool:
    return overlap(_pairs_of(one), _pairs_of(other)) >= NEARLY_THE_SAME


def _pairs_of(messages: Sequence[Message]) -> frozenset[str]:
    return pair_words("\n".join(turn["content"] for turn in messages))
