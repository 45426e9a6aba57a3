"""Handing out work: every task is held by one person at a time, under a lease that runs out by itself."""

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from common.conversations import Message, digest
from common.states import StaleState, move
from labeling.actions.errors import CommentNeeded, HeldByOther, LeaseLost, MustAcknowledge, NotAllowed, Paused
from labeling.actions.gold import gold_task_for, may_get_gold
from labeling.models import Draft, Membership, Project, Skip, Submission, Task, User
from labeling.models.work import TaskQuerySet
from labeling.queries import instructions_standing
from labeling.states import TASK_MOVES, SkipReason, SubmissionState, TaskKind, TaskState

N_SKIPS = 3  # so many different people's skips take a task out of the queue
LIVE = (SubmissionState.SUBMITTED, SubmissionState.RETURNED, SubmissionState.ACCEPTED)
_ATTEMPTS = 5


def next_task(*, membership: Membership, another: bool = False, is_skipped_welcome: bool = False) -> Task | None:
    """Return a task that the person now holds, or None when there is no work.

    1. The one held longest, with its lease renewed. With `another` only when the person holds as many as the project allows.
    2. A gold task, where the person's qualification or the project's share of them asks for one.
    3. The first free task with a draft of the person's, else the first free prompt by position. Never one that they
       answered before, and none that they skipped.
    4. Where the project allows it, a task to write a prompt and its response.
    5. With `is_skipped_welcome`, a prompt that the person skipped.

    Raises MustAcknowledge while the person has not read the instructions in force, Paused, and NotQualified.
    """
    if not membership.is_active:
        raise Paused(membership.pause_reason)
    version, is_read = instructions_standing(membership)
    if version is not None and not is_read:
        raise MustAcknowledge(version)
    for _attempt in range(_ATTEMPTS):
        try:
            with transaction.atomic():
                task = _held_or_free(membership, another=another, is_skipped_welcome=is_skipped_welcome)
            if task is not None:
                task.in_force = version
            return task
        except StaleState:  # somebody was faster, on a database without row locks
            continue
    return None


def _held_or_free(membership: Membership, *, another: bool, is_skipped_welcome: bool) -> Task | None:
    project, user = membership.project, membership.user
    has_lapsed, has_begun = _lock_person(user)
    if not has_lapsed and not has_begun and not may_get_gold(membership):
        task = _first_open(membership, is_for_idle=True)
        if task is not None:  # as it goes nearly always: nothing is held, and a prompt is free
            task.is_untouched = True
            task.project = project
            _lease(task, user)
            return task
    # the project is left out of this query, and of the next, so that SQLite does not walk the project's rows for it
    held = [task for task in Task.objects.held_by(user) if task.project_id == project.pk]
    held.sort(key=lambda task: task.pk)
    if held and (not another or len(held) >= project.max_held):
        held[0].project = project
        return extend_lease(task=held[0], user=user, token=held[0].lease_token)
    gold = gold_task_for(membership=membership)
    if gold is not None:
        return gold
    begun = _first_begun(membership) if has_begun else None
    task = begun or _first_free(membership, is_skipped_welcome=is_skipped_welcome, has_lapsed=has_lapsed)
    if task is not None:
        task.is_untouched = task is not begun and not has_begun
        task.project = project
        _lease(task, user)
    elif project.is_open_writing:
        task = _new_writing_task(membership)
    return task


def _lock_person(user: User) -> tuple[bool, bool]:
    """Let two requests of one person go one after the other; rows that refer to the person may be written meanwhile.

    Returns, in the same statement, whether some lease ran out and whether the person has drafts of tasks.
    """
    sql = f"""
        SELECT EXISTS (SELECT 1 FROM {Task._meta.db_table} WHERE state = %s AND lease_expires_at <= %s),
            EXISTS (SELECT 1 FROM {Draft._meta.db_table} WHERE user_id = %s AND task_id IS NOT NULL)
        FROM {User._meta.db_table} WHERE id = %s"""
    lock = " FOR NO KEY UPDATE" if connection.features.has_select_for_update else ""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(sql + lock, [str(TaskState.LEASED), now, user.pk, user.pk])
        has_lapsed, has_begun = cursor.fetchone()
    return bool(has_lapsed), bool(has_begun)


def _free(membership: Membership, *, with_skipped: bool = False) -> TaskQuerySet:
    """The tasks that the person has not answered, to be read with a lock and without those that others lock."""
    mine = {"task": OuterRef("pk")}
    answered = Exists(Submission.objects.filter(author=membership.user_id, **mine))
    rows = membership.project.tasks.filter(~answered, is_gold_copy=False)
    if not with_skipped:
        rows = rows.filter(~Exists(Skip.objects.filter(user=membership.user_id, **mine)))
    if connection.features.has_select_for_update_skip_locked:
        rows = rows.select_for_update(skip_locked=True, of=("self",))
    return rows


def _first_begun(membership: Membership) -> Task | None:
    """Return the first free task with a draft of the person's."""
    begun = list(membership.user.drafts.filter(task__isnull=False).values_list("task", flat=True))
    return _free(membership).available().filter(pk__in=begun).order_by("position", "pk").first()


def _first_free(membership: Membership, *, is_skipped_welcome: bool, has_lapsed: bool) -> Task | None:
    """Return the prompt that rule 3 names, or what rules 4 and 5 do. Each query walks an index in the order of the queue to
    its first hit."""
    task = _first(_free(membership), TaskKind.ANSWER, has_lapsed) if has_lapsed else _first_open(membership)
    if not task and membership.project.is_open_writing:
        return _first(_free(membership, with_skipped=True), TaskKind.WRITE, has_lapsed)
    if not task and is_skipped_welcome:
        return _first(_free(membership, with_skipped=True), TaskKind.ANSWER, has_lapsed)
    return task


# The plus keeps SQLite, which knows no frequencies, from walking all that the person ever wrote for each task.
_FIRST_OPEN = f"""
    SELECT task.* FROM {Task._meta.db_table} AS task
    WHERE project_id = %s AND state = %s AND kind = %s AND NOT is_gold_copy
      AND NOT EXISTS (SELECT 1 FROM {Submission._meta.db_table} WHERE task_id = task.id AND +author_id = %s)
      AND NOT EXISTS (SELECT 1 FROM {Skip._meta.db_table} WHERE task_id = task.id AND +user_id = %s)"""
_HOLDS_NONE = f"""
      AND NOT EXISTS (
        SELECT 1 FROM {Task._meta.db_table} WHERE state = %s AND leased_by_id = %s AND lease_expires_at > %s)"""


def _first_open(membership: Membership, *, is_for_idle: bool = False) -> Task | None:
    """Return what `_first` would, of `_free`, where no lease ran out; `is_for_idle`: nothing to one who holds a task.

    Written out, as nearly every hand-out runs it: to build it anew each time costs more than to run it.
    """
    user_pk = membership.user_id
    values = [membership.project_id, str(TaskState.OPEN), str(TaskKind.ANSWER), user_pk, user_pk]
    sql = _FIRST_OPEN
    if is_for_idle:
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        sql, values = sql + _HOLDS_NONE, [*values, str(TaskState.LEASED), user_pk, now]
    sql += " ORDER BY position, id LIMIT 1"
    if connection.features.has_select_for_update_skip_locked:
        sql += " FOR UPDATE OF task SKIP LOCKED"
    return next(iter(Task.objects.raw(sql, values)), None)


def _first(rows: TaskQuerySet, kind: TaskKind, has_lapsed: bool) -> Task | None:
    """Return the first open task, or the one before it whose lease ran out. One query with OR would sort the whole queue."""
    rows = rows.filter(kind=kind).order_by("position", "pk")
    found = [rows.filter(state=TaskState.OPEN).first()]
    if has_lapsed:
        found.append(rows.filter(state=TaskState.LEASED, lease_expires_at__lte=timezone.now()).first())
    return min(filter(None, found), key=lambda task: (task.position, task.pk), default=None)


def _lease_fields(project: Project, user: User) -> dict[str, Any]:
    ends = timezone.now() + timedelta(minutes=project.lease_minutes)
    return {"leased_by": user, "lease_token": uuid.uuid4(), "lease_expires_at": ends}


def _lease(task: Task, user: User) -> None:
    """Take a free task. Raises StaleState when somebody else was faster."""
    if task.state == TaskState.LEASED:
        _release(task, reason="lease ran out")
    move(task, TaskState.LEASED, moves=TASK_MOVES, by=user, **_lease_fields(task.project, user))


def _release(
    task: Task, after: TaskState = TaskState.OPEN, *, by: User | None = None, reason: str, **fields: Any
) -> None:
    """End a task's lease, if it is still the one that was read."""
    move(
        task,
        after,
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
    task.state, task.leased_by, task.lease_token, task.lease_expires_at = TaskState.LEASED, user, token, ends
    return task


def release_task(*, task: Task, user: User) -> None:
    """Give a task back to the queue, at its place. Raises LeaseLost when it is somebody else's."""
    _require_held(task, user)
    _release(task, by=user, reason="given back")


@transaction.atomic
def skip_task(*, task: Task, user: User, reason: str, comment: str = "") -> Skip:
    """Pass a task on: it goes last, for everybody; after the third person's skip it is set aside until an admin has looked.

    `reason` is a SkipReason. Raises CommentNeeded for "something else" without words, LeaseLost when the task is not
    in this person's hands any more.
    """
    comment = comment.strip()
    if reason == SkipReason.OTHER and not comment:
        raise CommentNeeded(_("Say in a few words why: an admin reads it when others skip this task too."))
    _require_held(task, user)
    fields = {"reason": reason, "comment": comment, "created_at": timezone.now(), "is_settled": False}
    skip, _is_new = Skip.objects.update_or_create(task=task, user=user, defaults=fields)
    n_skips = Skip.objects.filter(task=task, is_settled=False).count()
    after = TaskState.ASIDE if n_skips >= N_SKIPS else TaskState.OPEN
    words = ": ".join(part for part in ("skipped", reason, comment) if part)
    _release(task, after, by=user, reason=words, position=time.time_ns() // 1_000_000)  # after all that waits
    return skip


def _require_held(task: Task, user: User) -> None:
    task.refresh_from_db()
    if task.state != TaskState.LEASED or task.leased_by_id != user.pk:
        raise LeaseLost


@transaction.atomic
def return_task(*, task: Task, by: User) -> None:
    """Offer a task again that was set aside after three skips; those who skipped it still get it last.

    Raises IllegalMove or StaleState when it is not set aside any more.
    """
    move(task, TaskState.OPEN, moves=TASK_MOVES, by=by, reason="looked at")
    Skip.objects.filter(task=task).update(is_settled=True)


def take_away(*, task: Task, by: User) -> None:
    """Free a task that somebody holds, by an admin. The holder's draft stays. Raises NotAllowed when nobody holds it."""
    task.refresh_from_db()
    if task.state != TaskState.LEASED:
        raise NotAllowed(_("Nobody holds this task any more."))
    try:
        _release(task, by=by, reason=f"taken from {task.leased_by}")
    except StaleState:
        raise NotAllowed(_("Its holder handed it in or gave it back at this moment.")) from None


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
    """Note that this person handed in, if the task is free or in their hands; return whether it is done with that.

    A task for several people is offered again until so many have handed in. Wants the task as it was read under a
    lock, and the submission in the same transaction.
    """
    if task.is_held_by_other(by) or task.state not in (TaskState.OPEN, TaskState.LEASED, TaskState.ASIDE):
        return False
    is_done = task.n_people == 1 or _n_answered(task) >= task.n_people
    if is_done:
        move(task, TaskState.DONE, moves=TASK_MOVES, by=by, leased_by=None, lease_expires_at=None)
    elif task.state == TaskState.LEASED:
        _release(task, by=by, reason="handed in; more people are to")
    return is_done


def _n_answered(task: Task) -> int:
    """How many different people's submissions wait, are sent back or are accepted."""
    return task.submissions.filter(state__in=LIVE).values("author").distinct().count()


def reopen_task(*, task: Task, by: User | None = None, reason: str) -> bool:
    """Offer a done prompt again when too few people's submissions of it stand; return whether it is open."""
    task.refresh_from_db()
    if task.kind != TaskKind.ANSWER or task.state != TaskState.DONE or _n_answered(task) >= task.n_people:
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
            Task(
                project=project,
                messages=prompt,
                prompt_hash=prompt_hash,
                n_people=n_people_for(project, prompt_hash),
                created_by=by,
            )
            for prompt_hash, prompt in wanted.items()
            if prompt_hash not in known
        ),
        batch_size=500,
        ignore_conflicts=True,
    )
    n_added = len(wanted) - len(known)
    return AddedPrompts(n_added=n_added, n_duplicates=len(prompts) - n_added)


def n_people_for(project: Project, prompt_hash: str) -> int:
    """Two for `double_share` percent of the prompts. Which ones follows from the prompt: adding it elsewhere draws the same."""
    return 2 if int(prompt_hash[:8], 16) % 10_000 < project.double_share * 100 else 1


def retire_task(*, task: Task, by: User) -> None:
    """Take an open task, or one that was set aside, out of the queue for good. Raises HeldByOther while somebody works on it."""
    task.refresh_from_db()
    if task.state == TaskState.LEASED and task.lease_expires_at and task.lease_expires_at <= timezone.now():
        _release(task, reason="lease ran out")
    if task.state == TaskState.LEASED:
        raise HeldByOther
    move(task, TaskState.RETIRED, moves=TASK_MOVES, by=by)
