"""Taking a decision back, as long as nobody has built on it."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from common.states import StaleState, move
from labeling.actions.errors import NotAllowed, UndoTooLate
from labeling.actions.review import lease_fields
from labeling.actions.second_review import drop_second_review
from labeling.actions.task import complete_task
from labeling.models import Comment, Draft, Example, Review, ReviewDraft, Submission, Task, User
from labeling.states import SUBMISSION_MOVES, SubmissionState, TaskState, Verdict


def undo_review(*, submission: Submission, by: User) -> ReviewDraft:
    """Take one's own decision back: the submission waits again, in the reviewer's hands, and what they wrote is a draft.

    An accepted one goes back while its example is in no dataset version, a returned one until its author has begun to
    revise or has answered, a rejected one until somebody else took its prompt. Raises NotAllowed for other people's
    decisions and UndoTooLate.
    """
    try:
        with transaction.atomic():
            row = Submission.objects.select_for_update(of=("self",)).select_related("project").get(pk=submission.pk)
            review = Review.objects.filter(submission=row, reviewer=by).first()
            if review is None:
                raise NotAllowed
            passages = _take_back(row, review)
            draft, _is_new = ReviewDraft.objects.get_or_create(user=by, submission=row)
            draft.content = {**draft.content, review.verdict: _as_draft(review, passages)}
            draft.revision += 1
            draft.save()
            drop_second_review(review=review)
            review.delete()
            move(
                row,
                SubmissionState.SUBMITTED,
                moves=SUBMISSION_MOVES,
                by=by,
                reason="undone",
                **lease_fields(row.project, by),
            )
    except (ProtectedError, IntegrityError, StaleState):  # a row of another part leans on it
        raise UndoTooLate from None
    submission.refresh_from_db()
    return draft


def _take_back(row: Submission, review: Review) -> list[Comment]:
    """Undo what the decision led to; return what was said about passages, which is deleted. Raises UndoTooLate."""
    if row.state == SubmissionState.ACCEPTED:
        example = Example.objects.filter(submission=row).first()
        if example is None or example.retracted_at is not None:
            raise UndoTooLate
        example.delete()
    elif row.state == SubmissionState.REJECTED:
        task = Task.objects.select_for_update().get(pk=row.task_id)
        if task.state != TaskState.DONE and (
            task.state != TaskState.OPEN or not complete_task(task=task, by=review.reviewer)
        ):
            raise UndoTooLate
    elif row.state != SubmissionState.RETURNED:
        raise UndoTooLate
    if Submission.objects.filter(task_id=row.task_id, author_id=row.author_id, pk__gt=row.pk).exists():
        raise UndoTooLate
    later = Comment.objects.filter(submission=row, created_at__gte=review.created_at)
    if later.filter(author_id=row.author_id).exists():
        raise UndoTooLate
    if (
        row.state == SubmissionState.RETURNED
        and Draft.objects.filter(task_id=row.task_id, user_id=row.author_id).exists()
    ):
        raise UndoTooLate
    said = list(later.filter(author=review.reviewer, turn__isnull=False))
    Comment.objects.filter(pk__in=[comment.pk for comment in said]).delete()
    return said


def _as_draft(review: Review, passages: list[Comment]) -> dict[str, Any]:
    content: dict[str, Any] = {"comment": review.comment}
    if review.verdict == Verdict.EDIT:
        content["messages"] = review.messages
    elif review.verdict == Verdict.REJECT:
        content["reason"] = review.reason
    elif review.verdict == Verdict.SEND_BACK:
        content["passages"] = [
            {"text": each.text, "turn": each.turn, "quote": each.quote, "start": each.start} for each in passages
        ]
    return content
