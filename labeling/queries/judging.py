"""Reads for comparisons, second reviews and agreement. Every one starts from the person or the project."""

from collections.abc import Iterable

from django.db.models import Count, Exists, QuerySet

from labeling.models import AgreementFigure, Comparison, Membership, Project, SecondReview, Submission, VoteDraft
from labeling.models.comparison import free_for
from labeling.states import ComparisonState, SubmissionState, TaskKind


def doubly_answered(project: Project) -> QuerySet[Submission]:
    """Return the submissions that wait or are accepted, of prompts that more than one person answered, by prompt and age."""
    live = (SubmissionState.SUBMITTED, SubmissionState.ACCEPTED)
    rows = Submission.objects.filter(project=project, state__in=live, task__kind=TaskKind.ANSWER)
    several = rows.order_by().values("task").annotate(n=Count("author", distinct=True)).filter(n__gt=1)
    return rows.filter(task__in=several.values("task")).select_related("author").order_by("task_id", "pk")


def open_vote_drafts(membership: Membership) -> "QuerySet[VoteDraft]":
    """Return what the person began to say of comparisons that still wait for votes, the latest first."""
    rows = VoteDraft.objects.filter(person=membership.user_id, comparison__project=membership.project_id)
    return rows.filter(comparison__state=ComparisonState.OPEN).select_related("comparison").order_by("-saved_at")


def what_to_judge(membership: Membership) -> dict[str, bool]:
    """Return whether comparisons and second reviews wait for the person now: every page asks."""
    project, user = membership.project_id, membership.user
    comparisons = Comparison.objects.filter(project_id=project).to_judge(user).filter(free_for(user))
    seconds = SecondReview.objects.filter(submission__project_id=project).waiting_for(user).filter(free_for(user))
    if not membership.is_reviewer:
        if not Comparison.objects.filter(project_id=project, state=ComparisonState.OPEN).exists():
            return {"can_compare": False, "can_review_again": False}  # as nearly always, and far sooner known
        seconds = SecondReview.objects.none()
    found = Project.objects.filter(pk=project).values(can_compare=Exists(comparisons), can_review_again=Exists(seconds))
    row = found.get()
    return {"can_compare": row["can_compare"], "can_review_again": row["can_review_again"]}


def comparison_counts(membership: Membership) -> dict[str, int]:
    """Return what is left to compare and why the person gets none of it."""
    user = membership.user
    left = Comparison.objects.filter(project_id=membership.project_id, state=ComparisonState.OPEN)
    mine = left.to_judge(user)
    return {
        "left": left.count(),
        "held": mine.count() - mine.filter(free_for(user)).count(),
        "judged": left.filter(votes__person=user).count(),
        "skipped": left.filter(skips__person=user).count(),
    }


def agreement_of(project: Project, user_pks: Iterable[int]) -> dict[int, list[AgreementFigure]]:
    """Return the stored figures of these people in the project, by person, one for each kind of judgement that they gave."""
    rows = AgreementFigure.objects.filter(report__project=project, person__in=user_pks).order_by("measure")
    found: dict[int, list[AgreementFigure]] = {}
    for row in rows.select_related("report"):
        found.setdefault(row.person_id or 0, []).append(row)
    return found
