"""Reads that several callers share. Every one starts from the person."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest
from django.utils import timezone

from labeling.models import (
    Acknowledgement,
    Draft,
    InstructionVersion,
    Membership,
    Project,
    RegressionTest,
    Skip,
    Submission,
    Task,
    User,
)
from labeling.search_text import wanted_words
from labeling.states import Role, SubmissionState, TaskKind, TaskState

Rows = TypeVar("Rows", bound=QuerySet[Any])


def require_member(
    request: HttpRequest, slug: str, role: Role = Role.CONTRACTOR, *, allows_paused: bool = False
) -> Membership:
    """Return the person's membership in the project and put it on the request, for the page frame.

    Strangers and removed people get Http404, members below `role` PermissionDenied. Paused people get PermissionDenied
    too, whose page says why they are paused and whom to ask; `allows_paused` lets them in, to keep what they wrote. A
    superuser counts as an admin of every project, without a row of their own.
    """
    membership = (
        Membership.objects.select_related("project").filter(project__slug=slug, user_id=request.user.pk or 0).first()
    )
    if membership is not None and membership.is_removed:
        membership = None
    if membership is not None:
        membership.user = request.user  # type: ignore[assignment] # read already, with the session
    if membership is None and request.user.is_superuser:
        project = Project.objects.filter(slug=slug).first()
        membership = Membership(project=project, user=request.user, role=Role.ADMIN) if project else None
    if membership is None:
        raise Http404
    request.membership = membership  # type: ignore[attr-defined]
    if not membership.has_role(role) or (membership.is_paused and not allows_paused):
        raise PermissionDenied
    return membership


@lru_cache(maxsize=64)
def _published(project_pk: int, number: int) -> InstructionVersion:
    """A version never changes, so each web process reads it once, with its examples."""
    rows = InstructionVersion.objects.prefetch_related("illustrations")
    return rows.get(project_id=project_pk, number=number)


def instructions_by_number(project: Project, number: int) -> InstructionVersion | None:
    """Return that version, with its examples fetched; None where there is none of that number."""
    try:
        return _published(project.pk, number)
    except InstructionVersion.DoesNotExist:
        return None


def current_instructions(project: Project) -> InstructionVersion | None:
    """Return the version in force, None where none has been published."""
    number = project.instruction_versions.order_by("-number").values_list("number", flat=True).first()
    return None if number is None else instructions_by_number(project, number)


def needs_acknowledgement(membership: Membership) -> InstructionVersion | None:
    """Return the version in force when the person has not yet acknowledged it, else None."""
    version, is_read = instructions_standing(membership)
    return None if is_read else version


def instructions_standing(membership: Membership) -> tuple[InstructionVersion | None, bool]:
    """Return the version in force and whether the person has acknowledged it; None and True where none is published.

    Written out, as each hand-out of a task asks for both.
    """
    sql = f"""
        SELECT number, EXISTS (
            SELECT 1 FROM {Acknowledgement._meta.db_table} WHERE version_id = version.id AND user_id = %s
        ) FROM {InstructionVersion._meta.db_table} AS version WHERE project_id = %s ORDER BY number DESC LIMIT 1"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [membership.user_id, membership.project_id])
        found = cursor.fetchone()
    if found is None:
        return None, True
    return instructions_by_number(membership.project, found[0]), bool(found[1])


@dataclass(frozen=True)
class QueueStanding:
    """Why there is no prompt for a person: of `n_left` prompts so many are held, with an admin, answered or skipped by them."""

    n_left: int
    n_held: int
    held_until: datetime | None
    n_mine: int
    n_skipped: int
    n_aside: int


def queue_standing(membership: Membership) -> QueueStanding:
    """Count the prompts that are not done, each once: held by others, set aside, else the person's own, else skipped."""
    own = {"task": OuterRef("pk")}
    rows = membership.project.tasks.filter(
        kind=TaskKind.ANSWER,
        state__in=[TaskState.OPEN, TaskState.LEASED, TaskState.ASIDE],
        is_gold_copy=False,
    ).annotate(
        is_mine=Exists(Submission.objects.filter(author=membership.user_id, **own)),
        was_skipped=Exists(Skip.objects.filter(user=membership.user_id, **own)),
    )
    is_held = Q(state=TaskState.LEASED, lease_expires_at__gt=timezone.now())
    is_free = ~Q(state=TaskState.ASIDE) & ~is_held
    return QueueStanding(
        **rows.aggregate(
            n_left=Count("pk"),
            n_held=Count("pk", filter=is_held),
            held_until=Min("lease_expires_at", filter=is_held),
            n_mine=Count("pk", filter=is_free & Q(is_mine=True)),
            n_skipped=Count("pk", filter=is_free & Q(is_mine=False, was_skipped=True)),
            n_aside=Count("pk", filter=Q(state=TaskState.ASIDE)),
        )
    )


def regression_suite(project: Project) -> QuerySet[RegressionTest]:
    """Return the project's active tests, oldest first, with their probes and cases fetched."""
    return (
        RegressionTest.objects.filter(project=project, is_active=True)
        .select_related("case")
        .prefetch_related("probes")
        .order_by("pk")
    )


def with_words(rows: Rows, query: str) -> Rows:
    """Keep the rows that have every word of the query, each by its beginning. A query of mere punctuation finds nothing."""
    wanted = wanted_words(query)
    if query.strip() and not wanted:
        return rows.none()
    for word in wanted:
        rows = rows.filter(search_text__has_word=word)
    return rows


def returned_submission(task: Task, user: User) -> Submission | None:
    """Return the person's submission of this task that was sent back and waits for its next revision."""
    return task.submissions.filter(author=user, state=SubmissionState.RETURNED).first()


def may_write(task: Task, user: User) -> bool:
    """Whether the task is open on this person's desk: handed to them, begun by them, or sent back to them."""
    return (
        (task.state == TaskState.LEASED and task.leased_by_id == user.pk)
        or task.drafts.filter(user=user).exists()
        or returned_submission(task, user) is not None
    )


def work_counts(membership: Membership) -> dict[str, int]:
    """Return how many of the person's own submissions are in each state, 0 included, and their drafts as "draft"."""
    own = Submission.objects.filter(project=membership.project, author=membership.user)
    counts = dict.fromkeys(map(str, SubmissionState), 0)
    counts |= dict(own.order_by().values_list("state").annotate(n=Count("pk")))
    counts["draft"] = Draft.objects.filter(task__project=membership.project, user=membership.user).count()
    return counts
