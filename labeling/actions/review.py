import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from common.conversations import ConversationError, Message, clean, digest
from common.states import StaleState, move, record
from labeling.actions.errors import (
    AlreadyDecided,
    BadConversation,
    BadProbe,
    CommentNeeded,
    HeldByOther,
    NeedsAdmin,
    NotAllowed,
    OwnWork,
    SendBackLimit,
)
from labeling.actions.example import create_example
from labeling.actions.second_review import draw_second_review
from labeling.actions.task import reopen_task
from labeling.actions.thread import Passage, add_passages
from labeling.actions.webhook import announce
from labeling.models import Membership, Probe, Project, Review, ReviewDraft, Submission, User
from labeling.models.work import SubmissionQuerySet
from labeling.states import SUBMISSION_MOVES, RejectReason, Role, SubmissionState, TaskKind, Verdict, WebhookEvent

STATE_AFTER = {
    Verdict.ACCEPT: SubmissionState.ACCEPTED,
    Verdict.EDIT: SubmissionState.ACCEPTED,
    Verdict.SEND_BACK: SubmissionState.RETURNED,
    Verdict.REJECT: SubmissionState.REJECTED,
}
NO_LEASE: dict[str, Any] = {"leased_by": None, "lease_token": None, "lease_expires_at": None}


def take_submission(
    *, project: Project, reviewer: User, after: int = 0, among: SubmissionQuerySet | None = None
) -> Submission | None:
    """Lease the oldest submission that the person may review, None where nothing waits.

    One that the person holds already comes first. `after` is the key of one that they left: younger ones are taken
    before it. `among` narrows the choice to the filter that the person set. Two reviewers who ask at once get two submissions: rows under way are skipped where the database can,
    and the lease is set by compare-and-set everywhere.
    """
    rows = among if among is not None else Submission.objects.filter(project=project).reviewable_by(reviewer)
    while True:
        with transaction.atomic():
            locked = rows.select_for_update(skip_locked=True, of=("self",))
            held = locked.filter(leased_by=reviewer, lease_expires_at__gt=timezone.now()).exclude(pk=after)
            row = held.first() or locked.filter(pk__gt=after).first() or locked.first()
            if row is None:
                return None
            row.project = project
            if lease_submission(row, reviewer):
                return row


def take_this_submission(*, submission: Submission, reviewer: User) -> bool:
    """Lease one submission that the person opened; False where it cannot be theirs now.

    Others that they had open and wrote nothing about go back to the queue.
    """
    if submission.author_id == reviewer.pk or submission.is_gold or submission.state != SubmissionState.SUBMITTED:
        return False
    if submission.needs_admin and not is_admin(submission.project, reviewer):
        return False
    if submission.leased_by_id != reviewer.pk:
        left = Submission.objects.waiting().filter(project=submission.project, leased_by=reviewer)
        left.exclude(review_drafts__user=reviewer).update(**NO_LEASE)
    return lease_submission(submission, reviewer)


def release_submission(*, submission: Submission, by: User) -> None:
    """Give the submission back to the queue. Without effect where somebody else holds it."""
    Submission.objects.filter(pk=submission.pk, leased_by=by).update(**NO_LEASE)


def lease_fields(project: Project, reviewer: User) -> dict[str, Any]:
    ends = timezone.now() + timedelta(minutes=project.lease_minutes)
    return {"leased_by": reviewer, "lease_token": uuid.uuid4(), "lease_expires_at": ends}


def lease_submission(row: Submission, reviewer: User) -> bool:
    """Take or renew the lease by compare-and-set; False when somebody else holds the row or it waits no more."""
    free = Q(leased_by__isnull=True) | Q(leased_by=reviewer) | Q(lease_expires_at__lte=timezone.now())
    lease = lease_fields(row.project, reviewer)
    changed = Submission.objects.filter(free, pk=row.pk, state=SubmissionState.SUBMITTED).update(**lease)
    if changed:
        for name, value in lease.items():
            setattr(row, name, value)
    return bool(changed)


def editable_from(submission: Submission) -> int:
    """Return the index of the first turn that a reviewer may edit: a given prompt stays as it is."""
    return len(submission.task.messages) if submission.task.kind == TaskKind.ANSWER else 0


def is_admin(project: Project, user: User) -> bool:
    rows = Membership.objects.filter(project=project, user=user, role=Role.ADMIN, is_active=True)
    return user.is_superuser or rows.exists()


def n_send_backs(submission: Submission) -> int:
    """Return how often this author's text was sent back, over all its revisions."""
    same = {"submission__task_id": submission.task_id, "submission__author_id": submission.author_id}
    return Review.objects.filter(**same, verdict=Verdict.SEND_BACK).count()


def has_limit_reached(submission: Submission) -> bool:
    """Whether the text was sent back so often that the next time is for an admin to decide."""
    return n_send_backs(submission) >= submission.project.max_send_backs


def _decidable(submission: Submission, by: User) -> Submission:
    """Return the row, locked, if this person may decide on it now. Needs a transaction."""
    if submission.author_id == by.pk:
        raise OwnWork
    rows = Submission.objects.select_for_update(of=("self",)).select_related("task", "project")
    row = rows.get(pk=submission.pk)
    if row.state != SubmissionState.SUBMITTED:
        raise AlreadyDecided(Review.objects.filter(submission=row).select_related("reviewer").first())
    if row.is_gold:
        raise NotAllowed(_("This is gold work: it is graded, not reviewed, and never becomes an example."))
    if row.is_held_by_other(by):
        raise HeldByOther
    if row.needs_admin and not is_admin(row.project, by):
        raise NeedsAdmin
    return row


def review_submission(
    *,
    submission: Submission,
    verdict: Verdict,
    by: User,
    comment: str = "",
    messages: list[Message] | None = None,
    reason: str = "",
    passages: Sequence[Passage] = (),
) -> Review:
    """Decide on a submission that waits. Accepting makes the example in the same transaction.

    `messages` is the edited conversation of "edit and accept"; equal to the submission's it counts as "accept". `reason`
    (a RejectReason) goes with a rejection, `passages` with a send-back. The reviewer's draft is used up.
    Raises OwnWork, HeldByOther, NeedsAdmin, CommentNeeded (send back and reject), SendBackLimit (see
    `escalate_submission`), AlreadyDecided, BadConversation, DuplicateExample, and BadProbe when the prompt is held out.
    """
    comment = comment.strip()
    passages = passages if verdict == Verdict.SEND_BACK else ()
    if verdict in (Verdict.SEND_BACK, Verdict.REJECT) and not comment and not passages:
        raise CommentNeeded
    with transaction.atomic():
        row = _decidable(submission, by)
        if verdict == Verdict.SEND_BACK and has_limit_reached(row) and not is_admin(row.project, by):
            raise SendBackLimit
        edited = _edited(row, messages) if verdict == Verdict.EDIT else None
        verdict = Verdict.ACCEPT if verdict == Verdict.EDIT and edited is None else verdict
        try:
            move(
                row, STATE_AFTER[verdict], moves=SUBMISSION_MOVES, by=by, reason=comment, needs_admin=False, **NO_LEASE
            )
        except StaleState as error:
            raise AlreadyDecided(None) from error
        review = Review.objects.create(
            submission=row,
            reviewer=by,
            verdict=verdict,
            reason=RejectReason(reason) if verdict == Verdict.REJECT and reason else "",
            comment=comment,
            messages=edited,
        )
        add_passages(submission=row, by=by, passages=passages)
        ReviewDraft.objects.filter(user=by, submission=row).delete()
        draw_second_review(review=review)
        if row.state == SubmissionState.ACCEPTED:
            _accept(row, edited or row.messages, by)
        elif row.state == SubmissionState.REJECTED:
            reopen_task(task=row.task, by=by, reason="rejected")
    submission.refresh_from_db()
    return review


def escalate_submission(
    *, submission: Submission, by: User, comment: str = "", passages: Sequence[Passage] = ()
) -> Submission:
    """Hand a text that was sent back too often to an admin, with what the reviewer would have sent to the author.

    Raises what `review_submission` raises.
    """
    comment = comment.strip()
    if not comment and not passages:
        raise CommentNeeded
    with transaction.atomic():
        row = _decidable(submission, by)
        Submission.objects.filter(pk=row.pk).update(needs_admin=True, **NO_LEASE)
        record(row, what="escalated", before=f"{n_send_backs(row)} send-backs", after="admin", by=by, reason=comment)
        said = [Passage(comment), *passages] if comment else passages
        add_passages(submission=row, by=by, passages=said, is_internal=True)
        ReviewDraft.objects.filter(user=by, submission=row).delete()
    submission.refresh_from_db()
    return submission


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
    announce(
        project_pk=submission.project_id,
        event=WebhookEvent.SUBMISSION_ACCEPTED,
        data={"submission": submission.pk, "task": submission.task_id, "author": submission.author_id},
    )
