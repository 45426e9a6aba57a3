"""The texts chosen for a dataset version: what is remembered of each, and how they become its rows."""

from array import array
from collections.abc import Iterable, Iterator, Sequence

import orjson
from django.db import connection

from common.bulk import insert_many
from labeling.models import Case, Correction, Example, PreferencePair
from training.actions.composition import BATCH_SIZE, Candidate, text_of, worse_answer
from training.actions.errors import TextsGone
from training.actions.splits import LEFT_OUT, SPLITS, opening
from training.models import DatasetRow, DatasetVersion
from training.states import RowKind

KINDS = tuple(RowKind.values)
_HASH_BYTES = 32
_PAIR = KINDS.index(RowKind.PAIR)


class Chosen:
    """What is kept of each text, in the order in which they were read: 41 bytes."""

    def __init__(self) -> None:
        self.kinds = bytearray()  # numbers in KINDS
        self.suspects: array[int] = array("I")
        self._hashes = bytearray()
        self._pks: array[int] = array("q")

    def __len__(self) -> int:
        return len(self._pks)

    def add(self, row: Candidate, row_hash: bytes, *, is_suspect: bool) -> None:
        if is_suspect:
            self.suspects.append(len(self._pks))
        self._hashes += row_hash
        self.kinds.append(KINDS.index(row.kind))
        self._pks.append(row.example_pk if row.pair_pk is None else row.pair_pk)  # type: ignore[arg-type]

    def row_hash(self, index: int) -> str:
        return self._hash(index).hex()

    def places(self) -> "array[int]":
        """Return the index of the text at each position: in the order of the hashes, one of those that are the same."""
        found: array[int] = array("I")
        buckets: list[array[int]] = [array("I") for _byte in range(256)]  # to sort a few at a time takes little memory
        for index, first in enumerate(self._hashes[::_HASH_BYTES]):
            buckets[first].append(index)
        before = b""
        for bucket in buckets:
            for index in sorted(bucket, key=self._hash):
                if (row_hash := self._hash(index)) != before:
                    before = row_hash
                    found.append(index)
        return found

    def read(self, indexes: Iterable[int]) -> Iterator[tuple[int, Candidate]]:
        """Yield some of the texts again, whatever has become of them meanwhile: a text never changes."""
        wanted = list(indexes)
        for start in range(0, len(wanted), BATCH_SIZE):
            part = wanted[start : start + BATCH_SIZE]
            found: dict[tuple[bool, int], Candidate] = {}
            for is_pair, read in ((False, _examples), (True, _pairs)):
                keys = [self._pks[index] for index in part if (self.kinds[index] == _PAIR) is is_pair]
                found |= {(is_pair, pk): row for pk, row in read(keys)}
            for index in part:
                key = self.kinds[index] == _PAIR, self._pks[index]
                if key not in found:
                    raise TextsGone
                yield index, found[key]

    def openings(self, indexes: Iterable[int]) -> Iterator[tuple[int, str]]:
        for index, row in self.read(indexes):
            yield index, opening(row.messages)

    def pk(self, index: int) -> int:
        return self._pks[index]

    def _hash(self, index: int) -> bytes:
        return bytes(self._hashes[index * _HASH_BYTES : (index + 1) * _HASH_BYTES])


def write_rows(version: DatasetVersion, chosen: Chosen, places: "array[int]", splits: bytearray) -> None:
    """Write the rows of a version. Raises TextsGone where an example was deleted while they were chosen."""
    positions: array[int] = array("i", [-1]) * len(chosen)
    for position, index in enumerate(places):
        if splits[index] != LEFT_OUT:
            positions[index] = position
    # by their keys, as the database reads them fastest
    kept = (index for index, position in enumerate(positions) if position >= 0)
    examples: list[int] = []
    pairs: list[int] = []
    for index in kept:
        (pairs if chosen.kinds[index] == _PAIR else examples).append(index)
        if len(examples) == BATCH_SIZE:
            _copy_examples(version, chosen, examples, positions, splits)
            examples.clear()
    if examples:
        _copy_examples(version, chosen, examples, positions, splits)
    names = ("position", "split", "row_hash", "messages", "rejected", "pair_id")
    for start in range(0, len(pairs), BATCH_SIZE):
        rows = [  # a list: while rows are copied into PostgreSQL nothing can be read
            (positions[at], str(SPLITS[splits[at]]), chosen.row_hash(at), row.messages, row.rejected, row.pair_pk)
            for at, row in chosen.read(pairs[start : start + BATCH_SIZE])
        ]
        insert_many(DatasetRow, names, rows, version_id=version.pk, kind=RowKind.PAIR)


def _copy_examples(
    version: DatasetVersion, chosen: Chosen, indexes: Sequence[int], positions: Sequence[int], splits: bytearray
) -> None:
    """Let the database copy the texts of some examples from one table to the other."""
    keys = [chosen.pk(index) for index in indexes]
    hashes = [chosen.row_hash(index) for index in indexes]
    places = [positions[index] for index in indexes]
    names = [str(SPLITS[splits[index]]) for index in indexes]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            source = "unnest(%s::bigint[], %s::int[], %s::text[], %s::text[]) AS c (pk, position, split, row_hash), "
            # the bounds keep the planner from reading the whole table for each batch
            where = "e.id = c.pk AND e.id BETWEEN %s AND %s"
            cursor.execute(
                _COPY.format(source=source, position="c.position", split="c.split", row_hash="c.row_hash", where=where),
                [version.pk, keys, places, names, hashes, min(keys), max(keys)],
            )
        else:
            cursor.executemany(
                _COPY.format(source="", position="%s", split="%s", row_hash="%s", where="e.id = %s"),
                [(version.pk, *line) for line in zip(places, names, hashes, keys, strict=True)],
            )
        if cursor.rowcount != len(keys):
            raise TextsGone


_COPY = f"""
INSERT INTO {DatasetRow._meta.db_table}
    (version_id, position, split, kind, row_hash, messages, rejected, example_id, pair_id)
SELECT %s, {{position}}, {{split}}, e.kind, {{row_hash}}, e.messages,
       COALESCE(e.rejected,
                (SELECT w.wrong_output FROM {Correction._meta.db_table} r JOIN {Case._meta.db_table} w ON w.id = r.case_id
                 WHERE r.id = e.correction_id)),
       e.id, NULL
FROM {{source}}{Example._meta.db_table} e
WHERE {{where}}
"""


def _examples(pks: list[int]) -> Iterator[tuple[int, Candidate]]:
    names = ("pk", "kind", text_of("messages"), worse_answer())
    for pk, kind, messages, rejected in Example.objects.filter(pk__in=pks).values_list(*names) if pks else ():
        yield pk, Candidate(pk, None, kind, orjson.loads(messages), rejected)


def _pairs(pks: list[int]) -> Iterator[tuple[int, Candidate]]:
    names = ("pk", text_of("messages"), "chosen", "rejected")
    for pk, prompt, chosen, rejected in PreferencePair.objects.filter(pk__in=pks).values_list(*names) if pks else ():
        yield (
            pk,
            Candidate(
                None, pk, RowKind.PAIR, [*orjson.loads(prompt), {"role": "assistant", "content": chosen}], rejected
            ),
        )
