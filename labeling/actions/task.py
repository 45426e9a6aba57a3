"""Handing out work: every task is held by one person at a time, under a lease that runs out by itself."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import CharField, Exists, Max, OuterRef, Q
from django.db.models.functions import Cast
from django.utils import timezone

from common.conversations import Message, digest
from common.models import Transition
from common.states import StaleState, move
from labeling.actions.errors import HeldByOther, LeaseLost, MustAcknowledge, NotAllowed
from labeling.models import Draft, Membership, Project, Submission, Task, User
from labeling.queries import needs_acknowledgement
from labeling.states import TASK_MOVES, SubmissionState, TaskKind, TaskState

SKIPPED = "skipped"
_ATTEMPTS = 5


def next_task(*, membership: Membership) -> Task | None:
    """Return a task that the person now holds, or None when there is no work.

    1. The one already held, with its lease renewed.
    2. The first free task with a draft of the person's, else the first free prompt by position. Never one that they
       answered before, and none that they skipped.
    3. Where the project allows it, a task to write a prompt and its response.
    4. A prompt that the person skipped, when nothing else is left.

    Raises MustAcknowledge while the person has not read the instructions in force.
    """
    version = needs_acknowledgement(membership)
    if version is not None:
        raise MustAcknowledge(version)
    held = membership.project.tasks.held_by(membership.user).order_by("pk").first()
    if held is not None:
        return extend_lease(task=held, user=membership.user, token=held.lease_token)
    for _attempt in range(_ATTEMPTS):
        try:
            with transaction.atomic():
                task = _first_free(membership)
                if task is not None:
                    _lease(task, membership.user)
                elif membership.project.is_open_writing:
                    task = _new_writing_task(membership)
            return task
        except StaleState:  # somebody was faster, on a database without row locks
            continue
    return None


def _first_free(membership: Membership) -> Task | None:
    user = membership.user
    mine = {"task": OuterRef("pk"), "author": user}
    skips = Transition.objects.filter(
        subject_type=Task._meta.label_lower, subject_pk=OuterRef("key"), by_pk=user.pk, reason=SKIPPED
    )
    free = (
        membership.project.tasks.available()
        .filter(~Exists(Submission.objects.filter(**mine)))
        .annotate(
            key=Cast("pk", CharField()),
            has_draft=Exists(Draft.objects.filter(task=OuterRef("pk"), user=user)),
            was_skipped=Exists(skips),
        )
        .order_by("-has_draft", "position", "pk")
    )
    if connection.features.has_select_for_update_skip_locked:
        free = free.select_for_update(skip_locked=True, of=("self",))
    prompts = free.filter(kind=TaskKind.ANSWER)
    fresh = free.filter(was_skipped=False)
    task = fresh.filter(has_draft=True).first() or fresh.filter(kind=TaskKind.ANSWER).first()
    if task is None and membership.project.is_open_writing:
        return free.filter(kind=TaskKind.WRITE).first()
    return task or prompts.first()


def _lease_fields(project: Project, user: User) -> dict[str, Any]:
    ends = timezone.now() + timedelta(minutes=project.lease_minutes)
    return {"leased_by": user, "lease_token": uuid.uuid4(), "lease_expires_at": ends}


def _lease(task: Task, user: User) -> None:
    """Take a free task. Raises StaleState when somebody else was faster."""
    if task.state == TaskState.LEASED:
        _release(task, reason="lease ran out")
    move(task, TaskState.LEASED, moves=TASK_MOVES, by=user, **_lease_fields(task.project, user))


def _release(task: Task, *, by: User | None = None, reason: str, **fields: Any) -> None:
    """Open a leased task again, if its lease is still the one that was read."""
    move(
        task,
        TaskState.OPEN,
        moves=TASK_MOVES,
        by=by,
        reason=reason,
        only_if=Q(lease_token=task.lease_token, lease_expires_at=task.lease_expires_at),
        leased_by=None,
        lease_expires_at=None,
        **fields,
    )


def _new_writing_task(membership: Membership) -> Task:
    return Task.objects.create(
        project=membership.project,
        kind=TaskKind.WRITE,
        state=TaskState.LEASED,
        created_by=membership.user,
        **_lease_fields(membership.project, membership.user),
    )


def resume_task(*, task: Task, membership: Membership) -> Task:
    """Give a person the task of their draft back, with a fresh lease; another task in their hands goes back first.

    Raises HeldByOther when somebody else works on it, NotAllowed when it is done or retired. The draft stays either way.
    """
    task.refresh_from_db()
    if task.is_held_by_other(membership.user):
        raise HeldByOther
    if task.state not in (TaskState.OPEN, TaskState.LEASED):
        raise NotAllowed
    if task.state == TaskState.LEASED and task.leased_by_id == membership.user_id:
        return extend_lease(task=task, user=membership.user, token=task.lease_token)
    try:
        with transaction.atomic():
            release_all(membership=membership)
            _lease(task, membership.user)
    except StaleState:
        raise HeldByOther from None
    return task


def extend_lease(*, task: Task, user: User, token: uuid.UUID | None) -> Task:
    """Renew the lease of somebody who is at work, also when it ran out and nobody else took the task. Raises LeaseLost."""
    rows = Task.objects.filter(pk=task.pk, state=TaskState.LEASED, leased_by=user, lease_token=token)
    ends = timezone.now() + timedelta(minutes=task.project.lease_minutes)
    if not rows.update(lease_expires_at=ends):
        raise LeaseLost
    task.refresh_from_db()
    return task


def release_task(*, task: Task, user: User, is_skip: bool = False) -> None:
    """Give a task back; a skipped one goes to the end of the queue. Raises LeaseLost when it is somebody else's."""
    task.refresh_from_db()
    if task.state != TaskState.LEASED or task.leased_by_id != user.pk:
        raise LeaseLost
    last = Task.objects.filter(project_id=task.project_id).aggregate(last=Max("position"))["last"] or 0
    fields: dict[str, Any] = {"position": last + 1} if is_skip else {}
    _release(task, by=user, reason=SKIPPED if is_skip else "given back", **fields)


def release_all(*, membership: Membership) -> None:
    """Give back every task that the person holds in the project."""
    held = Task.objects.filter(project=membership.project, state=TaskState.LEASED, leased_by=membership.user)
    for task in held:
        _release(task, by=membership.user, reason="given back")


def release_expired() -> int:
    """Open all tasks whose lease ran out; return how many. Drafts stay."""
    n_released = 0
    for task in Task.objects.filter(state=TaskState.LEASED, lease_expires_at__lte=timezone.now()):
        try:
            _release(task, reason="lease ran out")
        except StaleState:  # renewed or handed in meanwhile
            continue
        n_released += 1
    return n_released


def complete_task(*, task: Task, by: User) -> bool:
    """Mark a task as done if it is free or in this person's hands; return whether it was. Needs a transaction."""
    task.refresh_from_db()
    if task.is_held_by_other(by) or task.state not in (TaskState.OPEN, TaskState.LEASED):
        return False
    if task.state == TaskState.OPEN:
        _lease(task, by)
    move(task, TaskState.DONE, moves=TASK_MOVES, by=by, leased_by=None, lease_expires_at=None)
    return True


def reopen_task(*, task: Task, by: User | None = None, reason: str) -> bool:
    """Offer a done prompt again when no submission of it is waiting, sent back or accepted; return whether it is open."""
    live = (SubmissionState.SUBMITTED, SubmissionState.RETURNED, SubmissionState.ACCEPTED)
    task.refresh_from_db()
    if task.kind != TaskKind.ANSWER or task.state != TaskState.DONE or task.submissions.filter(state__in=live).exists():
        return False
    move(task, TaskState.OPEN, moves=TASK_MOVES, by=by, reason=reason)
    return True


@dataclass(frozen=True)
class AddedPrompts:
    n_added: int
    n_duplicates: int


@transaction.atomic
def add_prompts(*, project: Project, prompts: Iterable[list[Message]], by: User | None = None) -> AddedPrompts:
    """Queue prompts (cleaned conversations that end with the user) to be answered; one that is there already is counted."""
    prompts = list(prompts)
    wanted = {digest(prompt): prompt for prompt in prompts}
    rows = project.tasks.filter(kind=TaskKind.ANSWER)
    known = set(rows.filter(prompt_hash__in=wanted).values_list("prompt_hash", flat=True))
    Task.objects.bulk_create(
        (
            Task(project=project, messages=prompt, prompt_hash=prompt_hash, created_by=by)
            for prompt_hash, prompt in wanted.items()
            if prompt_hash not in known
        ),
        batch_size=500,
        ignore_conflicts=True,
    )
    n_added = len(wanted) - len(known)
    return AddedPrompts(n_added=n_added, n_duplicates=len(prompts) - n_added)


def retire_task(*, task: Task, by: User) -> None:
    """Take an open task out of the queue for good. Raises HeldByOther while somebody works on it."""
    task.refresh_from_db()
    if task.state == TaskState.LEASED and task.lease_expires_at and task.lease_expires_at <= timezone.now():
        _release(task, reason="lease ran out")
    if task.state == TaskState.LEASED:
        raise HeldByOther
    move(task, TaskState.RETIRED, moves=TASK_MOVES, by=by)
