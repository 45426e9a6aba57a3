"""What became of the cases that detectors reported."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Case as Choose
from django.db.models import Count, F, Q, When

from deployment.models import Detection
from deployment.states import Detector
from labeling.models import Project
from labeling.states import CaseState
from training.intervals import rate_interval

RIGHT = (CaseState.CORRECTED, CaseState.IN_TRAINING, CaseState.FIXED, CaseState.NOT_FIXED)


@dataclass(frozen=True)
class Precision:
    """Of a detector's cases: how many it opened, and what reviewers made of them. The shares are None before any verdict."""

    detector: Detector
    n_opened: int
    n_corrected: int
    n_dismissed: int
    value: float | None = None
    low: float | None = None
    high: float | None = None


def precisions(project: Project) -> list[Precision]:
    """Return the figures of every detector, in their order. A merged case counts as the one that it went into."""
    state = Choose(When(case__state=CaseState.MERGED, then=F("case__merged_into__state")), default=F("case__state"))
    rows = (
        Detection.objects.filter(project=project)
        .annotate(stands=state)
        .values("detector")
        .annotate(
            n_opened=Count("case", distinct=True, filter=Q(has_opened=True)),
            n_corrected=Count("case", distinct=True, filter=Q(stands__in=RIGHT)),
            n_dismissed=Count("case", distinct=True, filter=Q(stands=CaseState.DISMISSED)),
        )
    )
    found = {row["detector"]: row for row in rows}
    return [_precision(detector, found.get(detector.value, {})) for detector in Detector]


def _precision(detector: Detector, row: Mapping[str, Any]) -> Precision:
    n_corrected, n_dismissed = row.get("n_corrected", 0), row.get("n_dismissed", 0)
    figures = (detector, row.get("n_opened", 0), n_corrected, n_dismissed)
    if n := n_corrected + n_dismissed:
        found = rate_interval(n_corrected, n)
        return Precision(*figures, found.value, found.low, found.high)
    return Precision(*figures)
