"""The page of one member and its forms."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from common.models import Transition
from labeling.actions.pay import set_languages
from labeling.actions.people import change_role, pause_member
from labeling.actions.task import next_task
from labeling.models import Membership, Rate
from labeling.queries.people import today
from labeling.states import RateUnit, Role, TaskState
from tests.factories import MembershipFactory, ReviewFactory, SubmissionFactory, TaskFactory

RATE = {"amount": "0.75", "unit": "piece", "valid_from": ""}


@pytest.fixture
def bobs(bob, project, member_of) -> Membership:
    return member_of(bob, project)


@pytest.fixture
def url(bobs):
    return lambda name="member-show": reverse(f"labeling-{name}", args=["kitchen", bobs.pk])


def test_the_page_shows_figures_rates_and_decisions(sign_in, alice, bob, rita, project, bobs, url) -> None:
    ReviewFactory(submission=SubmissionFactory(project=project, author=bob), reviewer=rita)
    SubmissionFactory(project=project, author=bob)
    Rate.objects.create(membership=bobs, amount=Decimal("0.5"), unit=RateUnit.PIECE, valid_from=today())
    change_role(membership=bobs, role=Role.REVIEWER, by=alice)
    response = sign_in(alice).get(url())
    person = response.context["person"]
    assert (person.figures.accepted, person.figures.earned, len(person.weeks)) == (1, Decimal("0.50"), 26)
    assert len(response.context["weeks"]) == 8
    assert response.context["rate_form"].initial == {"amount": "0.5", "unit": "piece", "valid_from": today()}
    assert "Contractor</span> → Reviewer" in response.text


def test_a_rate_is_set(sign_in, alice, bobs, url) -> None:
    client = sign_in(alice)
    response = client.post(url("rate-set"), {**RATE, "valid_from": today().isoformat()})
    assert response.headers["Location"] == url()
    assert bobs.rates.get().amount == Decimal("0.75")
    assert bobs.rates.get().set_by == alice


@pytest.mark.parametrize(
    "wrong", [{"amount": "-1"}, {"amount": "NaN"}, {"unit": "week"}, {"valid_from": "someday"}, {"amount": "1e9"}]
)
def test_a_wrong_rate_is_refused_with_the_form(sign_in, alice, bobs, url, wrong) -> None:
    response = sign_in(alice).post(url("rate-set"), {**RATE, "valid_from": today().isoformat(), **wrong})
    assert response.status_code == 422
    assert next(iter(wrong)) in response.context["rate_form"].errors
    assert not bobs.rates.exists()


def test_a_rate_in_the_past_is_refused_in_words(sign_in, alice, bobs, url) -> None:
    Rate.objects.create(membership=bobs, amount=1, unit=RateUnit.PIECE, valid_from=today() - timedelta(days=9))
    response = sign_in(alice).post(url("rate-set"), {**RATE, "valid_from": (today() - timedelta(days=1)).isoformat()})
    assert response.status_code == 422
    assert "begins today or later" in response.text
    assert bobs.rates.get().amount == 1


def test_languages_are_saved(sign_in, alice, bobs, url) -> None:
    client = sign_in(alice)
    client.post(url("languages-set"), {"languages": "en，zh  pt-BR, en"})
    bobs.refresh_from_db()
    assert bobs.languages == ["en", "zh", "pt-BR"]
    response = client.post(url("languages-set"), {"languages": "en, Klingon"})
    assert response.status_code == 422
    assert "Klingon" in response.text
    assert client.post(url("languages-set"), {"languages": ""}).headers["Location"] == url()
    bobs.refresh_from_db()
    assert bobs.languages == []


def test_a_change_of_role_and_of_access_comes_back_to_the_page(sign_in, alice, bobs, url) -> None:
    client = sign_in(alice)
    assert client.post(url("member-change"), {"role": "reviewer"}).headers["Location"] == url()
    data = {"action": "pause", "reason": "Holiday."}
    assert client.post(url("member-standing"), data).headers["Location"] == url()
    assert client.post(url("member-standing"), {"action": "resume"}).headers["Location"] == url()
    assert [row.after for row in Transition.objects.of(bobs)] == ["reviewer", "paused", "active"]


def test_a_member_is_removed_and_the_work_stays(sign_in, alice, bob, project, bobs, url) -> None:
    work = SubmissionFactory(project=project, author=bob)
    TaskFactory(project=project)
    task = next_task(membership=bobs)
    client = sign_in(alice)
    response = client.post(url("member-remove"), {"reason": "Moved away."})
    assert response.headers["Location"] == "/p/kitchen/people/"
    bobs.refresh_from_db()
    task.refresh_from_db()
    work.refresh_from_db()
    assert (bobs.is_removed, task.state, work.author) == (True, TaskState.OPEN, bob)
    assert Transition.objects.of(bobs).last().reason == "Moved away."
    assert "Remove from the project" not in client.get(url()).text
    assert "removed already" in client.post(url("member-remove"), follow=True).text
    assert sign_in(bob).get("/p/kitchen/").status_code == 404


def test_an_admin_may_leave_when_another_one_stays(sign_in, alice, project, member_of) -> None:
    own = reverse("labeling-member-remove", args=["kitchen", member_of(alice, project).pk])
    client = sign_in(alice)
    assert "at least one active admin" in client.post(own, follow=True).text
    MembershipFactory(project=project, role=Role.ADMIN)
    assert client.post(own).headers["Location"] == reverse("labeling-project-list")


def test_the_page_asks_the_database_the_same_however_much_there_is(sign_in, alice, bob, project, bobs, url) -> None:
    def some(n: int) -> None:
        Rate.objects.create(
            membership=bobs, amount=n, unit=RateUnit.PIECE, valid_from=today() - timedelta(days=n), set_by=alice
        )
        ReviewFactory(submission=SubmissionFactory(project=project, author=bob), reviewer=alice)
        set_languages(membership=bobs, languages=["en", "de", "fr"][:n], by=alice)

    client = sign_in(alice)
    some(1)
    with CaptureQueriesContext(connection) as one:
        client.get(url())
    some(2)
    some(3)
    with CaptureQueriesContext(connection) as three:
        client.get(url())
    assert len(one) == len(three)


FORMS = ["member-change", "rate-set", "languages-set", "member-remove", "member-standing"]


def test_only_admins_of_the_project_see_and_change_a_member(sign_in, rita, charlie, bobs, url) -> None:
    for person, status in ((rita, 403), (charlie, 404)):
        client = sign_in(person)
        assert client.get(url()).status_code == status
        assert {client.post(url(name), RATE | {"role": "admin"}).status_code for name in FORMS} == {status}
    bobs.refresh_from_db()
    assert (bobs.role, bobs.is_active) == (Role.CONTRACTOR, True)


def test_a_member_of_another_project_is_not_there(sign_in, alice, charlie) -> None:
    other = Membership.objects.get(user=charlie)
    client = sign_in(alice)
    assert client.get(reverse("labeling-member-show", args=["kitchen", other.pk])).status_code == 404
    for name in FORMS:
        assert client.post(reverse(f"labeling-{name}", args=["kitchen", other.pk])).status_code == 404


def test_wrong_methods_are_refused(sign_in, alice, url) -> None:
    client = sign_in(alice)
    assert client.post(url()).status_code == 405
    assert {client.get(url(name)).status_code for name in FORMS} == {405}


def test_a_pause_is_said_with_its_reason(sign_in, alice, bobs, url) -> None:
    pause_member(membership=bobs, by=alice, reason="Waits for the contract.")
    page = sign_in(alice).get(url()).text
    assert "Waits for the contract." in page
    assert 'value="resume"' in page
    assert 'value="pause"' not in page
