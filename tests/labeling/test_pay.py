from datetime import timedelta
from decimal import Decimal

import pytest

from common.models import Transition
from labeling.actions.errors import NotAllowed
from labeling.actions.pay import set_languages, set_rate
from labeling.models import ActiveTime, Rate, Review, Submission
from labeling.queries.people import day_begins, monday_of, people, today, weekly
from labeling.states import RateUnit, SubmissionState, Verdict
from tests.factories import SubmissionFactory

WEEK = timedelta(weeks=1)


def verdict(project, author, reviewer, kind: Verdict, day) -> None:
    row = SubmissionFactory(project=project, author=author, state=SubmissionState.ACCEPTED)
    noon = day_begins(day) + timedelta(hours=12)
    Submission.objects.filter(pk=row.pk).update(submitted_at=noon)
    review = Review.objects.create(submission=row, reviewer=reviewer, verdict=kind)
    Review.objects.filter(pk=review.pk).update(created_at=noon)


def test_a_week_counts_verdicts_by_their_day(project, bob, rita, alice) -> None:
    monday = monday_of(today())
    for kind in (Verdict.ACCEPT, Verdict.EDIT, Verdict.SEND_BACK, Verdict.REJECT):
        verdict(project, bob, rita, kind, monday - WEEK)
    verdict(project, bob, rita, Verdict.ACCEPT, monday - timedelta(days=1))  # the Sunday of that week
    verdict(project, bob, rita, Verdict.ACCEPT, monday)
    verdict(project, alice, rita, Verdict.ACCEPT, monday)
    verdict(project, bob, rita, Verdict.ACCEPT, monday - 2 * WEEK)  # before the two weeks asked for
    last, this = weekly(project, n_weeks=2, user_pks=[bob.pk])[bob.pk]
    assert (last.submitted, last.accepted, last.returned, last.rejected) == (5, 3, 1, 1)
    assert (this.accepted, this.n_decided, this.acceptance) == (1, 1, 1)
    assert this.earned is None


def test_a_new_rate_leaves_past_weeks_alone(project, bob, rita, alice, member_of) -> None:
    monday = monday_of(today())
    member = member_of(bob, project)
    set_rate(membership=member, amount=Decimal("0.50"), unit=RateUnit.PIECE, by=alice, valid_from=monday - 2 * WEEK)
    verdict(project, bob, rita, Verdict.ACCEPT, monday - WEEK)
    verdict(project, bob, rita, Verdict.EDIT, monday - WEEK)
    set_rate(membership=member, amount=Decimal("3"), unit=RateUnit.PIECE, by=alice)
    verdict(project, bob, rita, Verdict.ACCEPT, today())
    weeks = weekly(project, n_weeks=2, user_pks=[bob.pk])[bob.pk]
    assert [week.earned for week in weeks] == [Decimal("1.00"), Decimal("3.00")]


def test_active_hours_are_paid_by_the_rate_of_their_day(project, bob, alice, member_of) -> None:
    monday = monday_of(today())
    member = member_of(bob, project)
    Rate.objects.create(membership=member, amount=10, unit=RateUnit.HOUR, valid_from=monday - WEEK)
    Rate.objects.create(membership=member, amount=20, unit=RateUnit.HOUR, valid_from=monday - WEEK + timedelta(days=3))
    for days in (2, 3):
        ActiveTime.objects.create(
            project=project, user=bob, day=monday - WEEK + timedelta(days=days), active_ms=5_400_000, last_ms=0
        )
    week, _this = weekly(project, n_weeks=2, user_pks=[bob.pk])[bob.pk]
    assert (week.active_hours, week.earned) == (3.0, Decimal("45.00"))


def test_a_rate_begins_today_or_later_except_for_the_first(project, bob, alice, member_of) -> None:
    member, yesterday = member_of(bob, project), today() - timedelta(days=1)
    set_rate(membership=member, amount=Decimal(1), unit=RateUnit.PIECE, by=alice, valid_from=yesterday)
    with pytest.raises(NotAllowed):
        set_rate(membership=member, amount=Decimal(9), unit=RateUnit.PIECE, by=alice, valid_from=yesterday)
    set_rate(membership=member, amount=Decimal(2), unit=RateUnit.PIECE, by=alice)
    set_rate(membership=member, amount=Decimal(3), unit=RateUnit.HOUR, by=alice)
    set_rate(membership=member, amount=Decimal(8), unit=RateUnit.HOUR, by=alice, valid_from=today() + WEEK)
    assert list(member.rates.values_list("amount", "unit")) == [(1, "piece"), (3, "hour"), (8, "hour")]
    (person,) = people(project, [member], n_weeks=1)
    assert person.rate.amount == 3
    assert [row.what for row in Transition.objects.of(member)] == ["rate"] * 4


def test_languages_are_kept_and_recorded_once(project, bob, alice, member_of) -> None:
    member = member_of(bob, project)
    set_languages(membership=member, languages=["en", "zh"], by=alice)
    set_languages(membership=member, languages=["en", "zh"], by=alice)
    assert member_of(bob, project).languages == ["en", "zh"]
    (row,) = Transition.objects.of(member)
    assert (row.what, row.before, row.after, row.by_name) == ("languages", "", "en, zh", "Alice")
