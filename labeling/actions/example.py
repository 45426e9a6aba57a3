from collections.abc import Sequence

from django.db import IntegrityError, transaction
from django.utils import timezone

from common.conversations import Message, digest
from labeling.actions.errors import DuplicateExample, NotAllowed
from labeling.actions.fingerprint import fingerprint_examples
from labeling.models import (
    Correction,
    Example,
    InstructionVersion,
    PreferencePair,
    Project,
    Submission,
    User,
)
from labeling.states import ExampleKind


def create_example(
    *,
    project: Project,
    messages: Sequence[Message],
    origin: Submission | Correction,
    author: User | None,
    accepted_by: User | None,
    instruction_version: InstructionVersion | None,
) -> Example:
    """Make the training row of an accepted submission or correction. `messages` is a clean conversation.

    Raises DuplicateExample when the project trains on exactly this conversation already; the caller's transaction
    stays usable. Raises NotAllowed for gold work: it measures people, so it is never trained on.
    """
    if isinstance(origin, Submission) and origin.is_gold:
        raise NotAllowed
    correction = origin if isinstance(origin, Correction) else None
    row = Example(
        project=project,
        kind=ExampleKind.CORRECTION if correction else ExampleKind.DEMONSTRATION,
        messages=list(messages),
        content_hash=digest(list(messages)),
        prompt_hash=digest(list(messages[:-1])),
        correction=correction,
        submission=origin if isinstance(origin, Submission) else None,
        author=author,
        accepted_by=accepted_by,
        instruction_version=instruction_version,
    )
    same = Example.objects.trainable().filter(project=project, content_hash=row.content_hash)
    try:
        with transaction.atomic():
            if existing := same.first():
                raise DuplicateExample(existing)
            row.save()
            fingerprint_examples([row])
            if row.submission is not None:
                row.tags.set(row.submission.task.tags.all())
    except IntegrityError:
        existing = same.first()
        if existing is None:
            raise
        raise DuplicateExample(existing) from None
    return row


def replace_example(*, correction: Correction) -> None:
    """Retract the example and the preference pair of a correction that a later one of the same case replaces.

    Where another case's correction is the same conversation and leant on this example, it gets one of its own: what
    was accepted there stays in training.
    """
    now = timezone.now()
    with transaction.atomic():
        PreferencePair.objects.filter(correction=correction, retracted_at__isnull=True).update(retracted_at=now)
        former = Example.objects.trainable().filter(correction=correction).first()
        if former is None:
            return
        Example.objects.filter(pk=former.pk).update(retracted_at=now)
        heir = (
            Correction.objects.filter(
                case__project_id=former.project_id,
                case__prompt_hash=former.prompt_hash,
                text=correction.text,
                example__isnull=True,
                preference_pair__retracted_at__isnull=True,
                preference_pair__isnull=False,
            )
            .exclude(pk=correction.pk)
            .first()
        )
        if heir is not None:
            create_example(
                project=former.project,
                messages=former.messages,
                origin=heir,
                author=heir.author,
                accepted_by=heir.author,
                instruction_version=heir.instruction_version,
            )
