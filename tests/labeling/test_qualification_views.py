import uuid

import pytest
from django.urls import reverse

from labeling.actions.gold import mark_gold
from labeling.actions.grading import grade_submission, set_qualification_rules
from labeling.actions.people import pause_member
from labeling.actions.submission import submit
from labeling.actions.task import next_task
from labeling.models import Draft, GoldTask, Grade, Membership
from labeling.states import Qualification, Role, TaskState
from tests.factories import MembershipFactory, TaskFactory

GOLD, RULES, GRADE, MINE, RETRY = (
    f"/p/kitchen/{end}/" for end in ("gold", "gold/rules", "grade", "qualification", "qualification/retry")
)
SIX = {"helpful": 6, "truthful": 6, "harmless": 7, "follows": 5}


@pytest.fixture
def gold(project, alice) -> GoldTask:
    task = TaskFactory(project=project, messages=[{"role": "user", "content": "Why do onions burn?"}])
    check = {"kind": "contains", "value": "sugar"}
    return mark_gold(task=task, reference="Their sugar burns.", checks=[check], by=alice)


@pytest.fixture
def bobs(project, alice, bob, gold) -> Membership:
    """Bob's membership: he has to do one gold task."""
    set_qualification_rules(
        project=project,
        by=alice,
        n_qualification=1,
        qualification_threshold=5.0,
        n_retries=1,
        n_graders=1,
        gold_percent=0,
        pauses_below_threshold=False,
    )
    Membership.objects.filter(user=bob).update(qualification=Qualification.IN_PROGRESS, qualification_attempt=1)
    return Membership.objects.select_related("project", "user").get(user=bob)


def hand_in(member: Membership):
    task = next_task(membership=member)
    turns = [*task.messages, {"role": "assistant", "content": "Because of the heat."}]
    return submit(task=task, membership=member, messages=turns, idempotency_key=uuid.uuid4())


def test_an_admin_marks_a_prompt_and_sets_the_rules(sign_in, alice, project) -> None:
    client, task = sign_in(alice), TaskFactory(project=project)
    url = reverse("labeling-gold-edit", args=["kitchen", task.pk])
    assert url in client.get("/p/kitchen/tasks/").text
    assert "Make this a gold task" in client.get(url).text
    empty = client.post(url, {"reference": ""}, headers={"HX-Request": "true"})
    assert empty.status_code == 422
    assert "<html" not in empty.text
    assert "a reference answer, a check, or both" in empty.text
    client.post(url, {"reference": "Yes.", "check_kind": ["contains"], "check_value": ["yes"]})
    assert (task.gold_mark.reference, len(task.gold_mark.checks)) == ("Yes.", 1)
    rules = {"n_qualification": 1, "qualification_threshold": 5.5, "n_retries": 0, "n_graders": 1, "gold_percent": 10}
    assert client.post(RULES, rules).headers["Location"] == GOLD
    project.refresh_from_db()
    assert (project.n_qualification, project.qualification_threshold, project.gold_percent) == (1, 5.5, 10)
    for wrong in ({"n_qualification": 2}, {"qualification_threshold": 8}, {"n_graders": 0}, {"gold_percent": "x"}):
        assert client.post(RULES, rules | wrong).status_code == 422
    unmark = reverse("labeling-gold-unmark", args=["kitchen", task.gold_mark.pk])
    assert "The qualification needs" in client.post(unmark, follow=True).text
    client.post(RULES, rules | {"n_qualification": 0})
    client.post(unmark)
    task.refresh_from_db()
    assert task.state == TaskState.OPEN


def test_an_accepted_answer_is_proposed_as_the_reference(sign_in, alice, project) -> None:
    from tests.factories import ExampleFactory

    example = ExampleFactory(project=project)
    page = sign_in(alice).get(reverse("labeling-gold-edit", args=["kitchen", example.submission.task_id])).text
    assert "One more than before." in page


def test_the_gold_list_asks_the_database_as_often_for_three_as_for_one(
    sign_in, alice, project, gold, django_assert_max_num_queries
) -> None:
    client = sign_in(alice)
    with django_assert_max_num_queries(40) as one:
        client.get(GOLD)
    for _ in range(2):
        mark_gold(task=TaskFactory(project=project), reference="Yes.", by=alice)
    with django_assert_max_num_queries(len(one)):
        assert client.get(GOLD).text.count("Unmark") == 3


def test_a_newcomer_is_led_through(sign_in, bob, rita, bobs) -> None:
    client = sign_in(bob)
    assert "First do 1 task that is graded" in client.get("/p/kitchen/").text
    written = client.get("/p/kitchen/write/", follow=True)
    assert "Why do onions burn?" in written.text
    assert "gold" not in written.text.lower()
    submission = hand_in(bobs)
    assert client.get("/p/kitchen/write/").headers["Location"] == MINE
    assert "Your answers are being graded" in client.get(MINE).text
    low = dict.fromkeys(SIX, 2)
    grade_submission(submission=submission, scores=low, comment="It is the sugar.", by=rita)
    page = client.get(MINE).text
    for piece in ("Not passed this time", "It is the sugar.", "2.0", "Try again"):
        assert piece in page
    assert "Rita" not in page
    assert "Their sugar burns." not in page
    assert client.post(RETRY).headers["Location"] == "/p/kitchen/write/"
    assert client.post(RETRY).headers["Location"] == MINE
    grade_submission(submission=hand_in(Membership.objects.get(pk=bobs.pk)), scores=SIX, by=rita)
    assert "You are qualified." in client.get(MINE).text


def test_grading_is_blind_and_goes_on_to_the_next(sign_in, bob, rita, bobs) -> None:
    submission, client = hand_in(bobs), sign_in(rita)
    assert "answer waits for a grade" in client.get("/p/kitchen/").text
    page = client.get(GRADE, follow=True).text
    for piece in ("Why do onions burn?", "Because of the heat.", "Their sugar burns.", "not passed"):
        assert piece in page
    for name in (bob.name, bob.email):
        assert name not in page
    url = reverse("labeling-grade-show", args=["kitchen", submission.pk])
    for wrong in ({"helpful": 8}, {"truthful": ""}, dict.fromkeys(SIX, 2)):
        assert client.post(url, SIX | wrong).status_code == 422
    assert client.post(url, SIX).headers["Location"] == f"{GRADE}?after={submission.pk}"
    assert Grade.objects.get().mean == 6
    again = client.post(url, SIX)
    assert again.status_code == 409
    assert bob.name not in again.text
    assert "Nothing waits for your grade" in client.get(url, follow=True).text
    assert client.get(reverse("labeling-review-submission", args=["kitchen", submission.pk])).status_code == 404


def test_nobody_opens_their_own_answer_to_grade_it(sign_in, bob, bobs) -> None:
    submission = hand_in(bobs)
    Membership.objects.filter(pk=bobs.pk).update(role=Role.REVIEWER)
    url = reverse("labeling-grade-show", args=["kitchen", submission.pk])
    assert sign_in(bob).get(url).status_code == 404
    assert sign_in(bob).post(url, SIX).status_code == 404
    assert "Nothing waits" in sign_in(bob).get(GRADE).text


def test_a_skipped_answer_is_free_for_others(sign_in, rita, bobs) -> None:
    submission, client = hand_in(bobs), sign_in(rita)
    client.get(GRADE)
    client.post(reverse("labeling-grade-skip", args=["kitchen", submission.pk]))
    submission.refresh_from_db()
    assert submission.leased_by is None


def test_a_paused_person_is_told_why_and_keeps_a_late_text(sign_in, alice, bob, project, member_of) -> None:
    task = TaskFactory(project=project)
    member, client = member_of(bob, project), sign_in(bob)
    next_task(membership=member)
    standing = reverse("labeling-member-standing", args=["kitchen", member.pk])
    assert "Say why" in sign_in(alice).post(standing, {"action": "pause"}, follow=True).text
    sign_in(alice).post(standing, {"action": "pause", "reason": "Until the new guide is out."})
    client = sign_in(bob)
    for url in ("/p/kitchen/", "/p/kitchen/write/", "/p/kitchen/people/"):
        response = client.get(url)
        assert response.status_code == 403
        for piece in ("Until the new guide is out.", "alice@example.org"):
            assert piece in response.text
    assert "Kitchen help" in client.get("/?all").text
    late = {"turn": ["Half an hour of work."], "idempotency_key": str(uuid.uuid4())}
    response = client.post(reverse("labeling-task-submit", args=["kitchen", task.pk]), late)
    assert response.status_code == 422
    assert "Until the new guide is out." in response.text
    assert not task.submissions.exists()
    assert Draft.objects.get(user=bob).content["messages"][-1]["content"] == "Half an hour of work."
    sign_in(alice).post(standing, {"action": "resume"})
    assert sign_in(bob).get("/p/kitchen/").status_code == 200


def test_the_page_of_people_shows_and_changes_standing(sign_in, alice, project, bobs) -> None:
    client, standing = sign_in(alice), reverse("labeling-member-standing", args=["kitchen", bobs.pk])
    assert "qualifying" in client.get("/p/kitchen/people/").text
    assert "counts as qualified" in client.post(standing, {"action": "qualified"}, follow=True).text
    assert "does the qualification" in client.post(standing, {"action": "in_progress"}, follow=True).text
    assert "did not work" in client.post(standing, {"action": "dance"}, follow=True).text
    pause_member(membership=bobs, by=alice, reason="Holiday.")
    assert "Holiday." in client.get("/p/kitchen/people/").text


def test_roles_and_methods(sign_in, alice, bob, rita, charlie, project, gold, member_of) -> None:
    standing = reverse("labeling-member-standing", args=["kitchen", member_of(bob, project).pk])
    edit = reverse("labeling-gold-edit", args=["kitchen", gold.task_id])
    unmark = reverse("labeling-gold-unmark", args=["kitchen", gold.pk])
    for person, status in ((bob, 403), (rita, 403), (charlie, 404)):
        client = sign_in(person)
        assert {client.get(url).status_code for url in (GOLD, edit)} == {status}
        assert {client.post(url).status_code for url in (RULES, edit, unmark, standing)} == {status}
    assert sign_in(bob).get(GRADE).status_code == 403
    assert sign_in(charlie).get(MINE).status_code == 404
    assert sign_in(charlie).post(RETRY).status_code == 404
    client = sign_in(alice)
    assert {client.get(url).status_code for url in (RULES, unmark, standing, RETRY)} == {405}
    other = MembershipFactory()
    assert client.post(reverse("labeling-member-standing", args=["kitchen", other.pk])).status_code == 404
    assert "No qualification is needed" in sign_in(bob).get(MINE).text
