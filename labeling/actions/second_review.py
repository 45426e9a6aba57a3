"""A blind second verdict on a share of the decided submissions: so that reviewers are measured too."""

import hashlib
import uuid
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from common.states import move, record
from labeling.actions.errors import AlreadyJudged, CommentNeeded, HeldByOther, NotAllowed, OwnWork
from labeling.actions.retraction import retract_example
from labeling.models import Example, Membership, Project, Review, SecondReview, Submission, User
from labeling.models.comparison import free_for
from labeling.states import SUBMISSION_MOVES, Settlement, SubmissionState

NO_LEASE: dict[str, Any] = {"leased_by": None, "lease_token": None, "lease_expires_at": None}


def is_drawn(submission_pk: int, share: int) -> bool:
    """Whether a submission is in a sample of `share` percent. A larger share holds every smaller one."""
    first_bytes = hashlib.sha256(f"second review {submission_pk}".encode()).digest()[:8]
    return int.from_bytes(first_bytes) < share * 2**64 // 100


def draw_second_review(*, review: Review) -> SecondReview | None:
    """Put a submission that `review` has just decided on the list of second reviews when its hash falls into the project's share."""
    submission = review.submission
    if not is_drawn(submission.pk, submission.project.second_review_share):
        return None
    return SecondReview.objects.create(submission=submission, first=review)


def drop_second_review(*, review: Review) -> None:
    """Take the second review of a verdict that is being undone off the list. One that was given stays, and so does its verdict."""
    SecondReview.objects.filter(first=review, is_accepted__isnull=True).delete()


def take_second_review(*, project: Project, reviewer: User, after: int = 0) -> SecondReview | None:
    """Hold the oldest drawn submission that the person may judge, None where there is none.

    `after` is the key of one that they skipped: younger ones come before it.
    """
    rows = SecondReview.objects.filter(submission__project=project).waiting_for(reviewer)
    while True:
        with transaction.atomic():
            locked = rows.select_for_update(skip_locked=True, of=("self",)).order_by("pk")
            held = locked.filter(leased_by=reviewer, lease_expires_at__gt=timezone.now())
            free = locked.filter(free_for(reviewer))
            row = held.first() or free.filter(pk__gt=after).first() or free.first()
            if row is None:
                return None
            lease = {
                "leased_by": reviewer,
                "lease_token": uuid.uuid4(),
                "lease_expires_at": timezone.now() + timedelta(minutes=project.lease_minutes),
            }
            mine = SecondReview.objects.filter(free_for(reviewer), pk=row.pk, is_accepted__isnull=True)
            if mine.update(**lease):
                for name, value in lease.items():
                    setattr(row, name, value)
                return row


def release_second_review(*, second: SecondReview, by: User) -> None:
    """Give it back to the others. Without effect where somebody else holds it."""
    SecondReview.objects.filter(pk=second.pk, leased_by=by).update(**NO_LEASE)


def judge_again(*, second: SecondReview, is_accepted: bool, reason: str, by: User) -> SecondReview:
    """Give the second verdict. It changes nothing by itself: where it differs from the first, an admin looks at both.

    Raises OwnWork for the author, NotAllowed for the first reviewer, HeldByOther, AlreadyJudged, and CommentNeeded
    when the person would not accept it and does not say why. The same verdict of the same person again is no error.
    """
    reason = reason.strip()
    with transaction.atomic():
        rows = SecondReview.objects.select_for_update(of=("self",)).select_related("submission__review")
        row = rows.get(pk=second.pk)
        if row.is_accepted is not None:
            if (row.reviewer_id, row.is_accepted, row.reason) == (by.pk, is_accepted, reason):
                return row
            raise AlreadyJudged
        if row.submission.author_id == by.pk:
            raise OwnWork
        if row.submission.review.reviewer_id == by.pk:
            raise NotAllowed(_("You gave the first verdict on this. Somebody else gives the second."))
        if row.is_held_by_other(by):
            raise HeldByOther
        if not is_accepted and not reason:
            raise CommentNeeded(_("Say why you would not accept it, in a sentence."))
        row.is_accepted, row.reason, row.reviewer, row.judged_at = is_accepted, reason, by, timezone.now()
        for name, value in NO_LEASE.items():
            setattr(row, name, value)
        row.save()
        record(
            row.submission,
            what="second review",
            after="accept" if is_accepted else "do not accept",
            by=by,
            reason=reason,
        )
    return row


def settle_disagreement(*, second: SecondReview, settlement: Settlement, membership: Membership, reason: str) -> None:
    """An admin ends a disagreement: the first verdict stands, or the submission goes to review once more.

    Reopening hands the same text in again as the author's next revision; an example made of it is retracted. Raises
    CommentNeeded when a reopening has no reason, AlreadyJudged when it was settled before, and NotAllowed when the author has
    handed in a later revision already or has withdrawn it.
    """
    reason, by = reason.strip(), membership.user
    if settlement == Settlement.REOPENED and not reason:
        raise CommentNeeded(_("Say why it is reopened, in a sentence: the next reviewer reads it."))
    with transaction.atomic():
        rows = SecondReview.objects.select_for_update(of=("self",)).disagreeing(membership)
        row = rows.select_related("submission__project").filter(pk=second.pk, settlement="").first()
        if row is None:
            raise AlreadyJudged(_("This disagreement has been settled already."))
        SecondReview.objects.filter(pk=row.pk).update(settlement=settlement)
        record(row.submission, what="disagreement", after=str(settlement), by=by, reason=reason)
        if settlement == Settlement.REOPENED:
            _reopen(row.submission, by, reason)


def _reopen(submission: Submission, by: User, reason: str) -> None:
    open_to_it = (SubmissionState.ACCEPTED, SubmissionState.REJECTED, SubmissionState.RETURNED)
    if submission.state not in open_to_it or Submission.objects.filter(previous=submission).exists():
        raise NotAllowed(
            _("The author has handed in a later revision or withdrawn this one; there is nothing to reopen.")
        )
    example = Example.objects.trainable().filter(submission=submission).first()
    if example is not None:
        retract_example(example=example, by=by, reason=reason)
    move(submission, SubmissionState.REVISED, moves=SUBMISSION_MOVES, by=by, reason=reason)
    Submission.objects.create(
        project_id=submission.project_id,
        task_id=submission.task_id,
        author_id=submission.author_id,
        instruction_version_id=submission.instruction_version_id,
        revision=submission.revision + 1,
        previous=submission,
        messages=submission.messages,
    )
