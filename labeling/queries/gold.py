"""Reads about gold work: scores, results for the person, warnings for admins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Avg, Count, F, Q, QuerySet

from common.checks import passes
from labeling.models import GoldCopy, GoldTask, Grade, Membership, Project, Submission
from labeling.models.qualification import RUBRIC
from labeling.states import Qualification, Role, SubmissionState

FALLING_WINDOW = 5  # so many graded answers are looked at where no number for newcomers is set
_GRADES = "task__submissions__grades__"


def scored_copies(membership: Membership) -> "QuerySet[GoldCopy, Any]":
    """Return the person's gold work that is graded, the latest first, each with its mean `score` of 1 to 7."""
    return _scored().filter(membership=membership)


def _scored() -> "QuerySet[GoldCopy, Any]":
    one = sum((F(f"{_GRADES}{name}") for name in list(RUBRIC)[1:]), start=F(f"{_GRADES}{next(iter(RUBRIC))}"))
    rows = GoldCopy.objects.filter(task__submissions__state=SubmissionState.GRADED)
    return rows.annotate(score=Avg(one * 1.0 / len(RUBRIC))).order_by("-pk")


def mean_of(scores: Sequence[float]) -> float:
    """Return the mean, free of the last digits' noise, so that it compares with a threshold."""
    return round(sum(scores) / len(scores), 6)


@dataclass(frozen=True)
class TaskResult:
    """One graded answer of a person: the text, its mean score, and the grades by rubric with their comments."""

    submission: Submission
    score: float
    grades: list[Grade]


@dataclass(frozen=True)
class Progress:
    """Where a person's qualification stands. `mean` is None until an answer is graded."""

    attempt: int
    n_needed: int
    n_handed_in: int
    n_graded: int
    mean: float | None


def qualification_progress(membership: Membership) -> Progress:
    """Return the state of the attempt begun last."""
    attempt = membership.qualification_attempt
    copies = membership.gold_copies.filter(attempt=attempt)
    done = (SubmissionState.SUBMITTED, SubmissionState.GRADED)
    n_handed_in = copies.filter(task__submissions__state__in=done).distinct().count()
    scores = [row.score for row in scored_copies(membership).filter(attempt=attempt)] if attempt else []
    n_needed = membership.project.n_qualification
    return Progress(attempt, n_needed, n_handed_in, len(scores), mean_of(scores) if scores else None)


def gold_results(membership: Membership) -> list[TaskResult]:
    """Return all graded answers of the person, the latest first. Who graded them is not part of it."""
    rows = Submission.objects.filter(
        project=membership.project, author=membership.user, is_gold=True, state=SubmissionState.GRADED
    )
    rows = rows.prefetch_related("grades", "task__gold_copy").order_by("-pk")
    results = []
    for submission in rows:
        grades = list(submission.grades.all())
        results.append(TaskResult(submission, mean_of([grade.mean for grade in grades]), grades))
    return results


def check_results(submission: Submission) -> list[dict[str, Any]]:
    """Return the checks of the gold task with whether this answer passes them."""
    answer = submission.messages[-1]["content"]
    checks = submission.task.gold_copy.gold.checks
    return [{**check, "is_passed": passes(check, answer)} for check in checks]


def falling_members(project: Project) -> dict[int, float]:
    """Return the recent mean score of the contractors whose last answers are below the threshold, by membership."""
    if not project.n_qualification and not project.gold_percent:
        return {}
    window = project.n_qualification or FALLING_WINDOW
    recent: dict[int, list[float]] = {}
    rows = _scored().filter(membership__project=project, membership__role=Role.CONTRACTOR, membership__is_active=True)
    for row in rows.exclude(membership__qualification=Qualification.FAILED):
        scores = recent.setdefault(row.membership_id, [])
        if len(scores) < window:
            scores.append(row.score)
    means = {pk: mean_of(scores) for pk, scores in recent.items() if len(scores) == window}
    return {pk: mean for pk, mean in means.items() if mean < project.qualification_threshold}


def gold_table(project: Project) -> "QuerySet[GoldTask, Any]":
    """Return the gold tasks in use with how many people got each, how many answers are graded, and their mean score."""
    graded = Q(copies__task__submissions__state=SubmissionState.GRADED)
    grades = "copies__task__submissions__grades__"
    one = sum((F(f"{grades}{name}") for name in list(RUBRIC)[1:]), start=F(f"{grades}{next(iter(RUBRIC))}"))
    return (
        GoldTask.objects.in_use()
        .filter(task__project=project)
        .select_related("task", "marked_by")
        .annotate(
            n_copies=Count("copies", distinct=True),
            n_graded=Count("copies__task__submissions", filter=graded, distinct=True),
            score=Avg(one * 1.0 / len(RUBRIC), filter=graded),
        )
        .order_by("pk")
    )


def n_to_grade(membership: Membership) -> int:
    """Return how many answers wait for this reviewer's grade."""
    return Submission.objects.filter(project=membership.project).gradable_by(membership.user).order_by().count()
