import uuid
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from common.conversations import ConversationError, Message, clean, digest
from common.states import StaleState, move
from labeling.actions.errors import (
    AlreadyDecided,
    BadConversation,
    BadProbe,
    CommentNeeded,
    HeldByOther,
    NotAllowed,
    OwnWork,
)
from labeling.actions.example import create_example
from labeling.actions.task import reopen_task
from labeling.models import Probe, Project, Review, Submission, User
from labeling.states import SUBMISSION_MOVES, SubmissionState, TaskKind, Verdict

STATE_AFTER = {
    Verdict.ACCEPT: SubmissionState.ACCEPTED,
    Verdict.EDIT: SubmissionState.ACCEPTED,
    Verdict.SEND_BACK: SubmissionState.RETURNED,
    Verdict.REJECT: SubmissionState.REJECTED,
}
NO_LEASE: dict[str, Any] = {"leased_by": None, "lease_token": None, "lease_expires_at": None}


def take_submission(*, project: Project, reviewer: User, after: int = 0) -> Submission | None:
    """Lease the oldest submission that the person may review, None where nothing waits.

    One that the person holds already comes first. `after` is the key of one that they skipped: younger ones are taken
    before it. Two reviewers who ask at once get two submissions: rows under way are skipped where the database can,
    and the lease is set by compare-and-set everywhere.
    """
    rows = Submission.objects.filter(project=project).reviewable_by(reviewer)
    while True:
        with transaction.atomic():
            locked = rows.select_for_update(skip_locked=True)
            held = locked.filter(leased_by=reviewer, lease_expires_at__gt=timezone.now())
            row = held.first() or locked.filter(pk__gt=after).first() or locked.first()
            if row is None:
                return None
            row.project = project
            if _lease(row, reviewer):
                return row


def take_this_submission(*, submission: Submission, reviewer: User) -> bool:
    """Lease one submission that the person opened by its address; False where it cannot be theirs now."""
    if submission.author_id == reviewer.pk or submission.is_gold or submission.state != SubmissionState.SUBMITTED:
        return False
    return _lease(submission, reviewer)


def release_submission(*, submission: Submission, by: User) -> None:
    """Give the submission back to the queue. Without effect where somebody else holds it."""
    Submission.objects.filter(pk=submission.pk, leased_by=by).update(**NO_LEASE)


def _lease(row: Submission, reviewer: User) -> bool:
    free = Q(leased_by__isnull=True) | Q(leased_by=reviewer) | Q(lease_expires_at__lte=timezone.now())
    lease = {
        "leased_by": reviewer,
        "lease_token": uuid.uuid4(),
        "lease_expires_at": timezone.now() + timedelta(minutes=row.project.lease_minutes),
    }
    changed = Submission.objects.filter(free, pk=row.pk, state=SubmissionState.SUBMITTED).update(**lease)
    if changed:
        for name, value in lease.items():
            setattr(row, name, value)
    return bool(changed)


def editable_from(submission: Submission) -> int:
    """Return the index of the first turn that a reviewer may edit: a given prompt stays as it is."""
    return len(submission.task.messages) if submission.task.kind == TaskKind.ANSWER else 0


def review_submission(
    *, submission: Submission, verdict: Verdict, by: User, comment: str = "", messages: list[Message] | None = None
) -> Review:
    """Decide on a submission that waits. Accepting makes the example in the same transaction.

    `messages` is the edited conversation of "edit and accept"; equal to the submission's it counts as "accept".
    Raises OwnWork, HeldByOther, CommentNeeded (send back and reject), AlreadyDecided, BadConversation,
    DuplicateExample, and BadProbe when the prompt is held out as a probe.
    """
    comment = comment.strip()
    if submission.author_id == by.pk:
        raise OwnWork
    if verdict in (Verdict.SEND_BACK, Verdict.REJECT) and not comment:
        raise CommentNeeded
    with transaction.atomic():
        row = Submission.objects.select_for_update(of=("self",)).select_related("task", "project").get(pk=submission.pk)
        if row.state != SubmissionState.SUBMITTED:
            raise AlreadyDecided(Review.objects.filter(submission=row).select_related("reviewer").first())
        if row.is_gold:
            raise NotAllowed(_("This is gold work: it is graded, not reviewed, and never becomes an example."))
        if row.is_held_by_other(by):
            raise HeldByOther
        edited = _edited(row, messages) if verdict == Verdict.EDIT else None
        verdict = Verdict.ACCEPT if verdict == Verdict.EDIT and edited is None else verdict
        try:
            move(row, STATE_AFTER[verdict], moves=SUBMISSION_MOVES, by=by, reason=comment, **NO_LEASE)
        except StaleState as error:
            raise AlreadyDecided(None) from error
        review = Review.objects.create(submission=row, reviewer=by, verdict=verdict, comment=comment, messages=edited)
        if row.state == SubmissionState.ACCEPTED:
            _accept(row, edited or row.messages, by)
        elif row.state == SubmissionState.REJECTED:
            reopen_task(task=row.task, by=by, reason="rejected")
    submission.refresh_from_db()
    return review


def _edited(submission: Submission, messages: list[Message] | None) -> list[Message] | None:
    """Return the cleaned edit, None where it changes nothing."""
    try:
        edited = clean(messages, ends_with="assistant")
    except ConversationError as error:
        raise BadConversation(error.code) from error
    given = editable_from(submission)
    if edited[:given] != submission.messages[:given]:
        raise BadConversation("other_prompt")
    return None if edited == submission.messages else edited


def _accept(submission: Submission, messages: list[Message], by: User) -> None:
    held_out = Probe.objects.filter(
        prompt_hash=digest(messages[:-1]), test__project_id=submission.project_id, test__is_active=True
    )
    if held_out.exists():
        raise BadProbe(_("This prompt is held out as a probe of a case, so no answer to it may be trained on."))
    create_example(
        project=submission.project,
        messages=messages,
        origin=submission,
        author=submission.author,
        accepted_by=by,
        instruction_version=submission.instruction_version,
    )
