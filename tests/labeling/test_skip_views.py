import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from labeling.actions.task import next_task, skip_task
from labeling.models import Skip, Task
from labeling.states import SkipReason, TaskState
from tests.factories import MembershipFactory, TaskFactory

NEXT, TASKS, LOOK = "/p/kitchen/write/", "/p/kitchen/tasks/", "/p/kitchen/tasks/look/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def project(project):
    project.is_open_writing = False
    project.save()
    return project


@pytest.fixture
def task(project) -> Task:
    return TaskFactory(project=project, messages=[{"role": "user", "content": "How long do I boil an egg?"}])


def set_aside(project, *reasons: str) -> None:
    for reason in reasons:
        membership = MembershipFactory(project=project)
        skip_task(task=next_task(membership=membership), user=membership.user, reason=reason, comment="Oh dear.")


@pytest.fixture
def aside(project, task) -> Task:
    set_aside(project, SkipReason.UNCLEAR, SkipReason.HARMFUL, SkipReason.LANGUAGE)
    task.refresh_from_db()
    return task


def test_skipping_asks_why_and_says_what_is_left(sign_in, bob, task) -> None:
    client = sign_in(bob)
    client.get(NEXT)
    page = client.get(f"{NEXT}{task.pk}/skip/").text
    assert "How long do I boil an egg?" in page
    assert page.count('type="radio"') == 5
    response = client.post(f"{NEXT}{task.pk}/skip/", {}, headers=HTMX)
    assert (response.status_code, "<html" in response.text) == (422, False)
    response = client.post(f"{NEXT}{task.pk}/skip/", {"reason": "other"}, headers=HTMX)
    assert "Say in a few words why" in response.text
    assert not Skip.objects.exists()
    page = client.post(f"{NEXT}{task.pk}/skip/", {"reason": "other", "comment": "My own recipe"}, follow=True).text
    assert "1 that you skipped" in page
    assert client.get(NEXT, {"skipped": 1}).headers["Content-Location"] == f"{NEXT}{task.pk}/"


def test_what_is_not_in_ones_hands_is_not_skipped(sign_in, bob, charlie, task) -> None:
    assert sign_in(bob).post(f"{NEXT}{task.pk}/skip/", {"reason": "unclear"}).headers["Location"] == NEXT
    assert sign_in(charlie).post(f"{NEXT}{task.pk}/skip/", {"reason": "unclear"}).status_code == 404
    assert not Skip.objects.exists()


def test_held_tasks_are_offered_where_several_may_be_held(sign_in, bob, project, task) -> None:
    project.max_held = 2
    project.save()
    second = TaskFactory(project=project)
    client = sign_in(bob)
    client.get(NEXT)
    page = client.get(NEXT).text
    assert "How long do I boil an egg?" in page
    assert "you may hold 1 more" in page
    assert client.get(NEXT, {"another": 1}).headers["Content-Location"] == f"{NEXT}{second.pk}/"
    assert "as many as this project allows" in client.get(NEXT).text


def test_an_admin_sees_the_reasons_and_decides(sign_in, alice, project, aside) -> None:
    client = sign_in(alice)
    page = client.get(LOOK).text
    for words in ("How long do I boil an egg?", "The prompt is unclear", "Harmful or personal content", "Oh dear."):
        assert words in page
    client.post(f"{TASKS}{aside.pk}/look/", {"action": "return"})
    aside.refresh_from_db()
    assert aside.state == TaskState.OPEN
    assert "Nothing needs a look" in client.get(LOOK).text
    assert "before you" in client.post(f"{TASKS}{aside.pk}/look/", {"action": "return"}, follow=True).text
    Task.objects.update(state=TaskState.ASIDE)
    client.post(f"{TASKS}{aside.pk}/look/", {"action": "retire"})
    aside.refresh_from_db()
    assert aside.state == TaskState.RETIRED


def test_an_admin_sees_the_holder_and_takes_the_task_away(sign_in, alice, bob, task) -> None:
    sign_in(bob).get(NEXT)
    client = sign_in(alice)
    assert "Bob, until" in client.get(TASKS).text
    client.post(f"{TASKS}{task.pk}/take-away/")
    task.refresh_from_db()
    assert task.state == TaskState.OPEN
    assert "Nobody holds this task" in client.post(f"{TASKS}{task.pk}/take-away/", follow=True).text


def test_the_list_asks_the_database_the_same_at_one_and_at_three_rows(sign_in, alice, project, aside) -> None:
    client = sign_in(alice)
    with CaptureQueriesContext(connection) as one:
        client.get(LOOK)
    TaskFactory.create_batch(2, project=project, state=TaskState.ASIDE)
    with CaptureQueriesContext(connection) as three:
        client.get(LOOK)
    assert len(one) == len(three)


def test_only_admins_look_and_decide(sign_in, bob, rita, charlie, aside) -> None:
    urls = (f"{TASKS}{aside.pk}/look/", f"{TASKS}{aside.pk}/take-away/")
    for person, status in ((bob, 403), (rita, 403), (charlie, 404)):
        client = sign_in(person)
        assert client.get(LOOK).status_code == status
        assert [client.post(url, {"action": "return"}).status_code for url in urls] == [status] * 2
    assert [sign_in(rita).get(url).status_code for url in urls] == [405] * 2
    aside.refresh_from_db()
    assert aside.state == TaskState.ASIDE
