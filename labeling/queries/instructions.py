"""Reads about versions of the instructions: what changed, who has read what, what follows an earlier one."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Count
from django.utils.translation import gettext_lazy as _

from common.diff import Piece, diff, diff_long
from labeling.models import Example, Illustration, InstructionVersion, Membership, Project

HINTS = {
    "min_words": _("fewest words of a response"),
    "max_words": _("most words of a response"),
    "language": _("language of a response"),
}
PARTS = ("prompt", "good", "bad", "why")


@dataclass(frozen=True)
class IllustrationDiff:
    """A row of good and bad answers in two versions. `kind`: same, changed, added or removed."""

    kind: str
    prompt: list[Piece]
    good: list[Piece]
    bad: list[Piece]
    why: list[Piece]


@dataclass(frozen=True)
class VersionDiff:
    """What changed from one version to another: the text, the rows of examples, the hints as (name, before, after)."""

    text: list[Piece]
    illustrations: list[IllustrationDiff]
    hints: list[tuple[str, str, str]]

    @property
    def is_text_changed(self) -> bool:
        return any(piece.kind != "same" for piece in self.text)


def diff_versions(before: InstructionVersion, after: InstructionVersion) -> VersionDiff:
    """Compare two versions. Rows of examples that changed or moved are compared; equal ones are left out."""
    hints = []
    for name in HINTS:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            hints.append((str(HINTS[name]), str(old or "–"), str(new or "–")))
    pairs = _pair(list(before.illustrations.all()), list(after.illustrations.all()))
    rows = [_compare(old, new) for old, new in pairs]
    return VersionDiff(diff_long(before.text, after.text), [row for row in rows if row.kind != "same"], hints)


def _pair(
    old: list[Illustration], new: list[Illustration]
) -> Iterator[tuple[Illustration | None, Illustration | None]]:
    """Pair the rows with the same prompt; the others in their order."""
    by_prompt = {row.prompt: row for row in old}
    pairs = [(by_prompt.pop(row.prompt, None), row) for row in new]
    left = iter([row for row in old if row.prompt in by_prompt and by_prompt[row.prompt] is row])
    matched = [(former or next(left, None), row) for former, row in pairs]
    yield from matched
    yield from ((row, None) for row in left)


def _compare(old: Illustration | None, new: Illustration | None) -> IllustrationDiff:
    pieces = {part: diff(getattr(old, part, ""), getattr(new, part, "")) for part in PARTS}
    is_same = all(piece.kind == "same" for each in pieces.values() for piece in each)
    kind = "added" if old is None else "removed" if new is None else "same" if is_same else "changed"
    return IllustrationDiff(kind, **pieces)


def last_read(membership: Membership, version: InstructionVersion) -> InstructionVersion | None:
    """Return the version before this one that the person acknowledged last, None for a newcomer."""
    rows = membership.project.instruction_versions.filter(
        number__lt=version.number, acknowledgements__user_id=membership.user_id
    )
    return rows.order_by("-number").first()


def examples_by_version(project: Project) -> dict[int, int]:
    """Return how many examples that are trained on follow each version, by its number."""
    rows = Example.objects.trainable().filter(project=project, instruction_version__isnull=False).order_by()
    return dict(rows.values_list("instruction_version__number").annotate(n=Count("pk")))
