import uuid

import pytest

from common.models import Transition
from labeling.actions.draft import save_draft
from labeling.actions.errors import (
    AlreadyDecided,
    AlreadyGraded,
    BadCheck,
    CommentNeeded,
    HeldByOther,
    NoReference,
    NotAllowed,
    NotQualified,
    OwnWork,
    Paused,
)
from labeling.actions.example import create_example
from labeling.actions.gold import mark_gold, unmark_gold
from labeling.actions.grading import (
    decide_qualification,
    grade_submission,
    may_retry,
    retry_qualification,
    set_qualification_rules,
    take_to_grade,
)
from labeling.actions.people import invite, join, pause_member, resume_member
from labeling.actions.review import review_submission, take_submission
from labeling.actions.submission import submit, withdraw
from labeling.actions.task import next_task
from labeling.models import Draft, Example, GoldTask, Membership, Project, Submission, Task
from labeling.queries.gold import falling_members, qualification_progress
from labeling.states import Qualification, Role, SubmissionState, TaskState, Verdict
from tests.factories import MembershipFactory, TaskFactory, UserFactory

RULES = {
    "n_qualification": 2,
    "qualification_threshold": 5.0,
    "n_retries": 1,
    "n_graders": 1,
    "gold_percent": 0,
    "pauses_below_threshold": False,
}


def scores(score: int) -> dict[str, int]:
    return {"helpful": score, "truthful": score, "harmless": score, "follows": score}


@pytest.fixture
def gold(project, alice) -> list[GoldTask]:
    return [mark_gold(task=TaskFactory(project=project), reference="One more.", by=alice) for _ in range(4)]


@pytest.fixture
def rules(project, alice, gold):
    """Change the rules of the project; without arguments newcomers do two gold tasks."""

    def change(**some) -> Project:
        set_qualification_rules(project=project, by=alice, **{**RULES, **some})
        return project

    return change


@pytest.fixture
def nora(project, alice, rules) -> Membership:
    """A newcomer who has to qualify."""
    rules()
    _, token = invite(project=project, role=Role.CONTRACTOR, by=alice)
    return join(token=token, user=UserFactory(name="Nora"))


def answer(member: Membership, text: str = "My answer.") -> Submission:
    member.refresh_from_db()
    task = next_task(membership=member)
    turns = [*task.messages, {"role": "assistant", "content": text}]
    return submit(task=task, membership=member, messages=turns, idempotency_key=uuid.uuid4())


def grade(submission: Submission, by, score: int) -> None:
    grade_submission(submission=submission, scores=scores(score), comment="Because.", by=by)


def attempt(member: Membership, by, *marks: int) -> None:
    for mark in marks:
        grade(answer(member), by, mark)
    member.refresh_from_db()


def test_a_gold_task_leaves_the_queue_and_comes_back_unmarked(project, alice, bob, member_of) -> None:
    task = TaskFactory(project=project)
    marked = mark_gold(task=task, reference=" Yes. ", checks=[{"kind": "contains", "value": "yes"}], by=alice)
    task.refresh_from_db()
    assert (task.state, marked.reference) == (TaskState.RETIRED, "Yes.")
    project.is_open_writing = False
    project.save()
    assert next_task(membership=member_of(bob, project)) is None
    unmark_gold(gold=marked, by=alice)
    assert next_task(membership=member_of(bob, project)) == task
    assert list(Transition.objects.of(task).filter(what="gold").values_list("after", flat=True)) == ["Yes.", ""]


def test_what_cannot_be_gold(project, alice, bob, member_of) -> None:
    task = TaskFactory(project=project)
    with pytest.raises(NoReference):
        mark_gold(task=task, reference=" ", by=alice)
    with pytest.raises(BadCheck):
        mark_gold(task=task, reference="No.", checks=[{"kind": "contains", "value": "yes"}], by=alice)
    next_task(membership=member_of(bob, project))
    with pytest.raises(HeldByOther):
        mark_gold(task=task, reference="Yes.", by=alice)
    with pytest.raises(NotAllowed):
        mark_gold(task=TaskFactory(project=project, kind="write", messages=[]), reference="Yes.", by=alice)
    assert not GoldTask.objects.exists()


def test_the_rules_want_enough_gold_tasks(project, alice, rules, gold) -> None:
    with pytest.raises(NotAllowed):
        rules(n_qualification=5)
    rules(n_qualification=4)
    with pytest.raises(NotAllowed):
        unmark_gold(gold=gold[0], by=alice)
    changed = Transition.objects.filter(project_pk=project.pk, what="n_qualification")
    assert list(changed.values_list("before", "after")) == [("0", "4")]


def test_who_joins_has_to_qualify_but_not_those_who_are_there(project, alice, bob, nora, member_of) -> None:
    TaskFactory(project=project)
    assert nora.qualification == Qualification.IN_PROGRESS
    assert member_of(bob, project).qualification == Qualification.NOT_NEEDED
    assert next_task(membership=nora).is_gold_copy
    assert not next_task(membership=member_of(bob, project)).is_gold_copy
    _, token = invite(project=project, role=Role.REVIEWER, by=alice)
    assert join(token=token, user=UserFactory()).qualification == Qualification.NOT_NEEDED


def test_a_newcomer_does_n_tasks_waits_and_goes_on(project, rita, nora) -> None:
    ordinary = TaskFactory(project=project)
    first, second = answer(nora), answer(nora)
    assert (first.is_gold, second.is_gold) == (True, True)
    assert first.task.messages != second.task.messages
    with pytest.raises(NotQualified):
        next_task(membership=nora)
    grade(first, rita, 6)
    with pytest.raises(NotQualified):
        next_task(membership=nora)
    grade(second, rita, 4)
    nora.refresh_from_db()
    assert nora.qualification == Qualification.QUALIFIED
    assert next_task(membership=nora) == ordinary


def test_below_the_threshold_there_is_another_set_and_then_a_pause(project, rita, nora) -> None:
    attempt(nora, rita, 5, 4)
    assert (nora.qualification, nora.is_active, may_retry(nora)) == (Qualification.FAILED, True, True)
    with pytest.raises(NotQualified):
        next_task(membership=nora)
    seen = set(nora.gold_copies.values_list("gold", flat=True))
    retry_qualification(membership=nora)
    progress = qualification_progress(nora)
    assert (progress.attempt, progress.n_handed_in, progress.mean) == (2, 0, None)
    attempt(nora, rita, 5, 4)
    assert not seen & set(nora.gold_copies.filter(attempt=2).values_list("gold", flat=True))
    assert (nora.qualification, nora.is_paused, may_retry(nora)) == (Qualification.FAILED, True, False)
    assert "4.5" in nora.pause_reason
    with pytest.raises(NotAllowed):
        retry_qualification(membership=nora)


def test_a_second_attempt_can_pass(rita, nora) -> None:
    attempt(nora, rita, 1, 2)
    retry_qualification(membership=nora)
    attempt(nora, rita, 5, 5)
    assert (nora.qualification, nora.is_active) == (Qualification.QUALIFIED, True)


def test_an_admin_has_the_last_word(project, alice, rita, nora) -> None:
    with pytest.raises(NotAllowed):
        decide_qualification(membership=nora, qualification=Qualification.IN_PROGRESS, by=alice)
    decide_qualification(membership=nora, qualification=Qualification.QUALIFIED, by=alice, reason="I know her.")
    assert nora.qualification == Qualification.QUALIFIED
    decide_qualification(membership=nora, qualification=Qualification.IN_PROGRESS, by=alice)
    assert nora.qualification_attempt == 2
    words = Transition.objects.of(nora).filter(what="qualification").values_list("before", "after", "reason")
    assert list(words) == [("in_progress", "qualified", "I know her."), ("qualified", "in_progress", "")]


def test_where_it_is_off_nobody_waits(project, rules, nora) -> None:
    rules(n_qualification=0)
    ordinary = TaskFactory(project=project)
    assert next_task(membership=Membership.objects.get(pk=nora.pk)) == ordinary


def test_everybody_has_a_copy_of_their_own(project, alice, nora) -> None:
    _, token = invite(project=project, role=Role.CONTRACTOR, by=alice)
    otto = join(token=token, user=UserFactory(name="Otto"))
    hers, his = next_task(membership=nora), next_task(membership=otto)
    assert hers != his
    assert {hers.leased_by, his.leased_by} == {nora.user, otto.user}
    Task.objects.filter(pk=hers.pk).update(state=TaskState.OPEN, leased_by=None, lease_expires_at=None)
    assert next_task(membership=otto) == his
    assert next_task(membership=nora) == hers


def test_a_skipped_gold_task_comes_last(nora) -> None:
    first = next_task(membership=nora)
    Task.objects.filter(pk=first.pk).update(state=TaskState.OPEN, position=7, leased_by=None, lease_expires_at=None)
    assert answer(nora).task != first
    assert next_task(membership=nora) == first
    assert nora.gold_copies.count() == 2


def test_gold_among_ordinary_work_is_not_seen_twice_and_has_no_mark(project, rules, rita, bob, gold, member_of) -> None:
    TaskFactory(project=project)
    rules(n_qualification=0, gold_percent=100)
    member = member_of(bob, project)
    seen = [answer(member) for _ in gold]
    assert all(each.is_gold for each in seen)
    assert {each.task.messages[0]["content"] for each in seen} == {each.task.messages[0]["content"] for each in gold}
    assert not next_task(membership=member).is_gold_copy
    assert not next_task(membership=Membership.objects.get(user=rita)).is_gold_copy


def test_gold_work_is_graded_never_reviewed_and_never_an_example(project, rita, nora) -> None:
    submission = answer(nora)
    assert take_submission(project=project, reviewer=rita) is None
    assert submission not in Submission.objects.visible_to(Membership.objects.get(user=rita))
    with pytest.raises(NotAllowed):
        review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
    grade(submission, rita, 7)
    submission.refresh_from_db()
    assert submission.state == SubmissionState.GRADED
    with pytest.raises(AlreadyDecided):
        review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
    with pytest.raises(NotAllowed):
        create_example(
            project=project,
            messages=submission.messages,
            origin=submission,
            author=nora.user,
            accepted_by=rita,
            instruction_version=None,
        )
    assert not Example.objects.exists()


def test_two_graders_do_not_hold_one_answer(project, alice, rita, nora) -> None:
    first, second = answer(nora), answer(nora)
    assert take_to_grade(project=project, reviewer=rita) == first
    assert take_to_grade(project=project, reviewer=rita) == first
    assert take_to_grade(project=project, reviewer=alice) == second
    with pytest.raises(HeldByOther):
        grade(first, alice, 5)


def test_two_grades_where_the_project_asks_for_two(project, rules, alice, rita, nora) -> None:
    rules(n_graders=2)
    submission = answer(nora)
    grade(submission, rita, 4)
    with pytest.raises(AlreadyGraded):
        grade(submission, rita, 7)
    assert take_to_grade(project=project, reviewer=rita) is None
    assert take_to_grade(project=project, reviewer=alice) == submission
    grade(submission, alice, 6)
    submission.refresh_from_db()
    assert submission.state == SubmissionState.GRADED
    assert qualification_progress(nora).mean == 5.0


def test_who_may_not_grade_what(project, rules, bob, rita, nora, member_of) -> None:
    submission = answer(nora)
    Membership.objects.filter(pk=nora.pk).update(role=Role.REVIEWER)
    assert take_to_grade(project=project, reviewer=nora.user) is None
    with pytest.raises(OwnWork):
        grade(submission, nora.user, 7)
    with pytest.raises(CommentNeeded):
        grade_submission(submission=submission, scores=scores(4), by=rita)
    withdraw(submission=submission, by=nora.user)
    with pytest.raises(AlreadyGraded):
        grade(submission, rita, 7)


def test_falling_below_the_score_warns_and_by_setting_pauses_once(project, alice, rules, rita, bob, member_of) -> None:
    member = member_of(bob, project)
    rules(gold_percent=100)
    attempt(member, rita, 6, 5)
    assert falling_members(project) == {}
    attempt(member, rita, 4)
    assert falling_members(project) == {member.pk: 4.5}
    assert member.is_active
    rules(gold_percent=100, pauses_below_threshold=True)
    attempt(member, rita, 5)
    assert member.is_active  # was below before: this grade did not take them there


def test_the_grade_that_takes_somebody_below_pauses(project, alice, rules, rita, bob, member_of) -> None:
    rules(gold_percent=100, pauses_below_threshold=True)
    member = member_of(bob, project)
    attempt(member, rita, 6, 5, 3)
    assert member.is_paused
    assert "4.0" in member.pause_reason
    resume_member(membership=member, by=alice)
    attempt(member, rita, 4)
    assert member.is_active


def test_a_pause_needs_a_reason_keeps_drafts_and_stops_work(project, alice, bob, member_of) -> None:
    TaskFactory(project=project)
    member = member_of(bob, project)
    task = next_task(membership=member)
    text = [*task.messages, {"role": "assistant", "content": "Half an answer."}]
    save_draft(task=task, user=bob, messages=text, revision=0)
    with pytest.raises(CommentNeeded):
        pause_member(membership=member, by=alice, reason=" ")
    pause_member(membership=member, by=alice, reason="Holiday.")
    with pytest.raises(NotAllowed):
        pause_member(membership=member, by=alice, reason="Again.")
    assert Draft.objects.get(user=bob).content["messages"] == text
    with pytest.raises(Paused):
        next_task(membership=member)
    with pytest.raises(Paused):
        submit(task=task, membership=member, messages=text, idempotency_key=uuid.uuid4())
    resume_member(membership=member, by=alice, reason="Back.")
    assert next_task(membership=member) == task
    lines = Transition.objects.of(member).values_list("before", "after", "by_name", "reason")
    assert list(lines) == [("active", "paused", "Alice", "Holiday."), ("paused", "active", "Alice", "Back.")]


def test_a_graded_answer_of_a_paused_person_counts_all_the_same(project, alice, rita, nora) -> None:
    first, second = answer(nora), answer(nora)
    pause_member(membership=nora, by=alice, reason="Holiday.")
    grade(first, rita, 5)
    grade(second, rita, 5)
    nora.refresh_from_db()
    assert (nora.qualification, nora.is_paused) == (Qualification.QUALIFIED, True)


def test_what_one_answered_before_is_no_gold_task_for_one(project, alice, rules, bob, member_of) -> None:
    task = TaskFactory(project=project)
    member = member_of(bob, project)
    answer(member)
    mark_gold(task=task, reference="Yes.", by=alice)
    rules(n_qualification=0, gold_percent=100)
    GoldTask.objects.exclude(task=task).update(unmarked_at=task.created_at)
    MembershipFactory(project=project)
    project.is_open_writing = False
    project.save()
    assert next_task(membership=member_of(bob, project)) is None


def test_nobody_hands_in_for_somebody_elses_copy(project, nora, bob, member_of) -> None:
    task = next_task(membership=nora)
    turns = [*task.messages, {"role": "assistant", "content": "Mine."}]
    with pytest.raises(NotAllowed):
        submit(task=task, membership=member_of(bob, project), messages=turns, idempotency_key=uuid.uuid4())
    assert not task.submissions.exists()
