from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from labeling.actions.draft import save_draft
from labeling.models import ActiveTime, Draft, Project, Rate, Review, Submission
from labeling.queries.people import today
from labeling.states import SubmissionState, Verdict
from tests.factories import InstructionVersionFactory, ReviewFactory, SubmissionFactory, TaskFactory, UserFactory

WORK = "/p/kitchen/work/"


@pytest.fixture
def returned(project, bob, rita) -> Submission:
    row = SubmissionFactory(project=project, author=bob, state=SubmissionState.RETURNED)
    Review.objects.create(submission=row, reviewer=rita, verdict=Verdict.SEND_BACK, comment="Name the pan.")
    return row


def test_what_came_back_is_shown_first_with_its_comment(sign_in, bob, returned, project) -> None:
    SubmissionFactory(project=project, author=bob)
    response = sign_in(bob).get(WORK)
    assert response.context["state"] == "returned"
    assert "Name the pan." in response.text
    assert "Revise" in response.text


def test_only_ones_own_work_is_shown(sign_in, rita, returned, project) -> None:
    SubmissionFactory(project=project, author=UserFactory())
    for state in SubmissionState.values:
        assert len(sign_in(rita).get(WORK, {"state": state}).context["page"].object_list) == 0


def test_an_edited_text_is_shown_as_it_was_accepted(sign_in, bob, rita, project) -> None:
    row = SubmissionFactory(project=project, author=bob, state=SubmissionState.ACCEPTED)
    final = [*row.messages[:-1], {"role": "assistant", "content": "The better words."}]
    Review.objects.create(submission=row, reviewer=rita, verdict=Verdict.EDIT, messages=final)
    page = sign_in(bob).get(WORK, {"state": "accepted"}).text
    assert "edited and accepted" in page
    assert "The better words." in page
    assert row.messages[-1]["content"] in page


def test_a_rejected_text_comes_with_the_reason(sign_in, bob, rita, project) -> None:
    row = SubmissionFactory(project=project, author=bob, state=SubmissionState.REJECTED)
    Review.objects.create(submission=row, reviewer=rita, verdict=Verdict.REJECT, comment="Copied.")
    assert "Copied." in sign_in(bob).get(WORK, {"state": "rejected"}).text


def test_drafts_are_listed(sign_in, bob, project) -> None:
    task = TaskFactory(project=project)
    save_draft(task=task, user=bob, messages=[*task.messages, {"role": "assistant", "content": "Half"}], revision=0)
    page = sign_in(bob).get(WORK, {"state": "draft"}).text
    assert "Half" in page
    assert f"/p/kitchen/write/{task.pk}/resume/" in page


@pytest.mark.parametrize("state", ["draft", "submitted", "returned", "accepted", "rejected", "withdrawn", "nonsense"])
def test_an_empty_tab_says_what_will_be_there(sign_in, bob, state) -> None:
    assert 'class="empty"' in sign_in(bob).get(WORK, {"state": state}).text


def test_revise_opens_the_editor_with_the_text(sign_in, bob, returned) -> None:
    response = sign_in(bob).post(f"{WORK}{returned.pk}/revise/", follow=True)
    assert response.redirect_chain[-1][0] == f"/p/kitchen/write/{returned.task_id}/"
    assert f"{returned.messages[-1]['content']}</textarea>" in response.text
    assert Draft.objects.get().content["messages"] == returned.messages


def test_a_revision_that_is_no_longer_wanted_is_said(sign_in, bob, returned) -> None:
    Submission.objects.update(state=SubmissionState.REVISED)
    response = sign_in(bob).post(f"{WORK}{returned.pk}/revise/", follow=True)
    assert "not waiting for a revision" in response.text


def test_waiting_work_is_withdrawn_and_reviewed_work_is_not(sign_in, bob, project) -> None:
    waiting = SubmissionFactory(project=project, author=bob)
    done = SubmissionFactory(project=project, author=bob, state=SubmissionState.ACCEPTED)
    client = sign_in(bob)
    client.post(f"{WORK}{waiting.pk}/withdraw/")
    waiting.refresh_from_db()
    assert waiting.state == SubmissionState.WITHDRAWN
    assert "reviewed in the meantime" in client.post(f"{WORK}{done.pk}/withdraw/", follow=True).text
    done.refresh_from_db()
    assert done.state == SubmissionState.ACCEPTED


def test_other_peoples_work_is_out_of_reach(sign_in, rita, charlie, returned) -> None:
    for person in (rita, charlie):
        client = sign_in(person)
        assert client.post(f"{WORK}{returned.pk}/revise/").status_code == 404
        assert client.post(f"{WORK}{returned.pk}/withdraw/").status_code == 404
    assert sign_in(charlie).get(WORK).status_code == 404


def test_wrong_methods_are_refused(sign_in, bob, returned) -> None:
    client = sign_in(bob)
    assert client.post(WORK).status_code == 405
    assert client.get(f"{WORK}{returned.pk}/revise/").status_code == 405
    assert client.get(f"{WORK}{returned.pk}/withdraw/").status_code == 405


def test_the_list_asks_the_database_the_same_at_one_and_at_three_rows(sign_in, bob, rita, project) -> None:
    client, version = sign_in(bob), InstructionVersionFactory(project=project)

    def rejected() -> None:
        row = SubmissionFactory(
            project=project, author=bob, state=SubmissionState.REJECTED, instruction_version=version
        )
        Review.objects.create(submission=row, reviewer=rita, verdict=Verdict.REJECT, comment="No.")

    rejected()
    with CaptureQueriesContext(connection) as one:
        client.get(WORK, {"state": "rejected"})
    rejected()
    rejected()
    with CaptureQueriesContext(connection) as three:
        client.get(WORK, {"state": "rejected"})
    assert len(one) == len(three)


def test_my_work_has_the_persons_weeks_and_earnings(sign_in, bob, rita, project, member_of) -> None:
    Rate.objects.create(membership=member_of(bob, project), amount=Decimal("1.25"), unit="piece", valid_from=today())
    Project.objects.update(currency="EUR")
    for author in (bob, bob, rita):
        ReviewFactory(submission=SubmissionFactory(project=project, author=author), reviewer=rita)
    ActiveTime.objects.create(project=project, user=bob, day=today(), active_ms=3_900_000, last_ms=1)
    response = sign_in(bob).get(WORK)
    week = response.context["this_week"]
    assert (week.accepted, week.submitted, week.earned) == (2, 2, Decimal("2.50"))
    assert [line.monday for line in response.context["weeks"]][:1] == [week.monday]
    assert len(response.context["weeks"]) == 8
    assert "2.50\N{NO-BREAK SPACE}EUR" in response.text
    assert "1 h 5 min" in response.text
    assert 'stat__label">earned' in response.text
    assert 'stat__label">earned' not in sign_in(rita).get(WORK).text  # nobody set a rate
