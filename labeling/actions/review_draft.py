"""What a reviewer is typing, kept on the server. A save names the revision that it saw; a later one is never overwritten."""

from typing import Any

from django.db import transaction

from labeling.actions.errors import AlreadyDecided, HeldByOther, NeedsAdmin, OwnWork, StaleReviewDraft
from labeling.actions.review import is_admin, lease_submission
from labeling.models import Review, ReviewDraft, Submission, User
from labeling.states import SubmissionState, Verdict


def save_review_draft(
    *, submission: Submission, by: User, verdict: Verdict, content: dict[str, Any], revision: int
) -> ReviewDraft:
    """Keep the unfinished form of one verdict beside those of the others, and renew the reviewer's lease.

    `revision` is that of the draft which the page showed, 0 for none. Raises StaleReviewDraft when another window saved another
    text since; HeldByOther, NeedsAdmin and AlreadyDecided when the submission is not theirs to decide any more, after keeping the text.
    """
    if submission.author_id == by.pk:
        raise OwnWork
    with transaction.atomic():
        row = Submission.objects.select_for_update(of=("self",)).select_related("project").get(pk=submission.pk)
        draft = ReviewDraft.objects.filter(user=by, submission=row).first() or ReviewDraft(user=by, submission=row)
        if draft.content.get(verdict) != content:
            if draft.pk and draft.revision != revision:
                raise StaleReviewDraft(draft)
            draft.content = {**draft.content, str(verdict): content}
            draft.revision += 1
            draft.save()
    if row.state != SubmissionState.SUBMITTED:
        raise AlreadyDecided(Review.objects.filter(submission=row).select_related("reviewer").first())
    if row.needs_admin and not is_admin(row.project, by):
        raise NeedsAdmin
    if not lease_submission(row, by):
        raise HeldByOther
    return draft
