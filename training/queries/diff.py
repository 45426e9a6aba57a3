"""What changed between two versions: rows added, removed, and changed, which is the same question with another text."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from common.conversations import digest
from common.diff import TurnDiff, diff, diff_turns
from labeling.models import User
from training.models import DatasetRow, DatasetVersion

KINDS = ("added", "removed", "changed")
CHUNK = 400


@dataclass(frozen=True)
class Change:
    """A row of the older version, of the newer one, or one of each."""

    old: DatasetRow | None
    new: DatasetRow | None

    @property
    def kind(self) -> str:
        return "changed" if self.old and self.new else "added" if self.new else "removed"

    @property
    def row(self) -> DatasetRow:
        row = self.new or self.old
        assert row is not None
        return row

    @property
    def turns(self) -> list[TurnDiff]:
        """The conversation with its changes, word by word; of one row alone, all of it as it is."""
        old, new = (each.messages if each else self.row.messages for each in (self.old, self.new))
        return diff_turns(old, new)

    @property
    def rejected(self) -> list[Any]:
        """The changes of the rejected answer; empty where it is the same."""
        if not self.old or not self.new or self.old.rejected == self.new.rejected:
            return []
        return diff(self.old.rejected or "", self.new.rejected or "")


@dataclass
class Count:
    """How many rows of a source, or of a person, were added, removed and changed."""

    label: Any
    added: int = 0
    removed: int = 0
    changed: int = 0


@dataclass(frozen=True)
class _Key:
    """What is known of a row without its text."""

    pk: int
    kind: str
    author: int | None
    example: int | None
    prompt: str


@dataclass
class VersionDiff:
    """Keys of the rows, each list in the order of the versions; a change is (older row, newer row)."""

    old: DatasetVersion
    new: DatasetVersion
    added: list[int] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    changed: list[tuple[int, int]] = field(default_factory=list)
    by_source: list[Count] = field(default_factory=list)
    by_person: list[Count] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        return {kind: len(getattr(self, kind)) for kind in KINDS}

    def changes(self, kind: str, start: int, stop: int) -> list[Change]:
        """Return a stretch of the rows of one kind, with their texts."""
        wanted = getattr(self, kind)[start:stop]
        if kind == "changed":
            rows = _in_bulk([pk for pair in wanted for pk in pair])
            return [Change(rows[old], rows[new]) for old, new in wanted]
        rows = _in_bulk(wanted)
        return [Change(None, rows[pk]) if kind == "added" else Change(rows[pk], None) for pk in wanted]


def diff_versions(old: DatasetVersion, new: DatasetVersion) -> VersionDiff:
    """Compare two versions by the hashes of their rows.

    A removed and an added row are one change when they come from the same example, or ask the same: their prompts are
    equal. What both versions hold is not read at all, and of the others only keys, but for rows of files, which have no
    example that knows the hash of its prompt.
    """
    removed = _keys(old.rows.exclude(row_hash__in=new.rows.order_by().values("row_hash")))
    added = _keys(new.rows.exclude(row_hash__in=old.rows.order_by().values("row_hash")))
    pairs = _pairs(removed, added)
    paired = {key.pk for pair in pairs for key in pair}
    removed = [key for key in removed if key.pk not in paired]
    added = [key for key in added if key.pk not in paired]
    newer = [key for _old, key in pairs]
    found = VersionDiff(
        old,
        new,
        added=[key.pk for key in added],
        removed=[key.pk for key in removed],
        changed=[(before.pk, after.pk) for before, after in pairs],
    )
    parts = {"added": added, "removed": removed, "changed": newer}
    found.by_source = _count(parts, lambda key: key.kind)
    found.by_person = _count(parts, lambda key: key.author)
    names = User.objects.in_bulk([count.label for count in found.by_person if count.label is not None])
    for count in found.by_person:
        count.label = names.get(count.label)
    return found


def _keys(rows: "QuerySet[DatasetRow]") -> list[_Key]:
    rows = rows.order_by("position")
    fields = ("pk", "kind", "example__author_id", "example_id", "example__prompt_hash")
    keys = [_Key(*values) for values in rows.filter(example__isnull=False).values_list(*fields)]
    if keys and not rows.filter(example__isnull=True).exists():
        return keys
    of_files = rows.filter(example__isnull=True).values_list("pk", "kind", "messages")
    for pk, kind, messages in of_files.iterator(chunk_size=CHUNK):
        keys.append(_Key(pk, kind, None, None, digest(messages[:-1])))
    return keys


def _pairs(removed: Sequence[_Key], added: Sequence[_Key]) -> list[tuple[_Key, _Key]]:
    """Return the removed and the added rows that belong together, each row once: by example first, then by prompt."""
    found: list[tuple[_Key, _Key]] = []
    taken: set[int] = set()
    for name in ("example", "prompt"):
        waiting: dict[Any, list[_Key]] = {}
        for key in removed:
            if key.pk not in taken and getattr(key, name) is not None:
                waiting.setdefault((key.kind, getattr(key, name)), []).append(key)
        for key in added:
            partners = waiting.get((key.kind, getattr(key, name)))
            if key.pk not in taken and partners:
                partner = partners.pop(0)
                taken |= {key.pk, partner.pk}
                found.append((partner, key))
    return found


def _count(parts: dict[str, list[_Key]], label: Any) -> list[Count]:
    counts: dict[Any, Count] = {}
    for kind, keys in parts.items():
        for value, n in Counter(map(label, keys)).items():
            setattr(counts.setdefault(value, Count(value)), kind, n)
    return sorted(counts.values(), key=lambda count: -(count.added + count.removed + count.changed))


def _in_bulk(pks: Iterable[int]) -> dict[int, DatasetRow]:
    return DatasetRow.objects.select_related("example__author", "version").in_bulk(list(pks))
