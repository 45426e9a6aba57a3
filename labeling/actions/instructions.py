from collections.abc import Mapping, Sequence

from django.db import transaction

from common.states import record
from labeling.actions.errors import BadHints, MissingChangeNote, StaleInstructions, UnchangedInstructions
from labeling.models import Acknowledgement, Illustration, InstructionVersion, Project, User
from labeling.queries import current_instructions

PARTS = ("prompt", "good", "bad", "why")
HINTS = ("min_words", "max_words", "language")


@transaction.atomic
def publish_instructions(
    *,
    project: Project,
    text: str,
    by: User | None,
    change_note: str = "",
    based_on: int,
    illustrations: Sequence[Mapping[str, str]] = (),
    min_words: int | None = None,
    max_words: int | None = None,
    language: str = "",
) -> InstructionVersion:
    """Publish the next version. `based_on` is the number of the version that the author started from, 0 for none.

    `illustrations` are rows of prompt, good, bad and why. Whoever publishes has read it. The same request again, a double click, returns the version that it made. Raises
    StaleInstructions when another version came in between, UnchangedInstructions, MissingChangeNote from the second
    version on, and BadHints for fewer words at most than at least.
    """
    Project.objects.select_for_update().get(pk=project.pk)
    current = current_instructions(project)
    text = _clean(text)
    rows = [
        row for row in ({part: _clean(each[part]) for part in PARTS} for each in illustrations) if any(row.values())
    ]
    hints = {"min_words": min_words, "max_words": max_words, "language": language.strip()}
    if min_words and max_words and min_words > max_words:
        raise BadHints
    same = current is not None and current.text == text and _rows(current) == rows
    same = same and {name: getattr(current, name) for name in HINTS} == hints
    if current and current.number != based_on:
        is_repeated = same and by is not None and current.published_by_id == by.pk
        if is_repeated and current.number == based_on + 1 and current.change_note == change_note.strip():
            return current
        raise StaleInstructions(current, based_on=based_on)
    if same:
        raise UnchangedInstructions
    if current and not change_note.strip():
        raise MissingChangeNote
    version = InstructionVersion.objects.create(
        project=project,
        number=current.number + 1 if current else 1,
        text=text,
        change_note=change_note.strip(),
        published_by=by,
        **hints,
    )
    Illustration.objects.bulk_create(Illustration(version=version, position=n, **row) for n, row in enumerate(rows, 1))
    record(
        version,
        what="instructions",
        before=f"v{current.number}" if current else "",
        after=f"v{version.number}",
        by=by,
        reason=version.change_note,
    )
    if by is not None:
        acknowledge(version=version, user=by)
    return version


def _clean(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _rows(version: InstructionVersion) -> list[dict[str, str]]:
    return list(version.illustrations.order_by("position").values(*PARTS))


def acknowledge(*, version: InstructionVersion, user: User) -> Acknowledgement:
    """Note that the person has read this version; a second time changes nothing."""
    return Acknowledgement.objects.get_or_create(version=version, user=user)[0]
