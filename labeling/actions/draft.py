"""What somebody is writing, kept on the server. A save names the revision that it saw; a later one is never overwritten."""

import contextlib
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from common.conversations import Message
from common.states import record
from labeling.actions.errors import AlreadyHandedIn, LeaseLost, NotAllowed, StaleDraft
from labeling.actions.task import extend_lease
from labeling.models import Draft, InstructionVersion, Submission, Task, User
from labeling.queries import current_instructions
from labeling.states import SubmissionState


@dataclass(frozen=True)
class Page:
    """The open page that a text comes from: its name, how many saves it has sent, and the instructions that it showed.

    A page whose save was stored but whose answer was lost knows an old revision; by its name its next text is recognised
    as the later one of the same hand. Pages without JavaScript have no name.
    """

    writer: str = ""
    step: int = 0
    version: InstructionVersion | None = None


def save_draft(*, task: Task, user: User, messages: list[Message], revision: int, page: Page = Page()) -> Draft:
    """Keep the turns as they are, unfinished or not, and renew the lease of somebody who still holds the task.

    `revision` is that of the draft which the person started from, 0 for none. Raises StaleDraft when there is a later one
    with another text from another page; saving the same text twice is no conflict. A new draft is pinned to the version of
    the instructions that the page showed, by default to the one in force.
    """
    with contextlib.suppress(LeaseLost):
        extend_lease(task=task, user=user, token=task.lease_token)
    content = {"messages": messages, "writer": page.writer, "step": page.step}
    is_known = Q(revision=revision)
    if page.writer:
        is_known |= Q(content__writer=page.writer, content__step__lt=page.step)
    rows = Draft.objects.filter(task=task, user=user)
    n_saved = rows.filter(is_known).update(content=content, revision=F("revision") + 1, saved_at=timezone.now())
    draft = rows.first()
    if n_saved and draft:
        return draft
    if draft is None and _is_handed_in(task, user):  # a save that was on its way when the person submitted
        raise AlreadyHandedIn
    if draft is None:
        version = page.version or current_instructions(task.project)
        draft = _begin(task=task, user=user, content=content, version=version)
    if draft.content["messages"] != messages:
        raise StaleDraft(draft)
    return draft


def require_own_draft(*, draft: Draft, messages: list[Message], revision: int, page: Page) -> None:
    """Raise StaleDraft where the draft holds a later text, from another page, than the one that is about to be handed in."""
    is_known = draft.revision <= revision or (page.writer and draft.content.get("writer") == page.writer)
    if not is_known and draft.content["messages"] != messages:
        raise StaleDraft(draft)


def _is_handed_in(task: Task, user: User) -> bool:
    return task.submissions.filter(
        author=user, state__in=[SubmissionState.SUBMITTED, SubmissionState.ACCEPTED]
    ).exists()


def _begin(*, task: Task, user: User, content: dict[str, object], version: InstructionVersion | None) -> Draft:
    """Make the draft, or return the one that another request made at the same moment."""
    try:
        with transaction.atomic():
            return Draft.objects.create(task=task, user=user, content=content, revision=1, instruction_version=version)
    except IntegrityError:
        return Draft.objects.get(task=task, user=user)


def begin_revision(*, submission: Submission, by: User) -> Draft:
    """Open a sent-back submission for its next revision: a draft with its text, by the instructions now in force.

    A revision already begun is returned as it is. Raises NotAllowed for other people's and for other states.
    """
    if submission.author_id != by.pk or submission.state != SubmissionState.RETURNED:
        raise NotAllowed
    draft = Draft.objects.filter(task=submission.task, user=by).first()
    version = current_instructions(submission.task.project)
    content: dict[str, object] = {"messages": submission.messages}
    return draft or _begin(task=submission.task, user=by, content=content, version=version)


@transaction.atomic
def switch_instructions(*, draft: Draft, by: User) -> Draft:
    """Go on with a piece by the instructions now in force, which were published while it was being written.

    Raises NotAllowed for other people's drafts, and where there is nothing newer.
    """
    draft = Draft.objects.select_for_update().get(pk=draft.pk)
    if draft.user_id != by.pk or draft.task is None:
        raise NotAllowed
    former, current = draft.instruction_version, current_instructions(draft.task.project)
    if current is None or current == former:
        raise NotAllowed
    Draft.objects.filter(pk=draft.pk).update(instruction_version=current)  # not a save: the text stays as old as it is
    draft.instruction_version = current
    record(draft.task, what="instructions of the draft", before=str(former or ""), after=str(current), by=by)
    return draft


def discard_draft(*, draft: Draft) -> None:
    """Throw a draft away, for good."""
    draft.delete()
