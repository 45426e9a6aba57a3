"""Reads about a deployment's models: how many conversations each had, and how many of them went wrong."""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Q

from deployment.models import Completion, Deployment, DeploymentChange, ShadowAnswer
from deployment.states import LIVE_CHANGES, ChangeKind, CompletionState, ShadowVerdict, Stage
from labeling.models import Project
from labeling.states import CaseState, Source
from training.intervals import rate_interval
from training.models import TunedModel

FORMER_WINDOW = timedelta(days=30)
# An answer of a sample is not known to be wrong before a reviewer has said so.
UNJUDGED = Q(case__source=Source.SAMPLE, case__state__in=[str(CaseState.OPEN), str(CaseState.CLAIMED)])
# Somebody or something found the answer wrong, and no reviewer has dismissed that.
FOUND_WRONG = (Q(rating=-1) | (Q(case__isnull=False) & ~UNJUDGED)) & ~Q(case__state=CaseState.DISMISSED)
BAD = Q(state=CompletionState.FAILED) | FOUND_WRONG


@dataclass(frozen=True)
class Tally:
    """Conversations with one model. `low` and `high` bound the share of bad ones; None without conversations."""

    n: int = 0
    n_bad: int = 0

    @property
    def share(self) -> float | None:
        return self.n_bad / self.n if self.n else None

    @property
    def low(self) -> float | None:
        return rate_interval(self.n_bad, self.n).low if self.n else None

    @property
    def high(self) -> float | None:
        return rate_interval(self.n_bad, self.n).high if self.n else None


def tally(
    deployment: Deployment, model: TunedModel | None, *, since: datetime, until: datetime | None = None, bad: Q = BAD
) -> Tally:
    """Return how the deployment's conversations with `model` (None: the base model) went in that time."""
    rows = Completion.objects.filter(project=deployment.project_id, deployment=deployment, tuned_model=model)
    rows = rows.filter(created_at__gte=since).exclude(thread="")
    if until is not None:
        rows = rows.filter(created_at__lt=until)
    counts = rows.aggregate(n=Count("thread", distinct=True), n_bad=Count("thread", distinct=True, filter=bad))
    return Tally(counts["n"], counts["n_bad"])


def bad_by_share(deployment: Deployment) -> list[tuple[bool, float]]:
    """Return the conversations that went wrong since the canary began, in their order: whether each was the canary's, and
    which share of the conversations the canary had then. A conversation counts once, with its first bad answer."""
    if deployment.stage != Stage.CANARY or deployment.stage_since is None:
        return []
    steps = deployment.changes.filter(kind=ChangeKind.CANARY, at__gte=deployment.stage_since).order_by("pk")
    shares = list(steps.values_list("at", "weight"))
    rows = Completion.objects.filter(BAD, project=deployment.project_id, deployment=deployment)
    rows = rows.filter(created_at__gte=deployment.stage_since).exclude(thread="").order_by("pk")
    seen: dict[str, tuple[bool, float]] = {}
    for thread, model_pk, at in rows.values_list("thread", "tuned_model_id", "created_at"):
        share = next((weight for began, weight in reversed(shares) if began <= at), shares[0][1])
        seen.setdefault(thread, (model_pk == deployment.candidate_model_id, share / 100))
    return list(seen.values())


def last_live_change(deployment: Deployment) -> DeploymentChange | None:
    """Return the change that made live what is live."""
    rows = deployment.changes.filter(kind__in=LIVE_CHANGES)
    return rows.select_related("from_model", "to_model").first()


@dataclass(frozen=True)
class ShadowCounts:
    """What became of the copies of one candidate. `low` and `high` bound its share of the answers of which one was better."""

    model_name: str
    n: int
    n_identical: int
    n_failed: int
    n_same: int
    n_better: int
    n_worse: int
    n_both_wrong: int

    @property
    def n_answered(self) -> int:
        return self.n - self.n_failed

    @property
    def n_decided(self) -> int:
        return self.n_better + self.n_worse

    @property
    def low(self) -> float | None:
        return rate_interval(self.n_better, self.n_decided).low if self.n_decided else None

    @property
    def high(self) -> float | None:
        return rate_interval(self.n_better, self.n_decided).high if self.n_decided else None


def shadow_counts(project: Project, *, limit: int = 10) -> list[ShadowCounts]:
    """Return the counts of the project's candidates that were or are in shadow, the newest first."""
    verdicts = {f"n_{value}": Count("pk", filter=Q(verdict=value)) for value in ShadowVerdict.values}
    rows = ShadowAnswer.objects.filter(project=project).order_by().values("tuned_model__name")
    rows = rows.annotate(
        n=Count("pk"),
        n_identical=Count("pk", filter=Q(state=CompletionState.DONE, is_same=True)),
        n_failed=Count("pk", filter=Q(state=CompletionState.FAILED)),
        last=Max("pk"),
        **verdicts,
    )
    names = [field.name for field in fields(ShadowCounts) if field.name != "model_name"]
    return [
        ShadowCounts(model_name=row["tuned_model__name"], **{name: row[name] for name in names})
        for row in map(dict[str, Any], rows.order_by("-last")[:limit])
    ]
