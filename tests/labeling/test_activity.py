from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from labeling.actions import activity
from labeling.actions.activity import record_activity
from labeling.models import ActiveTime, Project


@pytest.fixture
def clock(monkeypatch):
    """Set the time to so many seconds after noon of 20 November 2026, UTC."""
    noon = datetime(2026, 11, 20, 12, tzinfo=ZoneInfo("UTC"))

    def at(seconds: float) -> None:
        monkeypatch.setattr(activity.time, "time_ns", lambda: int((noon.timestamp() + seconds) * 1e9))

    at(0)
    return at


@pytest.fixture
def work(clock, bob, project, member_of):
    def at(*seconds: float) -> int:
        for moment in seconds:
            clock(moment)
            record_activity(membership=member_of(bob, project))
        return sum(ActiveTime.objects.values_list("active_ms", flat=True)) // 1000

    return at


def test_the_time_between_two_signs_counts(work) -> None:
    assert work(0) == 0
    assert work(30) == 30
    assert work(60, 75.5) == 75


def test_of_a_long_pause_only_the_projects_longest_counts(work, project) -> None:
    assert work(0, 3600) == 120
    Project.objects.update(idle_minutes=5)
    assert work(3600 + 3600) == 120 + 300


def test_two_tabs_count_once(work) -> None:
    assert work(0, 0, 60, 60, 60.5, 60.5) == 60


def test_a_sign_that_arrives_late_takes_nothing_away(work) -> None:
    assert work(0, 60, 30, 90) == 90


def test_each_person_project_and_day_has_a_row(work, rita, project, member_of, clock) -> None:
    work(0, 60)
    record_activity(membership=member_of(rita, project))
    work(86_400)
    assert ActiveTime.objects.count() == 3
    assert {str(row.day) for row in ActiveTime.objects.filter(user=rita)} == {"2026-11-20"}


def test_the_day_is_the_servers(work, settings) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    work(3 * 3600 + 1)
    assert str(ActiveTime.objects.get().day) == "2026-11-21"


def test_it_is_one_statement_from_the_second_sign_on(
    work, clock, bob, project, member_of, django_assert_num_queries
) -> None:
    work(0)
    membership = member_of(bob, project)
    membership.project.idle_minutes  # noqa: B018 - fetched, as require_member does
    with django_assert_num_queries(1):
        record_activity(membership=membership)
