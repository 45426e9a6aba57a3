"""Gold tasks: marking them, and handing each person a copy of their own."""

import random
import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.checks import Check, CheckError, clean_check, passes
from common.conversations import digest
from common.states import move, record
from labeling.actions.errors import BadCheck, HeldByOther, NoReference, NotAllowed, NotQualified
from labeling.actions.regression_test import explain_check
from labeling.models import Draft, GoldCopy, GoldTask, Membership, Project, Submission, Task, User
from labeling.states import TASK_MOVES, Qualification, Role, TaskKind, TaskState

FAILED = gettext_lazy("The qualification was not passed. See your results before you try again.")


def mark_gold(*, task: Task, reference: str = "", checks: Iterable[Any] = (), by: User) -> GoldTask:
    """Make a prompt a gold task, or change what its answers are measured against.

    It leaves the queue: an answer to it is graded and never trained on. Raises NoReference without a reference answer
    and checks, BadCheck for a check that makes no sense or that the reference itself fails, NotAllowed for anything
    but a prompt, HeldByOther while somebody works on it.
    """
    reference = reference.replace("\r\n", "\n").strip()
    rules = _clean_checks(checks, reference)
    if not reference and not rules:
        raise NoReference
    with transaction.atomic():
        task = Task.objects.select_for_update().get(pk=task.pk)
        if task.kind != TaskKind.ANSWER or task.is_gold_copy:
            raise NotAllowed(_("Only a prompt that waits for an answer can be a gold task."))
        if task.state == TaskState.LEASED and task.lease_expires_at and task.lease_expires_at > timezone.now():
            raise HeldByOther
        if task.state == TaskState.LEASED:
            move(task, TaskState.OPEN, moves=TASK_MOVES, reason="lease ran out", leased_by=None, lease_expires_at=None)
        if task.state in (TaskState.OPEN, TaskState.ASIDE):
            move(task, TaskState.RETIRED, moves=TASK_MOVES, by=by, reason="gold")
        former = GoldTask.objects.filter(task=task).first()
        gold, _created = GoldTask.objects.update_or_create(
            task=task,
            defaults={"reference": reference, "checks": rules, "unmarked_at": None},
            create_defaults={"reference": reference, "checks": rules, "marked_by": by},
        )
        before = former.reference if former and former.unmarked_at is None else ""
        record(task, what="gold", before=before, after=reference or f"{len(rules)} checks", by=by)
    return gold


@transaction.atomic
def unmark_gold(*, gold: GoldTask, by: User) -> None:
    """Hand the gold task out to nobody from now on; an unanswered prompt goes back to the queue. Grades stay.

    Raises NotAllowed when newcomers need it for their qualification.
    """
    project = Project.objects.select_for_update().get(pk=gold.task.project_id)
    in_use = GoldTask.objects.in_use().filter(task__project=project)
    if in_use.count() <= project.n_qualification:
        raise NotAllowed(_("The qualification needs this many gold tasks. Mark another one first, or ask for fewer."))
    if not in_use.filter(pk=gold.pk).update(unmarked_at=timezone.now()):
        raise NotAllowed
    record(gold.task, what="gold", before=gold.reference or "checks", after="", by=by)
    if gold.task.state == TaskState.RETIRED and not gold.task.submissions.exists():
        move(gold.task, TaskState.OPEN, moves=TASK_MOVES, by=by, reason="no gold task any more")
    gold.refresh_from_db()


def _clean_checks(checks: Iterable[Any], reference: str) -> list[Check]:
    rules: list[Check] = []
    for number, check in enumerate(checks, 1):
        try:
            rule = clean_check(check)
        except CheckError as error:
            raise BadCheck(explain_check(error.code, number)) from error
        if reference and not passes(rule, reference):
            raise BadCheck(_("The reference answer itself fails check %(number)d.") % {"number": number})
        if rule not in rules:
            rules.append(rule)
    return rules


def first_qualification(project: Project, role: Role | str) -> dict[str, Any]:
    """Return the fields of a new membership that say whether the person has to qualify first."""
    if role == Role.CONTRACTOR and project.n_qualification:
        return {"qualification": Qualification.IN_PROGRESS, "qualification_attempt": 1}
    return {}


def may_get_gold(membership: Membership) -> bool:
    """Whether the person is one of those, in a project of those, that gold tasks are handed out to."""
    project = membership.project
    is_contractor = membership.role == Role.CONTRACTOR and membership.pk is not None
    return is_contractor and bool(project.n_qualification or project.gold_percent)


def gold_task_for(*, membership: Membership) -> Task | None:
    """Return a gold task that the person now holds, or None when ordinary work is due.

    A newcomer gets one after the other until the qualification is complete. Everybody else who is a contractor gets
    one now and then, by the project's share, that they have not seen before. Raises NotQualified while a
    qualification waits for grades or was not passed. The caller's transaction lets requests of one person take turns.
    """
    project = membership.project
    if not may_get_gold(membership):
        return None
    if project.n_qualification and membership.qualification == Qualification.FAILED:
        raise NotQualified(FAILED)
    is_newcomer = bool(project.n_qualification) and membership.qualification == Qualification.IN_PROGRESS
    if not is_newcomer and not project.gold_percent:
        return None
    return _qualifying(membership) if is_newcomer else _among_ordinary_work(membership)


def _qualifying(membership: Membership) -> Task:
    copies = membership.gold_copies.filter(attempt=membership.qualification_attempt)
    begun = _begun(copies, membership.user)
    skipped = [task for task in begun if task.position]
    if task := next((task for task in begun if not task.position), None):
        return _hold(task, membership)
    if copies.count() < membership.project.n_qualification:
        gold = _unseen(membership) or _seen_before(membership)
        if gold is not None:
            return _copy(gold, membership, membership.qualification_attempt)
    if skipped:
        return _hold(skipped[0], membership)
    raise NotQualified


def _among_ordinary_work(membership: Membership) -> Task | None:
    begun = _begun(membership.gold_copies.filter(attempt=0), membership.user)
    drafted = next((task for task in begun if task.has_draft), None)  # type: ignore[attr-defined]
    if drafted is not None:
        return _hold(drafted, membership)
    if random.randrange(100) >= membership.project.gold_percent:
        return None
    if begun:
        return _hold(begun[0], membership)
    gold = _unseen(membership)
    return _copy(gold, membership, 0) if gold else None


def _begun(copies: Any, user: User) -> list[Task]:
    """Return the person's copies that are not handed in, those that were skipped last. A skip sets the position."""
    rows = Task.objects.filter(gold_copy__in=copies, state__in=[TaskState.OPEN, TaskState.LEASED])
    has_draft = Exists(Draft.objects.filter(task=OuterRef("pk"), user=user))
    return list(rows.annotate(has_draft=has_draft).order_by("position", "-has_draft", "pk"))


def _lease(membership: Membership) -> dict[str, Any]:
    ends = timezone.now() + timedelta(minutes=membership.project.lease_minutes)
    return {"leased_by": membership.user, "lease_token": uuid.uuid4(), "lease_expires_at": ends}


def _hold(task: Task, membership: Membership) -> Task:
    task.project = membership.project
    if task.state == TaskState.LEASED:
        move(task, TaskState.OPEN, moves=TASK_MOVES, reason="lease ran out", leased_by=None, lease_expires_at=None)
    move(task, TaskState.LEASED, moves=TASK_MOVES, by=membership.user, **_lease(membership))
    return task


def _unseen(membership: Membership) -> GoldTask | None:
    """Return the gold task that the fewest have seen, of those that this person has neither seen nor answered."""
    seen = membership.gold_copies.values("gold_id")
    answered = Submission.objects.filter(author=membership.user, task__gold_mark__isnull=False).values("task_id")
    rows = GoldTask.objects.in_use().filter(task__project=membership.project).select_related("task")
    rows = rows.exclude(pk__in=seen).exclude(task_id__in=answered)
    return rows.annotate(n_copies=Count("copies")).order_by("n_copies", "pk").first()


def _seen_before(membership: Membership) -> GoldTask | None:
    """Return one of an earlier attempt, the one seen longest ago: there are not enough for another set."""
    now = membership.gold_copies.filter(attempt=membership.qualification_attempt).values("gold_id")
    rows = GoldTask.objects.in_use().filter(task__project=membership.project).exclude(pk__in=now)
    return rows.select_related("task").order_by("copies__created_at", "pk").first()


def _copy(gold: GoldTask, membership: Membership, attempt: int) -> Task:
    """Make the person's own copy, in their hands. Its hash is no prompt's: one person, one gold task, one attempt."""
    task = Task.objects.create(
        project=membership.project,
        kind=TaskKind.ANSWER,
        state=TaskState.LEASED,
        messages=gold.task.messages,
        prompt_hash=digest(["gold", gold.pk, membership.pk, attempt]),
        is_gold_copy=True,
        created_by=membership.user,
        **_lease(membership),
    )
    GoldCopy.objects.create(gold=gold, membership=membership, task=task, attempt=attempt)
    return task
