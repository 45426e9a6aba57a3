from django.db import transaction

from common.states import record
from labeling.actions.errors import MissingChangeNote, StaleInstructions, UnchangedInstructions
from labeling.models import Acknowledgement, InstructionVersion, Project, User
from labeling.queries import current_instructions


@transaction.atomic
def publish_instructions(
    *, project: Project, text: str, by: User | None, change_note: str = "", based_on: int
) -> InstructionVersion:
    """Publish the next version. `based_on` is the number of the version that the author started from, 0 for none.

    Whoever publishes has read it. Raises StaleInstructions when another version came in between,
    UnchangedInstructions, and MissingChangeNote from the second version on.
    """
    Project.objects.select_for_update().get(pk=project.pk)
    current = current_instructions(project)
    if current and current.number != based_on:
        raise StaleInstructions(current)
    text = text.replace("\r\n", "\n").strip()
    if current and current.text == text:
        raise UnchangedInstructions
    if current and not change_note.strip():
        raise MissingChangeNote
    version = InstructionVersion.objects.create(
        project=project,
        number=current.number + 1 if current else 1,
        text=text,
        change_note=change_note.strip(),
        published_by=by,
    )
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


def acknowledge(*, version: InstructionVersion, user: User) -> Acknowledgement:
    """Note that the person has read this version; a second time changes nothing."""
    return Acknowledgement.objects.get_or_create(version=version, user=user)[0]
