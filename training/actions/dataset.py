"""Freezing texts into dataset versions.

Two passes, so that a million rows fit into little memory: the first reads what the rules take and keeps hashes alone, the
second reads the same texts again, a batch at a time, and writes them as rows.
"""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson
from django.db import connection, transaction
from django.db.models import Max

from common.conversations import Message, canonical_json
from common.states import record
from labeling.models import Example, PreferencePair, Project, User
from training.actions.composition import BATCH_SIZE, Candidate, Composition, candidates, text_of, worse_answer
from training.actions.errors import NothingToFreeze
from training.actions.leaks import LeakGuard
from training.actions.splits import Splitter, opening
from training.models import DatasetRow, DatasetVersion
from training.states import Split

_COLUMNS = ("version_id", "position", "split", "kind", "row_hash", "messages", "rejected", "example_id", "pair_id")
_EXAMPLE, _PAIR = 0, 1
_SPLITS = (Split.TRAIN, Split.VALID, Split.TEST)


@dataclass(frozen=True, slots=True)
class FrozenRow:
    """A row about to be frozen. `row_hash` covers what is trained on: kind, messages and the rejected output."""

    example_pk: int | None
    kind: str
    messages: list[Message]
    rejected: str | None
    split: Split = Split.TRAIN

    @property
    def row_hash(self) -> str:
        return hash_row(self.kind, self.messages, self.rejected).hex()


def hash_row(kind: str, messages: Sequence[Message], rejected: str | None) -> bytes:
    """Return the SHA-256 of the row's canonical form, 32 bytes."""
    value = {"kind": kind, "messages": messages, "rejected": rejected}
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)  # the bytes of canonical_json, sooner
    except TypeError:  # half a character, which only canonical_json can write
        text = canonical_json(value).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).digest()


@dataclass
class _Chosen:
    """What the first pass keeps of each text, in the order in which it read them."""

    hashes: list[bytes] = field(default_factory=list)
    pks: "array[int]" = field(default_factory=lambda: array("q"))
    sources: bytearray = field(default_factory=bytearray)

    def add(self, row: Candidate, row_hash: bytes) -> None:
        self.hashes.append(row_hash)
        self.sources.append(_EXAMPLE if row.pair_pk is None else _PAIR)
        self.pks.append(row.example_pk if row.pair_pk is None else row.pair_pk)  # type: ignore[arg-type]

    def positions(self) -> "tuple[array[int], array[int]]":
        """Return each text's position in the order of the hashes (-1 for one that another says word for word), and the other
        way round the index of the text at each position."""
        found, places = array("q", [-1]) * len(self.hashes), array("q")
        before: bytes | None = None
        for index in sorted(range(len(self.hashes)), key=self.hashes.__getitem__):
            if self.hashes[index] != before:
                before, found[index] = self.hashes[index], len(places)
                places.append(index)
        return found, places


class _KnownAlready(Exception):
    def __init__(self, version: DatasetVersion) -> None:
        self.version = version


def freeze_dataset(
    *, project: Project, by: User | None = None, note: str = "", composition: Composition | None = None
) -> DatasetVersion:
    """Freeze what the rules take, by default all trainable examples, or return the version that has just this content.

    Rows stand in the order of their hashes, so that content alone decides. Raises NothingToFreeze, and LeakedProbe or
    LeakedTest when a training row asks what is held out to be tested.
    """
    rules = composition or Composition()
    try:
        with transaction.atomic():
            Project.objects.select_for_update().get(
                pk=project.pk
            )  # of two freezes at once the second finds the first's
            version = _freeze(project, rules, by, note)
            rows = f"v{version.number}: {version.n_examples} rows"
            record(version, what="dataset version", after=rows, by=by, reason=note)
    except _KnownAlready as known:
        return known.version
    return version


def _freeze(project: Project, rules: Composition, by: User | None, note: str) -> DatasetVersion:
    splitter = Splitter(test_share=rules.test_share)
    chosen = choose(project, rules, splitter)
    if not chosen.hashes:
        raise NothingToFreeze
    number = DatasetVersion.objects.filter(project=project).aggregate(last=Max("number"))["last"] or 0
    version = DatasetVersion.objects.create(
        project=project,
        number=number + 1,
        content_hash="",
        n_train=0,
        n_valid=0,
        composition=rules.as_json(),
        note=note,
        created_by=by,
    )
    positions, places = chosen.positions()
    splits = bytearray(len(places))
    guard, counts = LeakGuard(project, splitter), Counter[Split]()

    def lines() -> Iterator[tuple[Any, ...]]:
        for index, row in enumerate(_read_again(chosen)):
            position = positions[index]
            if position < 0:
                continue
            text = opening(row.messages)
            split = splitter.split(row.kind, text)
            if split is None:
                continue
            row_hash = chosen.hashes[index].hex()
            if split == Split.TRAIN:
                guard.look_at(row_hash, row.kind, row.messages, text, row.example_pk)
            counts[split] += 1
            splits[position] = 1 + _SPLITS.index(split)
            if rules.weight(row.kind) != 1:
                weights[position] = rules.weight(row.kind)
            yield (
                version.pk, position, str(split), row.kind, row_hash, _dump(row.messages),
                row.rejected, row.example_pk, row.pair_pk,
            )  # fmt: skip

    weights: dict[int, float] = {}
    _insert(lines())
    guard.refuse()
    if not counts:
        raise NothingToFreeze
    version.content_hash = _digest_of(
        [
            chosen.hashes[places[position]].hex(),
            _SPLITS[split - 1],
            *([weights[position]] if position in weights else []),
        ]
        for position, split in enumerate(splits)
        if split
    )
    existing = DatasetVersion.objects.filter(project=project, content_hash=version.content_hash).first()
    if existing:
        raise _KnownAlready(existing)
    version.n_train, version.n_valid, version.n_test = (counts[each] for each in (Split.TRAIN, Split.VALID, Split.TEST))
    version.save(update_fields=["content_hash", "n_train", "n_valid", "n_test"])
    return version


def choose(project: Project, rules: Composition, splitter: Splitter) -> _Chosen:
    """Read what the rules take once, and show it to the splitter."""
    chosen, without = _Chosen(), set(rules.without)
    for row in candidates(project, rules):
        row_hash = hash_row(row.kind, row.messages, row.rejected)
        if without and row_hash.hex() in without:
            continue
        if row.is_old and int.from_bytes(row_hash[:8]) >= rules.replay_share * 2**64:
            continue
        splitter.see(row.kind, opening(row.messages))
        chosen.add(row, row_hash)
    return chosen


def _read_again(chosen: _Chosen) -> Iterator[Candidate]:
    """Yield the texts by their keys: what was chosen is frozen, whatever has become of it meanwhile. A text never changes."""
    for start in range(0, len(chosen.pks), BATCH_SIZE):
        part = range(start, min(start + BATCH_SIZE, len(chosen.pks)))
        keys = {source: [chosen.pks[i] for i in part if chosen.sources[i] == source] for source in (_EXAMPLE, _PAIR)}
        found = {(_EXAMPLE, row.example_pk): row for row in _examples(keys[_EXAMPLE])}
        found |= {(_PAIR, row.pair_pk): row for row in _pairs(keys[_PAIR])}
        for index in part:
            yield found[chosen.sources[index], chosen.pks[index]]


def _examples(pks: list[int]) -> Iterator[Candidate]:
    names = ("pk", "kind", text_of("messages"), worse_answer())
    for pk, kind, messages, rejected in Example.objects.filter(pk__in=pks).values_list(*names) if pks else ():
        yield Candidate(pk, None, kind, orjson.loads(messages), rejected)


def _pairs(pks: list[int]) -> Iterator[Candidate]:
    names = ("pk", text_of("messages"), "chosen", "rejected")
    for pk, prompt, chosen, rejected in PreferencePair.objects.filter(pk__in=pks).values_list(*names) if pks else ():
        yield Candidate(None, pk, "pair", [*orjson.loads(prompt), {"role": "assistant", "content": chosen}], rejected)


def _dump(messages: Sequence[Message]) -> str:
    try:
        return orjson.dumps(messages).decode()
    except TypeError:
        return json.dumps(messages)


def _digest_of(marks: Iterator[list[Any]]) -> str:
    """Return the SHA-256 of the canonical form of [[row hash, split], ...], with the weight where there is one."""
    hashed, is_first = hashlib.sha256(b"["), True
    while part := list(islice(marks, BATCH_SIZE)):
        hashed.update(("" if is_first else ",").encode() + canonical_json(part)[1:-1].encode())
        is_first = False
    hashed.update(b"]")
    return hashed.hexdigest()


def _insert(lines: Iterator[tuple[Any, ...]]) -> None:
    """Write rows as the database takes them fastest, in the caller's transaction; between two batches `lines` may read."""
    table, columns = DatasetRow._meta.db_table, ", ".join(_COLUMNS)
    places = ", ".join(["%s"] * len(_COLUMNS))
    with connection.cursor() as cursor:
        while part := list(islice(lines, BATCH_SIZE)):
            if connection.vendor == "postgresql":
                with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                    for line in part:
                        copy.write_row(line)
            else:
                cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", part)
