"""The people of a project: filters, sorting, and the weeks as a file."""

import csv
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from labeling.actions.people import pause_member, remove_member
from labeling.models import ActiveTime, Membership, Rate, Review, Submission
from labeling.queries import people as figures
from labeling.queries.people import day_begins, monday_of, people_weeks, today
from labeling.states import RateUnit, Role, SubmissionState, Verdict
from tests.factories import MembershipFactory, ReviewFactory, SubmissionFactory, UserFactory
from tests.streams import download

PEOPLE = "/p/kitchen/people/"
WEEKS = "/p/kitchen/people/weeks.csv"


def names(client, **query) -> list[str]:
    return [person.membership.user.name for person in client.get(PEOPLE, query).context["page"]]


@pytest.fixture
def team(project, alice, bob, rita, member_of):
    """Nora is paused, Otto removed."""
    for name in ("Nora", "Otto"):
        MembershipFactory(project=project, user=UserFactory(name=name))
    by_name = {row.user.name: row for row in project.memberships.select_related("user", "project")}
    pause_member(membership=by_name["Nora"], by=alice, reason="Holiday.")
    remove_member(membership=by_name["Otto"], by=alice)
    return by_name


def test_filters_narrow_one_by_one_and_together(sign_in, alice, team) -> None:
    client = sign_in(alice)
    assert names(client) == ["Alice", "Bob", "Nora", "Rita"]
    assert names(client, state="paused") == ["Nora"]
    assert names(client, state="removed") == ["Otto"]
    assert names(client, state="all", role="contractor") == ["Bob", "Nora", "Otto"]
    assert names(client, role="admin") == ["Alice"]
    assert names(client, q="OB example") == ["Bob"]
    assert names(client, q="bob", role="admin") == []
    assert names(client, state="nonsense", role="nonsense", sort="nonsense") == ["Alice", "Bob", "Nora", "Rita"]
    assert "Nobody fits" in client.get(PEOPLE, {"q": "nobody"}).text


def test_columns_sort_both_ways(sign_in, alice, bob, rita, project) -> None:
    for author, verdicts in ((bob, "aar"), (rita, "ar")):
        for letter in verdicts:
            kind = Verdict.ACCEPT if letter == "a" else Verdict.REJECT
            row = SubmissionFactory(project=project, author=author, state=SubmissionState.ACCEPTED)
            ReviewFactory(submission=row, reviewer=alice, verdict=kind)
    SubmissionFactory(project=project, author=rita)
    ActiveTime.objects.create(project=project, user=rita, day=today(), active_ms=60_000, last_ms=1)
    client = sign_in(alice)
    assert names(client, sort="-name") == ["Rita", "Bob", "Alice"]
    assert names(client, sort="role") == ["Bob", "Rita", "Alice"]
    assert names(client, sort="weekly")[:2] == ["Bob", "Rita"]  # figures begin with the highest
    assert names(client, sort="-weekly") == ["Alice", "Rita", "Bob"]
    assert names(client, sort="acceptance") == ["Bob", "Rita", "Alice"]
    assert names(client, sort="desk")[0] == "Rita"
    assert names(client, sort="active")[0] == "Rita"
    page = client.get(PEOPLE, {"sort": "weekly", "role": ""}).text
    assert 'aria-sort="descending"' in page
    assert "sort=-weekly" in page


def test_htmx_gets_the_table_alone(sign_in, alice) -> None:
    response = sign_in(alice).get(PEOPLE, headers={"HX-Request": "true"})
    assert response.text.startswith('<div class="stack" id="people">')


def test_rows_with_figures_cost_no_more_queries(sign_in, alice, bob, rita, project) -> None:
    def work(author) -> None:
        ReviewFactory(submission=SubmissionFactory(project=project, author=author), reviewer=alice)
        ActiveTime.objects.create(project=project, user=author, day=today(), active_ms=1, last_ms=1)
        member = Membership.objects.get(user=author, project=project)
        Rate.objects.create(membership=member, amount=1, unit=RateUnit.PIECE, valid_from=today())

    client = sign_in(alice)
    work(bob)
    with CaptureQueriesContext(connection) as one:
        client.get(PEOPLE)
    work(rita)
    work(alice)
    with CaptureQueriesContext(connection) as three:
        client.get(PEOPLE)
    assert len(one) == len(three)


def weeks(user, url: str = WEEKS) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(download(user, url))))


def accepted(project, author, reviewer, moment) -> None:
    review = ReviewFactory(submission=SubmissionFactory(project=project, author=author), reviewer=reviewer)
    Review.objects.filter(pk=review.pk).update(created_at=moment)
    Submission.objects.filter(pk=review.submission_id).update(submitted_at=moment)


def test_the_weeks_over_a_change_of_rate_and_the_end_of_a_week(project, bob, rita, member_of, settings) -> None:
    """Worked out by hand: 2 × 0.50 up to Wednesday, 3 × 0.80 from Thursday, the last a second before Monday; then 0.80."""
    settings.TIME_ZONE = "Asia/Shanghai"
    this = monday_of(today())
    last = this - timedelta(weeks=1)
    member = member_of(bob, project)
    Rate.objects.create(membership=member, amount=Decimal("0.50"), unit=RateUnit.PIECE, valid_from=last)
    thursday = last + timedelta(days=3)
    Rate.objects.create(membership=member, amount=Decimal("0.80"), unit=RateUnit.PIECE, valid_from=thursday)
    second = timedelta(seconds=1)
    for moment in (
        day_begins(last),
        day_begins(thursday) - second,
        day_begins(thursday),
        day_begins(thursday + timedelta(days=1)),
        day_begins(this) - second,
        day_begins(this),
        day_begins(last) - second,  # the week before, which had no rate
    ):
        accepted(project, bob, rita, moment)
    lines = list(people_weeks(project, project.memberships.filter(pk=member.pk), n_weeks=3))
    found = [dict(zip(figures.WEEK_COLUMNS, line, strict=True)) for line in lines]
    assert [(line["monday"], line["accepted"], line["earned"]) for line in found] == [
        ((last - timedelta(weeks=1)).isoformat(), 1, ""),
        (last.isoformat(), 5, Decimal("3.40")),
        (this.isoformat(), 1, Decimal("0.80")),
    ]
    assert {line["submitted"] for line in found} == {1, 5}


@pytest.mark.django_db(transaction=True)
def test_the_file_is_safe_to_open_in_a_spreadsheet(alice, bob, rita, project) -> None:
    bob.name = '=HYPERLINK("http://bad.example/")'
    bob.save(update_fields=["name"])
    accepted(project, bob, rita, day_begins(today()))
    lines = weeks(alice, f"{WEEKS}?weeks=1")
    assert [line["name"] for line in lines] == ['\'=HYPERLINK("http://bad.example/")', "Alice", "Rita"]
    assert [(line["role"], line["accepted"], line["earned"]) for line in lines] == [
        ("contractor", "1", ""),
        ("admin", "0", ""),
        ("reviewer", "0", ""),
    ]
    assert len(weeks(alice)) == 3 * 8
    assert len(weeks(alice, f"{WEEKS}?weeks=nonsense")) == 3 * 8
    assert len(weeks(alice, f"{WEEKS}?weeks=0")) == 3


def test_only_admins_get_the_file(sign_in, alice, bob, charlie) -> None:
    assert sign_in(bob).get(WEEKS).status_code == 403
    assert sign_in(charlie).get(WEEKS).status_code == 404
    assert sign_in(alice).post(WEEKS).status_code == 405


def test_people_are_read_some_at_a_time(project, alice, bob, rita, monkeypatch) -> None:
    everybody = project.memberships.order_by("pk")
    whole = list(people_weeks(project, everybody, n_weeks=2))
    monkeypatch.setattr(figures, "PEOPLE_AT_ONCE", 2)
    assert list(people_weeks(project, everybody, n_weeks=2)) == whole
    assert len(whole) == 6
    assert {line[4] for line in whole} == set(Role.values)
