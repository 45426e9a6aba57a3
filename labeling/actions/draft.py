"""What somebody is writing, kept on the server. A save names the revision that it saw; a later one is never overwritten."""

import contextlib

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from common.conversations import Message
from labeling.actions.errors import AlreadyHandedIn, LeaseLost, NotAllowed, StaleDraft
from labeling.actions.task import extend_lease
from labeling.models import Draft, Submission, Task, User
from labeling.queries import current_instructions
from labeling.states import SubmissionState


def save_draft(*, task: Task, user: User, messages: list[Message], revision: int) -> Draft:
    """Keep the turns as they are, unfinished or not, and renew the lease of somebody who still holds the task.

    `revision` is that of the draft which the person started from, 0 for none. Raises StaleDraft when there is a later one
    with another text; saving the same text twice is no conflict.
    """
    with contextlib.suppress(LeaseLost):
        extend_lease(task=task, user=user, token=task.lease_token)
    content = {"messages": messages}
    rows = Draft.objects.filter(task=task, user=user)
    n_saved = rows.filter(revision=revision).update(
        content=content, revision=F("revision") + 1, saved_at=timezone.now()
    )
    draft = rows.first()
    if n_saved and draft:
        return draft
    if draft is None and _is_handed_in(task, user):  # a save that was on its way when the person submitted
        raise AlreadyHandedIn
    if draft is None:
        draft = _begin(task=task, user=user, messages=messages)
    if draft.content != content:
        raise StaleDraft(draft)
    return draft


def _is_handed_in(task: Task, user: User) -> bool:
    return task.submissions.filter(
        author=user, state__in=[SubmissionState.SUBMITTED, SubmissionState.ACCEPTED]
    ).exists()


def _begin(*, task: Task, user: User, messages: list[Message]) -> Draft:
    """Make the draft, or return the one that another request made at the same moment."""
    version = current_instructions(task.project)
    try:
        with transaction.atomic():
            return Draft.objects.create(
                task=task, user=user, content={"messages": messages}, revision=1, instruction_version=version
            )
    except IntegrityError:
        return Draft.objects.get(task=task, user=user)


def begin_revision(*, submission: Submission, by: User) -> Draft:
    """Open a sent-back submission for its next revision: a draft with its text, by the instructions now in force.

    A revision already begun is returned as it is. Raises NotAllowed for other people's and for other states.
    """
    if submission.author_id != by.pk or submission.state != SubmissionState.RETURNED:
        raise NotAllowed
    draft = Draft.objects.filter(task=submission.task, user=by).first()
    return draft or _begin(task=submission.task, user=by, messages=submission.messages)


def discard_draft(*, draft: Draft) -> None:
    """Throw a draft away, for good."""
    draft.delete()
