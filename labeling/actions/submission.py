"""Handing in. Whatever reaches the server is kept, also when the lease ran out while the person wrote."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from common.conversations import ConversationError, Message, clean
from common.states import move
from labeling.actions.draft import Page, require_own_draft
from labeling.actions.errors import AlreadyHandedIn, BadConversation, NotAllowed, Paused
from labeling.actions.finding import find_problems, settle
from labeling.actions.fingerprint import fingerprint_submissions
from labeling.actions.task import complete_task, reopen_task
from labeling.models import Draft, InstructionVersion, Membership, Submission, Task, User
from labeling.queries import current_instructions
from labeling.states import SUBMISSION_MOVES, SubmissionState, TaskKind


def _clean(task: Task, messages: object) -> list[Message]:
    try:
        turns = clean(messages, ends_with="assistant")
    except ConversationError as error:
        raise BadConversation(error.code) from None
    if task.kind == TaskKind.ANSWER and turns[: len(task.messages)] != task.messages:
        raise BadConversation("other_prompt")
    return turns


def _lock(task: Task) -> Task:
    """Return the task as it is now; whoever else hands in for it waits for the end of this transaction."""
    lock = " FOR UPDATE" if connection.features.has_select_for_update else ""
    return Task.objects.raw(f"SELECT * FROM {Task._meta.db_table} WHERE id = %s{lock}", [task.pk])[0]


def _find_former(task: Task, user: User, idempotency_key: uuid.UUID) -> tuple[bool, bool]:
    """Return whether the key or the person's texts for the task are known, and whether the person has a draft of it.

    In one statement, since nearly always there is neither. It must not be the one that waits for the lock: that one sees
    what was there before the wait.
    """
    submissions = Submission._meta.db_table
    sql = f"""
        SELECT EXISTS (SELECT 1 FROM {submissions} WHERE idempotency_key = %s)
            OR EXISTS (SELECT 1 FROM {submissions} WHERE task_id = %s AND author_id = %s),
            EXISTS (SELECT 1 FROM {Draft._meta.db_table} WHERE task_id = %s AND user_id = %s)"""
    key = Submission._meta.get_field("idempotency_key").get_db_prep_value(idempotency_key, connection)
    with connection.cursor() as cursor:
        cursor.execute(sql, [key, task.pk, user.pk, task.pk, user.pk])
        has_former, has_draft = cursor.fetchone()
    return bool(has_former), bool(has_draft)


def _pinned(
    task: Task,
    user: User,
    turns: list[Message],
    revision: int | None,
    page: Page,
    *,
    may_have_draft: bool = True,
) -> InstructionVersion | None:
    """Return the version that the draft was begun under, else the one that the page showed, else the one in force.

    The draft is used up. Raises StaleDraft where it holds a later text than the page knew (`revision`).
    """
    drafts = Draft.objects.filter(task=task, user=user).select_related("instruction_version")
    draft = drafts.first() if may_have_draft else None
    if draft is None:
        return page.version or current_instructions(task.project)
    if revision is not None:
        require_own_draft(draft=draft, messages=turns, revision=revision, page=page)
    draft.delete()
    return draft.instruction_version


def _repeated(
    rows: Iterable[Submission], idempotency_key: uuid.UUID, user: User, turns: list[Message]
) -> Submission | None:
    """Return the one of the rows that this very request made before. Raises AlreadyHandedIn when the key carries another text."""
    row = next((row for row in rows if row.idempotency_key == idempotency_key), None)
    if row is not None and (row.author_id != user.pk or row.messages != turns):
        raise AlreadyHandedIn
    return row


def submit(
    *,
    task: Task,
    membership: Membership,
    messages: object,
    idempotency_key: uuid.UUID,
    revision: int | None = None,
    page: Page = Page(),  # noqa: B008 - frozen
    overrides: Mapping[str, str] | None = None,
) -> Submission:
    """Hand in a demonstration and return it; the same request again returns the same row.

    The task is done if it was free or in the person's hands; otherwise the text is one more candidate for review. Where
    the person's last submission was sent back, this is its revision. It is pinned to the instructions under which its
    draft was begun. Raises Paused, BadConversation, AlreadyHandedIn when the person's text for this task is waiting or
    accepted, and StaleDraft when a later draft than `revision` was saved from another page; None asks for no such check.
    Raises HasFindings unless `overrides` has a reason for each kind of finding.
    """
    if not membership.is_active:
        raise Paused(membership.pause_reason)
    user, turns = membership.user, _clean(task, messages)
    findings = find_problems(task=task, messages=turns, by=user, version=page.version)
    with transaction.atomic():
        task = _lock(task)  # a double click waits here for its first half
        task.project = membership.project
        if task.is_gold_copy and task.created_by_id != user.pk:
            raise NotAllowed
        has_former, has_draft = _find_former(task, user, idempotency_key)
        mine = Q(idempotency_key=idempotency_key) | Q(task=task, author=user)
        rows = list(Submission.objects.filter(mine)) if has_former else []
        repeated = _repeated(rows, idempotency_key, user, turns)
        if repeated is not None:
            return repeated
        returned = next((row for row in rows if row.state == SubmissionState.RETURNED), None)
        if returned is not None:
            returned.task = task
            return _revise(returned, turns, user, idempotency_key, revision, page, settle(findings, overrides))
        if any(row.state in (SubmissionState.SUBMITTED, SubmissionState.ACCEPTED) for row in rows):
            raise AlreadyHandedIn
        overridden = settle(findings, overrides)
        submission = Submission.objects.create(
            project_id=task.project_id,
            task=task,
            author=user,
            instruction_version=_pinned(task, user, turns, revision, page, may_have_draft=has_draft),
            messages=turns,
            is_gold=task.is_gold_copy,
            findings=overridden,
            idempotency_key=idempotency_key,
        )
        fingerprint_submissions([submission])
        complete_task(task=task, by=user)
    return submission


def revise(
    *,
    submission: Submission,
    messages: object,
    by: User,
    idempotency_key: uuid.UUID,
    revision: int | None = None,
    page: Page = Page(),  # noqa: B008 - frozen
    overrides: Mapping[str, str] | None = None,
) -> Submission:
    """Hand in the next revision of a sent-back submission and return it; the same request again returns the same row.

    Raises NotAllowed for other people's work, BadConversation, IllegalMove or StaleState when it is not sent back, and
    StaleDraft and HasFindings as `submit` does.
    """
    if submission.author_id != by.pk:
        raise NotAllowed
    turns = _clean(submission.task, messages)
    findings = find_problems(task=submission.task, messages=turns, by=by, version=page.version)
    with transaction.atomic():
        Task.objects.select_for_update().get(pk=submission.task_id)
        rows = Submission.objects.filter(idempotency_key=idempotency_key)
        repeated = _repeated(rows, idempotency_key, by, turns)
        if repeated is not None:
            return repeated
        return _revise(submission, turns, by, idempotency_key, revision, page, settle(findings, overrides))


def _revise(
    submission: Submission,
    turns: list[Message],
    by: User,
    idempotency_key: uuid.UUID,
    draft_revision: int | None,
    page: Page,
    findings: list[dict[str, Any]],
) -> Submission:
    move(submission, SubmissionState.REVISED, moves=SUBMISSION_MOVES, by=by)
    row = Submission.objects.create(
        project_id=submission.project_id,
        task=submission.task,
        author=by,
        instruction_version=_pinned(submission.task, by, turns, draft_revision, page),
        revision=submission.revision + 1,
        previous=submission,
        messages=turns,
        findings=findings,
        idempotency_key=idempotency_key,
    )
    fingerprint_submissions([row])
    return row


@transaction.atomic
def withdraw(*, submission: Submission, by: User) -> None:
    """Take back what waits for review or was sent back; a prompt is offered to others again.

    Raises NotAllowed for other people's work, IllegalMove or StaleState when it was reviewed in the meantime.
    """
    if submission.author_id != by.pk:
        raise NotAllowed
    move(submission, SubmissionState.WITHDRAWN, moves=SUBMISSION_MOVES, by=by)
    reopen_task(task=submission.task, by=by, reason="withdrawn")
