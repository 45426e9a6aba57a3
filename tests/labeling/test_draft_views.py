"""What happens to a draft while somebody writes: its turns, its preview, its instructions, its lease, the next task's desk."""

import gzip
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from labeling.actions.instructions import publish_instructions
from labeling.actions.task import next_task, release_expired
from labeling.models import Draft, Submission, Task
from labeling.states import SubmissionState, TaskState
from tests.factories import MembershipFactory, SubmissionFactory, TaskFactory

NEXT = "/p/kitchen/write/"
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


def said() -> list[str]:
    return [turn["content"] for turn in Draft.objects.get().content["messages"][1:]]


@pytest.mark.parametrize(
    ("action", "turns"),
    [
        ("down:2", ["A", "U2", "A2", "U1", "A1"]),
        ("up:3", ["A", "U2", "A2", "U1", "A1"]),
        ("remove:2", ["A", "U2", "A2"]),
        ("add", ["A", "U1", "A1", "U2", "A2", "", ""]),
        ("up:2", ["A", "U1", "A1", "U2", "A2"]),  # nothing comes before the answer to the prompt
        ("down:1", ["A", "U1", "A1", "U2", "A2"]),
        ("remove:1", ["A", "U1", "A1", "U2", "A2"]),
        ("down:3", ["A", "U1", "A1", "U2", "A2"]),
        ("up:x", ["A", "U1", "A1", "U2", "A2"]),
    ],
)
def test_exchanges_move_without_javascript(at_work, task, action, turns) -> None:
    at_work.post(of(task, "draft/"), typed("A", "U1", "A1", "U2", "A2", action=action))
    assert said() == turns


def test_the_first_exchange_of_a_writing_task_moves_and_the_only_one_stays(sign_in, bob, project) -> None:
    client = sign_in(bob)
    client.get(NEXT)
    writing = Task.objects.get()
    client.post(of(writing, "draft/"), typed("U1", "A1", "U2", "A2", action="up:2"))
    assert [turn["content"] for turn in Draft.objects.get().content["messages"]] == ["U2", "A2", "U1", "A1"]
    page = client.post(of(writing, "draft/"), typed("U2", "A2", revision=1, action="remove:1")).text
    assert "A2</textarea>" in page


def test_a_turn_is_previewed_as_safe_markdown(at_work, task) -> None:
    data = typed("First", "Second", "**Bold** <script>x</script>", action="preview:3")
    response = at_work.post(of(task, "draft/preview/"), data, headers=HTMX)
    assert "<strong>Bold</strong>" in response.text
    assert "<script>" not in response.text
    assert "<html" not in response.text
    assert not Draft.objects.exists()
    page = at_work.post(of(task, "draft/preview/"), data)
    assert "<html" in page.text
    assert "<strong>Bold</strong>" in page.text
    assert said()[-1] == "**Bold** <script>x</script>"
    empty = at_work.post(of(task, "draft/preview/"), typed(" ", action="preview:9"), headers=HTMX)
    assert "Nothing to show yet" in empty.text


def test_the_hints_of_the_instructions_are_beside_the_count(at_work, task, project) -> None:
    project.instruction_versions.create(number=1, text="Be kind.", min_words=5, max_words=60, language="zh-hans")
    page = at_work.get(of(task)).text
    assert "5 to 60 words wanted" in page
    assert "Language: Simplified Chinese" in page


@pytest.fixture
def at_version_one(project, alice, at_work):
    return publish_instructions(project=project, text="Be kind.", by=alice, based_on=0)


def publish_second(project, alice):
    return publish_instructions(project=project, text="Be brief.", by=alice, based_on=1, change_note="Shorter now")


def test_a_piece_stays_with_the_version_that_its_page_showed(at_work, task, project, alice, at_version_one) -> None:
    assert 'name="instructions" value="1"' in at_work.get(of(task)).text
    publish_second(project, alice)
    answer = at_work.post(of(task, "draft/"), typed("Six", revision=0, instructions=1), headers=HTMX).text
    assert "Version 2 of the instructions is out" in answer
    assert "Shorter now" in answer
    assert Draft.objects.get().instruction_version == at_version_one
    again = at_work.post(of(task, "draft/"), typed("Six m", revision=1, instructions=1, news=2), headers=HTMX).text
    assert "is out" not in again, "the page shows it already"
    assert "is out" in at_work.get(of(task)).text
    at_work.post(of(task, "submit/"), typed("Six minutes.", revision=2, instructions=1))
    assert Submission.objects.get().instruction_version == at_version_one


def test_without_a_draft_the_page_still_says_which_version_was_shown(
    at_work, task, project, alice, at_version_one
) -> None:
    publish_second(project, alice)
    at_work.post(of(task, "submit/"), typed("Six minutes.", instructions=1))
    assert Submission.objects.get().instruction_version == at_version_one


def test_switching_saves_the_text_and_changes_the_pin(at_work, task, project, alice, at_version_one) -> None:
    at_work.post(of(task, "draft/"), typed("Six", revision=0, instructions=1))
    second = publish_second(project, alice)
    response = at_work.post(of(task, "draft/switch/"), typed("Six min", revision=1, instructions=1), headers=HTMX)
    assert "Be brief." in response.text
    assert "Six min</textarea>" in response.text
    assert "is out" not in response.text
    assert Draft.objects.get().instruction_version == second
    again = at_work.post(of(task, "draft/switch/"), typed("Six min", revision=2))
    assert again.status_code == 200, "a second click finds it switched"


def test_switching_does_not_overwrite_a_later_text(at_work, task, project, alice, at_version_one) -> None:
    at_work.post(of(task, "draft/"), typed("Later", revision=0, instructions=1, writer="phone", step=1))
    publish_second(project, alice)
    response = at_work.post(of(task, "draft/switch/"), typed("Mine", revision=0, writer="desk", step=1), headers=HTMX)
    assert (response.status_code, response["HX-Retarget"]) == (409, "#save-state")
    assert said() == ["Later"]
    assert Draft.objects.get().instruction_version == at_version_one


def test_a_page_whose_answer_was_lost_is_known_by_its_name(at_work, task) -> None:
    at_work.post(of(task, "draft/"), typed("Si", revision=0, writer="desk", step=1))
    later = at_work.post(of(task, "draft/"), typed("Six", revision=0, writer="desk", step=2), headers=HTMX)
    assert later.status_code == 200
    early = at_work.post(of(task, "draft/"), typed("Si", revision=0, writer="desk", step=1), headers=HTMX)
    assert early.status_code == 409, "a request that was overtaken does not bring the old text back"
    other = at_work.post(of(task, "draft/"), typed("No", revision=0, writer="phone", step=9), headers=HTMX)
    assert other.status_code == 409
    assert said() == ["Six"]


def test_handing_in_does_not_swallow_a_later_text_from_another_window(at_work, task) -> None:
    at_work.post(of(task, "draft/"), typed("Short.", revision=0, writer="desk", step=1))
    at_work.post(of(task, "draft/"), typed("Much longer.", revision=1, writer="phone", step=1))
    response = at_work.post(of(task, "submit/"), typed("Short.", revision=1, writer="desk", step=2), headers=HTMX)
    assert response.status_code == 409
    assert "Much longer." in response.text
    assert "Short.</textarea>" in response.text
    assert not Submission.objects.exists()
    at_work.post(of(task, "submit/"), typed("Short.", revision=1, overrule=2))
    assert Submission.objects.get().messages[-1]["content"] == "Short."


def test_keep_mine_works_without_javascript(at_work, task) -> None:
    at_work.post(of(task, "draft/"), typed("Theirs.", revision=0))
    assert 'name="overrule" value="1"' in at_work.post(of(task, "draft/"), typed("Mine.", revision=0)).text
    at_work.post(of(task, "draft/"), typed("Mine.", revision=0, overrule=1))
    assert said() == ["Mine."]


def test_handing_in_answers_with_the_next_desk(at_work, task, project) -> None:
    second = TaskFactory(project=project, messages=[{"role": "user", "content": "And an ostrich egg?"}])
    response = at_work.post(of(task, "submit/"), typed("Six minutes."), headers=HTMX)
    assert response["HX-Push-Url"] == of(second)
    assert "<html" not in response.text
    assert "And an ostrich egg?" in response.text
    assert "Handed in." in response.text
    second.refresh_from_db()
    assert second.state == TaskState.LEASED


def test_where_nothing_is_left_handing_in_leads_to_the_page_that_says_so(at_work, task, project) -> None:
    project.is_open_writing = False
    project.save()
    response = at_work.post(of(task, "submit/"), typed("Six minutes."), headers=HTMX)
    assert response["HX-Redirect"] == NEXT


def test_a_page_that_comes_back_asks_only_whether_the_text_arrived(at_work, task, project) -> None:
    second = TaskFactory(project=project)
    data = typed("Six minutes.", then="stay")
    for _ in range(2):
        assert at_work.post(of(task, "submit/"), data, headers=HTMX).status_code == 204
    assert Submission.objects.count() == 1
    second.refresh_from_db()
    assert second.state == TaskState.OPEN


def test_back_to_a_text_that_is_handed_in_says_so(at_work, task) -> None:
    at_work.post(of(task, "submit/"), typed("Six minutes."))
    page = at_work.get(of(task), follow=True).text
    assert "You have handed that text in" in page


def test_a_lease_that_ran_out_is_taken_again_by_writing_on(at_work, task, bob) -> None:
    at_work.post(of(task, "draft/"), typed("Six", revision=0))
    Task.objects.update(lease_expires_at=timezone.now() - timedelta(minutes=1))
    release_expired()
    assert "Yours for another" in at_work.post(of(task, "lease/"), headers=HTMX).text
    task.refresh_from_db()
    assert (task.state, task.leased_by) == (TaskState.LEASED, bob)


def test_only_who_has_begun_takes_a_task_by_its_heartbeat(sign_in, rita, task) -> None:
    assert sign_in(rita).post(of(task, "lease/"), headers=HTMX).status_code == 409
    task.refresh_from_db()
    assert task.state == TaskState.OPEN


def test_a_heartbeat_takes_no_second_task(at_work, task, project, bob, member_of) -> None:
    at_work.post(of(task, "release/"), typed("Six", revision=0, action="stop"))
    second = TaskFactory(project=project)
    Task.objects.filter(pk=task.pk).update(state=TaskState.RETIRED)
    assert next_task(membership=member_of(bob, project)) == second
    Task.objects.filter(pk=task.pk).update(state=TaskState.OPEN)
    response = at_work.post(of(task, "lease/"), headers=HTMX)
    assert response.status_code == 409
    assert "Your draft is kept" in response.text


def test_a_long_prompt_leaves_room_for_the_answer(sign_in, bob, project) -> None:
    TaskFactory(project=project, messages=[{"role": "user", "content": ("word " * 30_000).strip()}])
    client = sign_in(bob)
    page = client.get(NEXT)
    assert client.post(page.headers["Content-Location"] + "submit/", typed("Six minutes.")).status_code == 302
    assert Submission.objects.count() == 1


def test_pages_are_compressed_for_who_can_read_that(at_work, task) -> None:
    plain = at_work.get(of(task))
    packed = at_work.get(of(task), headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed["Content-Encoding"] == "gzip"
    assert b"How long do I boil an egg?" in gzip.decompress(packed.content)
    assert len(packed.content) < len(plain.content) / 2


def test_strangers_and_wrong_methods(sign_in, bob, charlie, task) -> None:
    for end in ("draft/preview/", "draft/switch/"):
        assert sign_in(charlie).post(of(task, end), typed("x")).status_code == 404
        assert sign_in(bob).get(of(task, end)).status_code == 405


def test_a_submission_of_somebody_else_is_no_reason_to_say_handed_in(sign_in, bob, task, project) -> None:
    author = MembershipFactory(project=project).user
    SubmissionFactory(project=project, task=task, author=author, state=SubmissionState.ACCEPTED)
    assert "You have handed that text in" not in sign_in(bob).get(of(task), follow=True).text
