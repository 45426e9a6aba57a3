"""The answers' pieces, ratings, reports and the log."""

import pytest
from django.urls import reverse

from deployment.models import Completion, Conversation
from deployment.states import CompletionState
from labeling.models import Case, Report
from labeling.states import CaseState

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def answer(project, bob, deployment):
    return make_answer(project, bob)


def make_answer(project, user, question="Who wrote it?", response="Nobody.", **changes) -> Completion:
    conversation = Conversation.objects.create(project=project, user=user, title=question, targets=["assistant"])
    number = Completion.objects.count()
    values = {
        "key": f"chatcmpl-{number}",
        "model_name": "smollm2-135m-instruct",
        "messages": [{"role": "user", "content": question}],
        "response": response,
        "state": CompletionState.DONE,
        "parameters": {"temperature": 0},
    }
    return Completion.objects.create(project=project, user=user, conversation=conversation, **(values | changes))


def url(name: str, answer: Completion) -> str:
    return reverse(f"deployment-answer-{name}", args=["kitchen", answer.key])


def test_a_thumbs_down_opens_a_case_and_the_answer_shows_what_becomes_of_it(answer, bob, sign_in) -> None:
    client = sign_in(bob)
    piece = client.post(url("report", answer), {"reason": "harmful", "comment": "It was Ada."}, **HTMX)
    case = Case.objects.get()
    report = Report.objects.get()
    assert (case.wrong_output, case.model_name, case.severity) == ("Nobody.", "smollm2-135m-instruct", 3)
    assert (report.reporter, report.comment, report.completion_key) == (bob, "It was Ada.", answer.key)
    assert f"Case #{case.pk}" in piece.content.decode()
    answer.refresh_from_db()
    assert (answer.rating, answer.case) == (-1, case)
    Case.objects.update(state=CaseState.FIXED, fixed_in="ft:new")
    assert "Fixed in ft:new" in client.get(url("show", answer)).content.decode()
    Case.objects.update(state=CaseState.NOT_FIXED, tested_in="ft:newer")
    listed = client.get(reverse("deployment-report-list", args=["kitchen"])).content.decode()
    assert "ft:newer still gets it wrong" in listed


def test_two_reports_of_the_same_answer_are_one_case(answer, project, bob, rita, client) -> None:
    same = make_answer(project, rita)
    for person, row in ((bob, answer), (rita, same)):
        client.force_login(person)
        assert client.post(url("report", row), {"reason": "wrong"}).status_code == 302
    assert Case.objects.get().n_reports == 2


def test_a_report_needs_a_reason_and_an_answer(answer, project, bob, sign_in) -> None:
    client = sign_in(bob)
    bad = client.post(url("report", answer), {"reason": "nonsense", "comment": "kept text"}, **HTMX)
    assert bad.status_code == 422
    assert "kept text" in bad.content.decode()
    empty = make_answer(project, bob, response="", state=CompletionState.FAILED)
    assert client.post(url("report", empty), {"reason": "wrong"}).status_code == 422
    assert not Case.objects.exists()


def test_a_thumbs_up_is_kept_and_can_be_taken_back(answer, bob, sign_in) -> None:
    client = sign_in(bob)
    assert "Rated good" in client.post(url("rate", answer), {"rating": "1"}, **HTMX).content.decode()
    answer.refresh_from_db()
    assert answer.rating == 1
    assert client.post(url("rate", answer), {"rating": "0"}).status_code == 302
    answer.refresh_from_db()
    assert answer.rating == 0
    assert client.post(url("rate", answer), {"rating": "-1"}).status_code == 422


def test_the_piece_of_an_answer_stops_polling_when_it_is_written(answer, bob, sign_in) -> None:
    client = sign_in(bob)
    Completion.objects.update(state=CompletionState.STREAMING)
    writing = client.get(url("show", answer))
    assert (writing.status_code, "every 1s" in writing.content.decode()) == (200, True)
    Completion.objects.update(state=CompletionState.DONE)
    done = client.get(url("show", answer))
    assert (done.status_code, "every 1s" in done.content.decode()) == (286, False)


@pytest.mark.parametrize("name", ["show", "rate", "report"])
def test_others_answers_are_not_there(answer, name, rita, charlie, client, project) -> None:
    method = client.get if name == "show" else client.post
    client.force_login(charlie)
    assert method(url(name, answer)).status_code == 404
    foreign = make_answer(project, rita)
    client.force_login(answer.user)
    assert method(url(name, foreign)).status_code == 404
    wrong = client.post if name == "show" else client.get
    assert wrong(url(name, answer)).status_code == 405


def test_what_the_model_wrote_is_text_and_never_markup(project, bob, sign_in, deployment) -> None:
    row = make_answer(project, bob, response="<script>alert(1)</script>")
    page = sign_in(bob).get(reverse("deployment-conversation-show", args=["kitchen", row.conversation_id]))
    assert "&lt;script&gt;alert(1)" in page.content.decode()


def test_the_log_filters_by_model_rating_and_text(answer, project, rita, sign_in) -> None:
    make_answer(project, rita, question="茶怎么泡？", response="用热水。", model_name="ft:tea", rating=1)
    client, address = sign_in(rita), reverse("deployment-completion-list", args=["kitchen"])
    for query, n_rows in (
        ("", 2),
        ("?model=ft:tea", 1),
        ("?rating=1", 1),
        ("?q=nobody", 1),
        ("?q=茶", 1),
        ("?q=热水", 1),
    ):
        assert len(client.get(address + query).context["page"].object_list) == n_rows, query
    assert len(client.get(f"{address}?q=absent").context["page"].object_list) == 0
    assert "<html" not in client.get(address, **HTMX).content.decode()


def test_the_log_asks_as_often_for_three_rows_as_for_one(
    answer, project, rita, sign_in, django_assert_num_queries
) -> None:
    client, address = sign_in(rita), reverse("deployment-completion-list", args=["kitchen"])
    client.get(address)
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as one:
        client.get(address)
    make_answer(project, rita)
    make_answer(project, rita, question="Else?")
    with django_assert_num_queries(len(one)):
        client.get(address)


def test_the_log_is_for_reviewers(answer, rita, bob, charlie, client) -> None:
    addresses = [
        reverse("deployment-completion-list", args=["kitchen"]),
        reverse("deployment-completion-show", args=["kitchen", answer.key]),
    ]
    for address in addresses:
        for person, status in ((rita, 200), (bob, 403), (charlie, 404)):
            client.force_login(person)
            assert client.get(address).status_code == status
    client.force_login(rita)
    page = client.get(addresses[1]).content.decode()
    assert "Who wrote it?" in page
    assert "temperature" in page


def test_a_chat_is_its_owners_alone(answer, bob, rita, charlie, client) -> None:
    address = reverse("deployment-conversation-show", args=["kitchen", answer.conversation_id])
    for person, status in ((bob, 200), (rita, 404), (charlie, 404)):
        client.force_login(person)
        assert client.get(address).status_code == status
    client.force_login(rita)
    new = client.get(reverse("deployment-chat-show", args=["kitchen"])).content.decode()
    assert "What do you want to ask?" in new
    assert "Who wrote it?" not in new
