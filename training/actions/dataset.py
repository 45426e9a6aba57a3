"""Freezing texts into dataset versions.

The texts are read once, and of each some eighty bytes are kept: its hash, its key, and what tells its split. The few that may
resemble a held-out row or ask what a probe asks are read again. Then the database copies the texts into rows by itself.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import Max

from common.conversations import Message, canonical_json, canonical_texts
from common.states import record
from labeling.models import Project, User
from training.actions.chosen import KINDS, Chosen, write_rows
from training.actions.composition import BATCH_SIZE, Candidate, Composition, candidates
from training.actions.errors import NothingToFreeze
from training.actions.leaks import LeakGuard
from training.actions.splits import LEFT_OUT, SPLITS, TEST, TRAIN, VALID, Splitter, opening
from training.models import DatasetVersion
from training.states import Split


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
    text = canonical_texts({"kind": kind, "messages": messages, "rejected": rejected})
    return hashlib.sha256(text).digest()


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
    splitter, guard, chosen = Splitter(test_share=rules.test_share), LeakGuard(project), Chosen()
    for row, row_hash in choose(project, rules):
        text = opening(row.messages)
        splitter.see(row.kind, text)
        chosen.add(row, row_hash, is_suspect=guard.suspects(row.messages, text))
    if not len(chosen):
        raise NothingToFreeze
    splits = splitter.split(chosen.openings)
    places = chosen.places()
    _refuse_leaks(guard, chosen, splits, places, splitter.tested_corrections(chosen.openings))
    weights = {number: rules.weight(kind) for number, kind in enumerate(KINDS) if rules.weight(kind) != 1}
    content_hash = _digest_of(
        [chosen.row_hash(index), SPLITS[splits[index]], *_weight(weights, chosen.kinds[index])]
        for index in places
        if splits[index] != LEFT_OUT
    )
    counts = Counter(splits[index] for index in places)
    if counts[LEFT_OUT] == len(places):
        raise NothingToFreeze
    existing = DatasetVersion.objects.filter(project=project, content_hash=content_hash).first()
    if existing:
        raise _KnownAlready(existing)
    number = DatasetVersion.objects.filter(project=project).aggregate(last=Max("number"))["last"] or 0
    version = DatasetVersion.objects.create(
        project=project,
        number=number + 1,
        content_hash=content_hash,
        n_train=counts[TRAIN],
        n_valid=counts[VALID],
        n_test=counts[TEST],
        composition=rules.as_json(),
        note=note,
        created_by=by,
    )
    write_rows(version, chosen, places, splits)
    return version


def _weight(weights: dict[int, float], kind: int) -> list[float]:
    return [weights[kind]] if kind in weights else []


def _refuse_leaks(guard: LeakGuard, chosen: Chosen, splits: bytearray, places: "array[int]", tested: set[int]) -> None:
    """Raises LeakedProbe, LeakedTest."""
    suspects = {index for index in chosen.suspects if splits[index] == TRAIN}
    for index, row in chosen.read(sorted(suspects.intersection(places))):
        guard.look_at(chosen.row_hash(index), row.messages, opening(row.messages), row.example_pk)
    for index, row in chosen.read(sorted(tested.intersection(places))):
        guard.add_tested(chosen.row_hash(index), row.messages)
    guard.refuse()


def choose(project: Project, rules: Composition) -> Iterator[tuple[Candidate, bytes]]:
    """Yield what the rules take, each with its hash."""
    without = set(rules.without)
    for row in candidates(project, rules):
        row_hash = hash_row(row.kind, row.messages, row.rejected)
        if without and row_hash.hex() in without:
            continue
        if row.is_old and int.from_bytes(row_hash[:8]) >= rules.replay_share * 2**64:
            continue
        yield row, row_hash


def _digest_of(marks: Iterator[list[Any]]) -> str:
    """Return the SHA-256 of the canonical form of [[row hash, split], ...], with the weight where there is one."""
    hashed, is_first = hashlib.sha256(b"["), True
    while part := list(islice(marks, BATCH_SIZE)):
        hashed.update(("" if is_first else ",").encode() + canonical_json(part)[1:-1].encode())
        is_first = False
    hashed.update(b"]")
    return hashed.hexdigest()
