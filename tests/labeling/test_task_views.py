import re
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from labeling.actions.draft import save_draft
from labeling.actions.task import next_task
from labeling.models import Draft, Review, Submission, Task
from labeling.states import SubmissionState, TaskKind, TaskState, Verdict
from tests.factories import MembershipFactory, SubmissionFactory, TaskFactory

NEXT, TASKS, ADD = "/p/kitchen/write/", "/p/kitchen/tasks/", "/p/kitchen/tasks/add/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def task(project) -> Task:
    return TaskFactory(project=project, messages=[{"role": "user", "content": "How long do I boil an egg?"}])


@pytest.fixture
def at_work(sign_in, bob, task):
    """Bob's client, with the task in his hands."""
    client = sign_in(bob)
    client.get(NEXT)
    return client


def of(task: Task, end: str = "") -> str:
    return f"{NEXT}{task.pk}/{end}"


def typed(*turns: str, **more: object) -> dict[str, object]:
    return {"turn": list(turns), "idempotency_key": uuid.uuid4(), **more}


def test_write_hands_out_a_task_and_reloading_keeps_it(at_work, task, bob) -> None:
    task.refresh_from_db()
    assert (task.state, task.leased_by) == (TaskState.LEASED, bob)
    assert at_work.get(NEXT).headers["Content-Location"] == of(task)
    page = at_work.get(of(task)).text
    assert "How long do I boil an egg?" in page
    assert "Yours for another" in page
    assert page.count('<textarea id="turn-') == 1


def test_an_empty_queue_explains_itself(sign_in, bob, project) -> None:
    project.is_open_writing = False
    project.save()
    assert "No work at the moment" in sign_in(bob).get(NEXT).text


def test_a_writing_task_asks_for_prompt_response_and_system_message(sign_in, bob, project) -> None:
    page = sign_in(bob).get(NEXT, follow=True).text
    assert page.count('<textarea id="turn-') == 2
    assert 'name="system"' in page
    writing = Task.objects.get()
    data = typed("What is a roux?", "Flour cooked in fat.", system="You are a cook.")
    sign_in(bob).post(of(writing, "submit/"), data)
    assert [turn["role"] for turn in Submission.objects.get().messages] == ["system", "user", "assistant"]


def test_handing_in_leads_to_the_next_task(at_work, task, project) -> None:
    second = TaskFactory(project=project)
    response = at_work.post(of(task, "submit/"), typed("Six minutes."))
    assert response.headers["Location"] == NEXT
    assert at_work.get(NEXT).headers["Content-Location"] == of(second)
    submission = Submission.objects.get()
    assert submission.messages == [*task.messages, {"role": "assistant", "content": "Six minutes."}]
    assert at_work.get(of(task)).headers["Location"] == NEXT, "what is handed in is not on the desk any more"


def test_a_double_click_hands_in_once(at_work, task) -> None:
    data = typed("Six minutes.")
    for _ in range(2):
        assert at_work.post(of(task, "submit/"), data).status_code == 302
    assert Submission.objects.count() == 1


def test_an_unfinished_text_comes_back_as_the_form_piece_with_the_words_in_it(at_work, task) -> None:
    data = typed("Six minutes.", "And hard?", "")
    response = at_work.post(of(task, "submit/"), data, headers=HTMX)
    assert response.status_code == 422
    assert "<html" not in response.text
    assert "Six minutes." in response.text
    assert "A turn of the conversation is empty" in response.text
    assert str(data["idempotency_key"]) in response.text
    assert not Submission.objects.exists()
    assert Draft.objects.get().content["messages"][-2]["content"] == "And hard?", "what is refused is kept all the same"


def test_a_last_exchange_left_empty_is_left_away(at_work, task) -> None:
    at_work.post(of(task, "submit/"), typed("Six minutes.", "", " "))
    assert len(Submission.objects.get().messages) == 2


def test_a_text_that_is_too_long_is_refused_and_kept(at_work, task) -> None:
    response = at_work.post(of(task, "submit/"), typed("x" * 100_001))
    assert response.status_code == 422
    assert "100,000" in response.text
    assert "x" * 100_001 in response.text


def test_a_draft_is_saved_and_comes_back(at_work, task, bob) -> None:
    response = at_work.post(of(task, "draft/"), typed("Six min", revision=0), headers=HTMX)
    assert (response.status_code, "<html" in response.text) == (200, False)
    assert 'name="revision" value="1"' in response.text
    assert "Six min</textarea>" in at_work.get(of(task)).text
    assert Draft.objects.get().user == bob


def test_without_javascript_save_answers_with_the_page(at_work, task) -> None:
    response = at_work.post(of(task, "draft/"), typed("Six min", revision=0, action="save"))
    assert "<html" in response.text
    assert "Six min</textarea>" in response.text
    assert ">Saved<" in response.text


def test_without_javascript_an_exchange_is_added_and_removed(at_work, task) -> None:
    page = at_work.post(of(task, "draft/"), typed("Six.", revision=0, action="add")).text
    assert page.count('<textarea id="turn-') == 3
    page = at_work.post(of(task, "draft/"), typed("Six.", "", "", revision=1, action="remove:2")).text
    assert page.count('<textarea id="turn-') == 1
    page = at_work.post(of(task, "draft/"), typed("Six.", revision=2, action="remove:1")).text
    assert "Six.</textarea>" in page


def test_a_stale_save_shows_both_texts_and_loses_neither(at_work, task, bob) -> None:
    save_draft(task=task, user=bob, messages=[*task.messages, {"role": "assistant", "content": "Other."}], revision=0)
    response = at_work.post(of(task, "draft/"), typed("Mine.", revision=0), headers=HTMX)
    assert response.status_code == 409
    assert "Other." in response.text
    assert 'name="revision" value="0"' in response.text, "the next autosave must not overwrite it either"
    page = at_work.post(of(task, "draft/"), typed("Mine.", revision=0))
    assert page.status_code == 409
    assert "Mine.</textarea>" in page.text
    assert "Other." in page.text
    assert Draft.objects.get().content["messages"][-1]["content"] == "Other."
    assert at_work.post(of(task, "draft/"), typed("Mine.", revision=1)).status_code == 200
    assert Draft.objects.get().content["messages"][-1]["content"] == "Mine."


def test_a_save_behind_the_submission_is_told_so(at_work, task) -> None:
    at_work.post(of(task, "submit/"), typed("Six minutes."))
    response = at_work.post(of(task, "draft/"), typed("Six minutes.", revision=3), headers=HTMX)
    assert response.status_code == 409
    assert "handed in" in response.text
    assert not Draft.objects.exists()


def test_the_text_is_shown_as_it_was_typed(at_work, task) -> None:
    text = "\n  indented <b> & <|im_end|>\n\nend  "
    at_work.post(of(task, "draft/"), typed(text, revision=0))
    shown = re.search(r'<textarea id="turn-1"[^>]*>\n(.*?)</textarea>', at_work.get(of(task)).text, re.S).group(1)
    assert shown == "\n  indented &lt;b&gt; &amp; &lt;|im_end|&gt;\n\nend  "


def test_a_heartbeat_renews_the_lease(at_work, task) -> None:
    Task.objects.update(lease_expires_at=timezone.now() + timedelta(minutes=1))
    response = at_work.post(of(task, "lease/"), headers=HTMX)
    assert "Yours for another" in response.text
    task.refresh_from_db()
    assert task.lease_expires_at > timezone.now() + timedelta(minutes=59)


def test_a_lost_lease_is_said_and_handing_in_still_works(at_work, task, project) -> None:
    Task.objects.update(lease_expires_at=timezone.now() - timedelta(minutes=1))
    next_task(membership=MembershipFactory(project=project))
    response = at_work.post(of(task, "lease/"), headers=HTMX)
    assert response.status_code == 409
    assert "Somebody else has this task now" in response.text
    at_work.post(of(task, "submit/"), typed("Late."))
    assert Submission.objects.get().messages[-1]["content"] == "Late."


def test_skipping_keeps_the_words_and_gives_another_task(at_work, task, project) -> None:
    second = TaskFactory(project=project)
    response = at_work.post(of(task, "release/"), typed("Half", revision=0, action="skip"))
    assert response.headers["Location"] == of(task, "skip/")
    assert at_work.post(of(task, "skip/"), {"reason": "unclear"}).headers["Location"] == NEXT
    assert Draft.objects.get(task=task).content["messages"][-1]["content"] == "Half"
    assert at_work.get(NEXT).headers["Content-Location"] == of(second)


def test_stopping_gives_the_task_back_and_goes_home(at_work, task) -> None:
    response = at_work.post(of(task, "release/"), typed("", action="stop"))
    assert response.headers["Location"] == "/p/kitchen/"
    task.refresh_from_db()
    assert task.state == TaskState.OPEN
    assert not Draft.objects.exists()


def test_a_draft_is_taken_up_again_or_discarded(at_work, task) -> None:
    at_work.post(of(task, "release/"), typed("Half", revision=0, action="stop"))
    assert at_work.post(of(task, "resume/")).headers["Location"] == of(task)
    task.refresh_from_db()
    assert task.state == TaskState.LEASED
    at_work.post(of(task, "draft/discard/"))
    assert not Draft.objects.exists()
    assert at_work.post(of(task, "draft/discard/")).status_code == 404


def test_other_peoples_desks_are_closed(sign_in, at_work, task, rita) -> None:
    at_work.post(of(task, "draft/"), typed("Bob's words", revision=0))
    client = sign_in(rita)
    assert client.get(of(task)).headers["Location"] == NEXT
    assert client.post(of(task, "draft/discard/")).status_code == 404
    assert client.post(of(task, "resume/")).status_code == 404
    client.post(of(task, "release/"), {"action": "stop"})
    task.refresh_from_db()
    assert task.state == TaskState.LEASED
    assert Draft.objects.count() == 1


def test_strangers_get_404_everywhere(sign_in, charlie, task) -> None:
    client = sign_in(charlie)
    for url in (NEXT, of(task), TASKS, ADD):
        assert client.get(url).status_code == 404
    for end in ("submit/", "draft/", "draft/discard/", "lease/", "release/", "resume/"):
        assert client.post(of(task, end), typed("x")).status_code == 404
    assert not Submission.objects.exists()


def test_tasks_of_another_project_are_out_of_reach(sign_in, bob) -> None:
    elsewhere = TaskFactory()
    assert sign_in(bob).get(of(elsewhere)).status_code == 404
    assert sign_in(bob).post(of(elsewhere, "submit/"), typed("x")).status_code == 404


def test_wrong_methods_are_refused(at_work, task, sign_in, alice) -> None:
    assert at_work.post(NEXT).status_code == 405
    assert at_work.post(of(task)).status_code == 405
    for end in ("submit/", "draft/", "draft/discard/", "lease/", "release/", "resume/"):
        assert at_work.get(of(task, end)).status_code == 405
    client = sign_in(alice)
    assert client.post(TASKS).status_code == 405
    assert client.get(f"{TASKS}{task.pk}/retire/").status_code == 405


def test_the_editor_of_a_revision_shows_the_comment(at_work, task, bob, rita) -> None:
    at_work.post(of(task, "submit/"), typed("Six minutes."))
    submission = Submission.objects.get()
    Review.objects.create(submission=submission, reviewer=rita, verdict=Verdict.SEND_BACK, comment="Soft or hard?")
    Submission.objects.update(state=SubmissionState.RETURNED)
    page = at_work.get(of(task)).text
    assert "Soft or hard?" in page
    assert "Six minutes.</textarea>" in page
    response = at_work.post(of(task, "submit/"), typed("Six minutes, for soft."))
    assert response.headers["Location"] == "/p/kitchen/work/"
    assert Submission.objects.get(revision=2).previous == submission


def test_the_queue_is_listed_and_searched(sign_in, alice, project, task) -> None:
    TaskFactory(project=project, messages=[{"role": "user", "content": "如何煮鸡蛋？"}], state=TaskState.DONE)
    client = sign_in(alice)
    assert client.get(TASKS).text.count("<tr>") == 3
    assert "boil an egg" not in client.get(TASKS, {"state": "done"}).text
    found = client.get(TASKS, {"q": "鸡蛋"}).text
    assert "如何煮鸡蛋" in found
    assert "boil an egg" not in found
    assert "Nothing matches" in client.get(TASKS, {"q": "risotto"}).text


def test_the_queue_asks_the_database_the_same_at_one_and_at_three_rows(sign_in, alice, project, bob) -> None:
    client, held = sign_in(alice), {"state": TaskState.LEASED, "leased_by": bob, "lease_token": uuid.uuid4()}
    held["lease_expires_at"] = timezone.now()
    TaskFactory(project=project, **held)
    with CaptureQueriesContext(connection) as one:
        client.get(TASKS)
    TaskFactory.create_batch(2, project=project, **held)
    with CaptureQueriesContext(connection) as three:
        client.get(TASKS)
    assert len(one) == len(three)


def test_only_admins_see_and_fill_the_queue(sign_in, bob, rita, task) -> None:
    for person in (bob, rita):
        client = sign_in(person)
        assert client.get(TASKS).status_code == 403
        assert client.post(ADD, {"text": "x"}).status_code == 403
        assert client.post(f"{TASKS}{task.pk}/retire/").status_code == 403
    assert Task.objects.get().state == TaskState.OPEN


def test_good_lines_go_in_and_bad_ones_are_listed(sign_in, alice, project) -> None:
    lines = [
        "What is a roux?",
        '{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}',
        "",
        '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}',
        "{broken",
        '{"prompt": "What is a soufflé?"}',
        "What is a roux?",
        '{"prompt": "half a \\ud83d pair"}',
    ]
    response = sign_in(alice).post(ADD, {"text": "\r\n".join(lines)})
    assert Task.objects.filter(kind=TaskKind.ANSWER).count() == 3
    assert [number for number, _reason, _line in response.context["bad_lines"]] == [4, 5, 8]
    assert "What is a roux?" not in response.context["form"]["text"].value()
    assert "1 was there already." in response.text


def test_adding_nothing_useful_is_refused_with_the_form_piece(sign_in, alice) -> None:
    for text in ("", "  \n ", "{broken"):
        response = sign_in(alice).post(ADD, {"text": text}, headers=HTMX)
        assert response.status_code == 422
        assert "<html" not in response.text
    assert "Line 1:" in response.text
    assert not Task.objects.exists()


def test_all_good_lines_lead_back_to_the_queue(sign_in, alice) -> None:
    assert sign_in(alice).post(ADD, {"text": "One?\nTwo?"}).headers["Location"] == TASKS


def test_a_prompt_is_retired_unless_somebody_has_it(sign_in, alice, task, project) -> None:
    held = next_task(membership=MembershipFactory(project=project))
    client = sign_in(alice)
    page = client.post(f"{TASKS}{held.pk}/retire/", follow=True).text
    assert "Somebody else is working on this" in page
    free = TaskFactory(project=project)
    client.post(f"{TASKS}{free.pk}/retire/")
    free.refresh_from_db()
    assert free.state == TaskState.RETIRED
    assert "done or retired already" in client.post(f"{TASKS}{free.pk}/retire/", follow=True).text
    assert client.post(f"{TASKS}{TaskFactory().pk}/retire/").status_code == 404


def test_an_expired_session_sends_htmx_to_the_sign_in_page(client, task) -> None:
    response = client.post(of(task, "draft/"), typed("x"), headers={**HTMX, "HX-Current-URL": "http://testserver/x/"})
    assert response.headers["HX-Redirect"] == "/accounts/login/?next=/x/"


def test_a_submission_elsewhere_does_not_open_the_desk(sign_in, bob, task, project) -> None:
    SubmissionFactory(project=project, task=task, author=bob, state=SubmissionState.ACCEPTED)
    assert sign_in(bob).get(of(task)).headers["Location"] == NEXT
