"""Figures of people's work, week by week. A week is an ISO week, a day is one of the server's time zone."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Max, Q, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone

from labeling.models import ActiveTime, AgreementFigure, Membership, Project, Rate, Review, Submission, Task
from labeling.queries.judging import agreement_of
from labeling.states import RateUnit, SubmissionState, TaskState, Verdict

MS_AN_HOUR = 3_600_000
PEOPLE_AT_ONCE = 200  # in one round of queries
CENT = Decimal("0.01")


@dataclass
class Figures:
    """What happened in a stretch of time: to the person's work, by the day of the verdict, and by the person."""

    submitted: int = 0
    accepted: int = 0
    returned: int = 0
    rejected: int = 0
    active_ms: int = 0
    earned: Decimal | None = None  # None: the person had no rate

    @property
    def n_decided(self) -> int:
        return self.accepted + self.returned + self.rejected

    @property
    def acceptance(self) -> float | None:
        """Share of the verdicts that were "accept", with or without an edit; None where there is none."""
        return self.accepted / self.n_decided if self.n_decided else None

    @property
    def active_s(self) -> int:
        return self.active_ms // 1000

    @property
    def active_hours(self) -> float:
        return round(self.active_ms / MS_AN_HOUR, 2)


@dataclass
class Week(Figures):
    monday: date = date.min

    @property
    def name(self) -> str:
        year, number, _day = self.monday.isocalendar()
        return f"{year}-W{number:02d}"

    @property
    def short_name(self) -> str:
        return self.name.partition("-")[2]

    @property
    def sunday(self) -> date:
        return self.monday + timedelta(days=6)


def today() -> date:
    return timezone.localdate(timezone=timezone.get_default_timezone())


def day_begins(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min), timezone.get_default_timezone())


def monday_of(day: date) -> date:
    return day - timedelta(days=day.weekday())


def weekly(project: Project, *, n_weeks: int, user_pks: Iterable[int]) -> dict[int, list[Week]]:
    """Return for each person the last `n_weeks` weeks, this one last. Four queries, however many people."""
    first = monday_of(today()) - timedelta(weeks=n_weeks - 1)
    mondays = [first + timedelta(weeks=n) for n in range(n_weeks)]
    found = {pk: {monday: Week(monday=monday) for monday in mondays} for pk in user_pks}
    only = list(found)
    rates = _rates(project, only)
    zone = timezone.get_default_timezone()

    submissions = (
        Submission.objects.filter(project=project, author__in=only, submitted_at__gte=day_begins(first))
        .annotate(day=TruncDate("submitted_at", tzinfo=zone))
        .order_by()
        .values_list("author_id", "day")
        .annotate(n=Count("pk"))
    )
    for pk, day, n in submissions:
        if week := found[pk].get(monday_of(day)):
            week.submitted += n

    reviews = (
        Review.objects.filter(
            submission__project=project, submission__author__in=only, created_at__gte=day_begins(first)
        )
        .annotate(day=TruncDate("created_at", tzinfo=zone))
        .order_by()
        .values_list("submission__author_id", "day", "verdict")
        .annotate(n=Count("pk"))
    )
    for pk, day, verdict, n in reviews:
        if week := found[pk].get(monday_of(day)):
            name = _OUTCOME[Verdict(verdict)]
            setattr(week, name, getattr(week, name) + n)
            if name == "accepted":
                _earn(week, rates.get(pk, ()), day, RateUnit.PIECE, Decimal(n))

    times = ActiveTime.objects.filter(project=project, user__in=only, day__gte=first)
    for pk, day, active_ms in times.values_list("user_id", "day", "active_ms"):
        if week := found[pk].get(monday_of(day)):
            week.active_ms += active_ms
            _earn(week, rates.get(pk, ()), day, RateUnit.HOUR, Decimal(active_ms) / MS_AN_HOUR)

    for pk, weeks in found.items():
        starts = rates[pk][0][0] if pk in rates else None
        for week in weeks.values():
            if starts and starts <= week.sunday:
                week.earned = (week.earned or Decimal(0)).quantize(CENT)
    return {pk: list(weeks.values()) for pk, weeks in found.items()}


_OUTCOME = {
    Verdict.ACCEPT: "accepted",
    Verdict.EDIT: "accepted",
    Verdict.SEND_BACK: "returned",
    Verdict.REJECT: "rejected",
}
Rates = Sequence[tuple[date, Decimal, str]]


def _rates(project: Project, user_pks: list[int]) -> dict[int, list[tuple[date, Decimal, str]]]:
    rows = Rate.objects.filter(membership__project=project, membership__user__in=user_pks).order_by("valid_from")
    rates: dict[int, list[tuple[date, Decimal, str]]] = {}
    for pk, valid_from, amount, unit in rows.values_list("membership__user_id", "valid_from", "amount", "unit"):
        rates.setdefault(pk, []).append((valid_from, amount, unit))
    return rates


def _earn(week: Week, rates: Rates, day: date, unit: RateUnit, quantity: Decimal) -> None:
    """Add what `quantity` of a unit earned on a day, by the rate of that day."""
    rate = next((rate for rate in reversed(rates) if rate[0] <= day), None)
    if rate is not None and rate[2] == unit:
        week.earned = (week.earned or Decimal(0)) + rate[1] * quantity


def total(weeks: Iterable[Week]) -> Figures:
    """Add weeks up."""
    figures = Figures()
    for week in weeks:
        for name in ("submitted", "accepted", "returned", "rejected", "active_ms"):
            setattr(figures, name, getattr(figures, name) + getattr(week, name))
        if week.earned is not None:
            figures.earned = (figures.earned or Decimal(0)) + week.earned
    return figures


@dataclass
class Person:
    """A line of the people page. `figures` are those of the weeks that the page speaks of."""

    membership: Membership
    figures: Figures
    weeks: list[Week]
    rate: Rate | None = None
    n_held: int = 0
    n_waiting: int = 0
    n_returned: int = 0
    seen_at: datetime | None = None
    agreement: list[AgreementFigure] = field(default_factory=list)  # one for each kind of judgement that they gave

    @property
    def per_week(self) -> float:
        return self.figures.accepted / max(1, len(self.weeks))

    @property
    def least_agreement(self) -> float | None:
        """Share of judgements that others shared, in the kind where it is lowest; None where too few were compared."""
        return min((row.share_same for row in self.agreement if row.share_same is not None), default=None)

    @property
    def pk(self) -> int:
        return self.membership.user_id


@dataclass
class _Counts:
    held: dict[int, int] = field(default_factory=dict)
    waiting: dict[int, int] = field(default_factory=dict)
    returned: dict[int, int] = field(default_factory=dict)


def people(project: Project, members: Sequence[Membership], *, n_weeks: int) -> list[Person]:
    """Return a line for each membership, with the rate of today and what lies on the person's desk."""
    user_pks = [member.user_id for member in members]
    weeks = weekly(project, n_weeks=n_weeks, user_pks=user_pks)
    rates: dict[int, Rate] = {}
    for rate in Rate.objects.filter(membership__in=[member.pk for member in members], valid_from__lte=today()).order_by(
        "valid_from"
    ):
        rates[rate.membership_id] = rate
    counts = _desk(project, user_pks)
    agreement = agreement_of(project, user_pks)
    seen: dict[int, Any] = dict(
        ActiveTime.objects.filter(project=project, user__in=user_pks)
        .order_by()
        .values_list("user_id")
        .annotate(last=Max("last_ms"))
    )
    return [
        Person(
            membership=member,
            weeks=weeks[member.user_id],
            figures=total(weeks[member.user_id]),
            rate=rates.get(member.pk),
            agreement=agreement.get(member.user_id, []),
            n_held=counts.held.get(member.user_id, 0),
            n_waiting=counts.waiting.get(member.user_id, 0),
            n_returned=counts.returned.get(member.user_id, 0),
            seen_at=datetime.fromtimestamp(seen[member.user_id] / 1000, UTC) if member.user_id in seen else None,
        )
        for member in members
    ]


def _desk(project: Project, user_pks: list[int]) -> _Counts:
    held = Task.objects.filter(
        project=project, state=TaskState.LEASED, leased_by__in=user_pks, lease_expires_at__gt=timezone.now()
    )
    own = Submission.objects.filter(
        project=project, author__in=user_pks, state__in=[SubmissionState.SUBMITTED, SubmissionState.RETURNED]
    )
    counts = _Counts(held=dict(held.order_by().values_list("leased_by_id").annotate(n=Count("pk"))))
    rows = (
        own.order_by()
        .values_list("author_id")
        .annotate(
            waiting=Count("pk", filter=Q(state=SubmissionState.SUBMITTED)),
            returned=Count("pk", filter=Q(state=SubmissionState.RETURNED)),
        )
    )
    for pk, waiting, returned in rows:
        counts.waiting[pk], counts.returned[pk] = waiting, returned
    return counts


WEEK_COLUMNS = (
    *("week", "monday", "name", "email", "role", "submitted", "accepted", "returned", "rejected"),
    *("active_hours", "earned", "currency"),
)


def people_weeks(project: Project, memberships: "QuerySet[Membership]", *, n_weeks: int) -> Iterator[tuple[Any, ...]]:
    """Yield a line of WEEK_COLUMNS for each person and week, some people at a time."""
    members = memberships.select_related("user")
    for start in range(0, members.count(), PEOPLE_AT_ONCE):
        some = list(members[start : start + PEOPLE_AT_ONCE])
        weeks = weekly(project, n_weeks=n_weeks, user_pks=[member.user_id for member in some])
        for member in some:
            for week in weeks[member.user_id]:
                yield (
                    *(week.name, week.monday.isoformat(), member.user.name, member.user.email, member.role),
                    *(week.submitted, week.accepted, week.returned, week.rejected, week.active_hours),
                    *("" if week.earned is None else week.earned, project.currency),
                )
