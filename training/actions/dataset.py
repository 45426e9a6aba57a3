"""Freezing examples into dataset versions."""

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db import transaction
from django.db.models import Max
from django.utils.translation import ngettext

from common.conversations import Message, digest
from common.states import record
from labeling.models import Example, Probe, Project, User
from labeling.states import ExampleKind
from training.actions.errors import LeakedProbe, NothingToFreeze
from training.models import DatasetRow, DatasetVersion
from training.states import Split

VALID_SHARE = 0.1
BATCH_SIZE = 500


@dataclass(frozen=True)
class FrozenRow:
    """A row about to be frozen. `row_hash` covers what is trained on: kind, messages and the rejected output."""

    example_pk: int | None
    kind: str
    messages: list[Message]
    rejected: str | None
    split: Split = Split.TRAIN

    @property
    def row_hash(self) -> str:
        return digest({"kind": self.kind, "messages": self.messages, "rejected": self.rejected})


def freeze_dataset(*, project: Project, by: User | None = None, note: str = "") -> DatasetVersion:
    """Freeze all trainable examples of the project into a version, or return the version that has just this content.

    Rows stand in the order of their hashes, so that content alone decides. Raises NothingToFreeze, and LeakedProbe when
    a training row asks what a probe of an active test asks.
    """
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)  # of two freezes at once the second finds the first's
        rows = assign_splits(_read_rows(project))
        if not rows:
            raise NothingToFreeze
        refuse_leaks(project, rows)
        content_hash = digest([[row.row_hash, row.split] for row in rows])
        existing = DatasetVersion.objects.filter(project=project, content_hash=content_hash).first()
        if existing:
            return existing
        n_valid = sum(row.split == Split.VALID for row in rows)
        number = DatasetVersion.objects.filter(project=project).aggregate(last=Max("number"))["last"] or 0
        version = DatasetVersion.objects.create(
            project=project,
            number=number + 1,
            content_hash=content_hash,
            n_train=len(rows) - n_valid,
            n_valid=n_valid,
            note=note,
            created_by=by,
        )
        DatasetRow.objects.bulk_create(
            (
                DatasetRow(
                    version=version,
                    position=position,
                    split=row.split,
                    kind=row.kind,
                    row_hash=row.row_hash,
                    messages=row.messages,
                    rejected=row.rejected,
                    example_id=row.example_pk,
                )
                for position, row in enumerate(rows)
            ),
            batch_size=BATCH_SIZE,
        )
        record(version, what="dataset version", after=f"v{version.number}: {len(rows)} rows", by=by, reason=note)
    return version


def assign_splits(rows: Sequence[FrozenRow]) -> list[FrozenRow]:
    """Return the rows, each text once, in canonical order and with their splits.

    Corrections always train: what is held out of them are their probes. A demonstration is held out for validation when
    the hash of its opening says so, which no other row can change, unless a correction trains on that very opening.
    """
    unique = {row.row_hash: row for row in rows}
    trained_openings = {opening(row.messages) for row in rows if row.kind == ExampleKind.CORRECTION}

    def split(row: FrozenRow) -> Split:
        if row.kind == ExampleKind.CORRECTION or opening(row.messages) in trained_openings:
            return Split.TRAIN
        return Split.VALID if is_held_out(row.messages) else Split.TRAIN

    return [replace(unique[row_hash], split=split(unique[row_hash])) for row_hash in sorted(unique)]


def opening(messages: Sequence[Message]) -> str:
    """Return the first thing that the user says, without letter case, spacing and punctuation.

    Near-duplicates and the later turns of one conversation share it, and so they share a split.
    """
    text = next(message["content"] for message in messages if message["role"] == "user")
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(letter if letter.isalnum() else " " for letter in folded).split()
    return " ".join(words) or text


def is_held_out(messages: Sequence[Message]) -> bool:
    """Whether the hash of the conversation's opening falls into the share that is held out."""
    first_bytes = hashlib.sha256(opening(messages).encode("utf-8", "surrogatepass")).digest()[:8]
    return int.from_bytes(first_bytes) < VALID_SHARE * 2**64


def refuse_leaks(project: Project, rows: Sequence[FrozenRow]) -> None:
    """Raise LeakedProbe when a training row's prompt is that of a probe: a test that was trained on measures nothing."""
    trained = {digest(row.messages[:-1]) for row in rows if row.split == Split.TRAIN}
    probes = Probe.objects.filter(test__project=project, test__is_active=True).select_related("test")
    leaked = [probe for probe in probes if probe.prompt_hash in trained]
    if not leaked:
        return
    prompts = [probe.messages[-1]["content"] for probe in leaked]
    case_pks = sorted({probe.test.case_id for probe in leaked})
    message = ngettext(
        "A training row asks exactly what a held-out probe asks: “%(prompt)s” (case %(cases)s). "
        "Take back that example, or correct the case again with another probe.",
        "%(count)d training rows ask exactly what held-out probes ask: “%(prompt)s” and others (cases %(cases)s). "
        "Take back those examples, or correct the cases again with other probes.",
        len(leaked),
    ) % {
        "count": len(leaked),
        "prompt": prompts[0][:200],
        "cases": ", ".join(f"#{pk}" for pk in case_pks[:10]),
    }
    raise LeakedProbe(message, prompts=prompts, case_pks=case_pks)


def _read_rows(project: Project) -> list[FrozenRow]:
    examples = Example.objects.filter(project=project).trainable().order_by("pk")
    fields = ("pk", "kind", "messages", "correction__case__wrong_output")
    return [
        FrozenRow(example_pk=pk, kind=kind, messages=messages, rejected=rejected)
        for pk, kind, messages, rejected in examples.values_list(*fields).iterator(chunk_size=BATCH_SIZE)
    ]
