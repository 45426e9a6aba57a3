"""The figures of a project's traffic in a stretch of time: how much, how fast, how good, and what became of the bad answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.db.models import Count, Max, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from deployment.models import Completion
from deployment.queries.alert import CONVERSATION
from deployment.queries.release import FOUND_WRONG
from deployment.states import CompletionState
from labeling.models import Case, Correction, Project, Report
from labeling.states import CASE_CORRECTABLE, CaseState
from training.intervals import Interval, rate_interval

N_MODELS = 20
COUNTS: dict[str, Any] = {
    "n": Count("pk"),
    "n_failed": Count("pk", filter=Q(state=CompletionState.FAILED)),
    "n_up": Count("pk", filter=Q(rating=1)),
    "n_down": Count("pk", filter=Q(rating=-1)),
    "n_read": Sum("n_prompt_tokens"),
    "n_written": Sum("n_completion_tokens"),
    "n_conversations": Count(CONVERSATION, distinct=True),
    "n_bad": Count(CONVERSATION, distinct=True, filter=FOUND_WRONG),
}


@dataclass(frozen=True)
class Period:
    """A stretch of time up to now, and into how many parts it is cut. `pattern` is how the time of a part is written."""

    key: str
    label: Any
    length: timedelta
    n_parts: int
    pattern: str


PERIODS = (
    Period("day", _("24 hours"), timedelta(hours=24), 24, "H:i"),
    Period("week", _("7 days"), timedelta(days=7), 14, "j M"),
    Period("month", _("30 days"), timedelta(days=30), 30, "j M"),
    Period("quarter", _("90 days"), timedelta(days=90), 30, "j M"),
)


@dataclass
class Figures:
    """Of a stretch of time, or of one model in it. A part of the time has the median of `first_token` alone, a model no times."""

    name: str
    n: int = 0
    n_failed: int = 0
    n_up: int = 0
    n_down: int = 0
    n_read: int = 0
    n_written: int = 0
    n_conversations: int = 0
    n_bad: int = 0
    first_token: tuple[float, ...] = ()  # median and 95th percentile, in seconds
    duration: tuple[float, ...] = ()

    @property
    def bad(self) -> Interval | None:
        """The share of conversations with an answer that people or detectors found wrong."""
        return rate_interval(self.n_bad, self.n_conversations) if self.n_conversations else None


@dataclass
class CaseFigures:
    """What became of cases in a stretch of time; the last three are of now."""

    n_reports: int = 0
    n_opened: int = 0
    n_corrected: int = 0
    n_fixed: int = 0
    seconds_to_fixed: float | None = None  # median, of those that were fixed in that time
    n_waiting: int = 0
    n_in_training: int = 0
    n_not_fixed: int = 0


@dataclass
class Monitoring:
    total: Figures
    parts: list[Figures]
    models: list[Figures] = field(default_factory=list)
    cases: CaseFigures = field(default_factory=CaseFigures)


def monitor(project: Project, period: Period, *, model_name: str = "") -> Monitoring:
    """Return the figures of the deployment's answers, of all models or of one. The number of queries does not depend on
    how many answers there are."""
    until = timezone.now()
    since = until - period.length
    rows = Completion.objects.filter(project=project, deployment__isnull=False).order_by()
    rows = rows.exclude(state=CompletionState.STREAMING)
    if model_name:
        rows = rows.filter(model_name=model_name)
    whole = rows.filter(created_at__gt=since, created_at__lte=until)
    return Monitoring(
        total=_figures("", whole),
        parts=[
            _figures(
                date_format(timezone.localtime(begin), period.pattern),
                rows.filter(created_at__gt=begin, created_at__lte=end),
                is_part=True,
            )
            for begin, end in _parts(since, period)
        ],
        models=_of_models(whole),
        cases=_of_cases(project, since),
    )


def _parts(since: datetime, period: Period) -> Iterator[tuple[datetime, datetime]]:
    step = period.length / period.n_parts
    for number in range(period.n_parts):
        yield since + step * number, since + step * (number + 1)


def _figures(name: str, rows: QuerySet[Completion], *, is_part: bool = False) -> Figures:
    """Return the figures of the answers; of a part of the time no more than is drawn, for each rank is a sort."""
    counts = rows.aggregate(**COUNTS, n_begun=Count("time_to_first_token_s"), n_timed=Count("duration_s"))
    figures = _counted(name, counts)
    ranks = (50,) if is_part else (50, 95)
    figures.first_token = _ranked(rows, "time_to_first_token_s", counts["n_begun"], ranks)
    figures.duration = () if is_part else _ranked(rows, "duration_s", counts["n_timed"], ranks)
    return figures


def _ranked(rows: QuerySet[Completion], name: str, n: int, ranks: Sequence[int]) -> tuple[float, ...]:
    """Return the percentiles of a column of which `n` values are there (nearest rank), none where there are none."""
    values = rows.filter(**{f"{name}__isnull": False}).order_by(name).values_list(name, flat=True)
    return tuple(float(values[(n - 1) * rank // 100]) for rank in ranks) if n else ()


def _of_models(rows: QuerySet[Completion]) -> list[Figures]:
    """Return the figures of each model, the one that answered last first."""
    found = rows.values("model_name").annotate(**COUNTS, last=Max("pk")).order_by("-last")
    return [_counted(row["model_name"], row) for row in map(dict[str, Any], found[:N_MODELS])]


def _counted(name: str, counts: Mapping[str, Any]) -> Figures:
    figures = Figures(name)
    for key in COUNTS:
        setattr(figures, key, counts[key] or 0)
    return figures


def _of_cases(project: Project, since: datetime) -> CaseFigures:
    cases = Case.objects.filter(project=project)
    now = cases.aggregate(
        n_waiting=Count("pk", filter=Q(state__in=CASE_CORRECTABLE)),
        n_in_training=Count("pk", filter=Q(state__in=(CaseState.CORRECTED, CaseState.IN_TRAINING))),
        n_not_fixed=Count("pk", filter=Q(state=CaseState.NOT_FIXED)),
        n_opened=Count("pk", filter=Q(opened_at__gt=since)),
    )
    fixed = cases.filter(state=CaseState.FIXED, settled_at__gt=since)
    took = [
        (row.settled_at - row.opened_at).total_seconds()
        for row in fixed.only("settled_at", "opened_at")
        if row.settled_at
    ]
    return CaseFigures(
        **now,
        n_reports=Report.objects.filter(case__project=project, created_at__gt=since).count(),
        n_corrected=Correction.objects.filter(case__project=project, created_at__gt=since)
        .values("case")
        .distinct()
        .count(),
        n_fixed=len(took),
        seconds_to_fixed=median(took) if took else None,
    )
