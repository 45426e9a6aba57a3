import threading
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from common.states import IllegalMove
from labeling.actions.draft import begin_revision, discard_draft, save_draft
from labeling.actions.errors import AlreadyHandedIn, BadConversation, NotAllowed, StaleDraft
from labeling.actions.instructions import publish_instructions
from labeling.actions.submission import revise, submit, withdraw
from labeling.actions.task import next_task
from labeling.models import Draft, Membership, Submission, Task
from labeling.states import SubmissionState, TaskKind, TaskState
from tests.factories import MembershipFactory, SubmissionFactory, TaskFactory


@pytest.fixture
def bobs(project, bob, member_of):
    return member_of(bob, project)


@pytest.fixture
def task(project) -> Task:
    return TaskFactory(project=project)


def said(task: Task, *texts: str) -> list[dict[str, str]]:
    roles = ("assistant", "user") if task.messages else ("user", "assistant")
    return [*task.messages, *({"role": roles[n % 2], "content": text} for n, text in enumerate(texts))]


def hand_in(task: Task, membership: Membership, *texts: str, key: uuid.UUID | None = None) -> Submission:
    messages = said(task, *texts)
    return submit(task=task, membership=membership, messages=messages, idempotency_key=key or uuid.uuid4())


def test_handing_in_completes_the_task_and_uses_the_draft_up(project, bobs, bob, task) -> None:
    next_task(membership=bobs)
    save_draft(task=task, user=bob, messages=said(task, "Tw"), revision=0)
    submission = hand_in(task, bobs, "  Two. ")
    task.refresh_from_db()
    assert (task.state, task.leased_by) == (TaskState.DONE, None)
    assert submission.messages == said(task, "Two.")
    assert (submission.author, submission.revision, submission.state) == (bob, 1, SubmissionState.SUBMITTED)
    assert not Draft.objects.exists()


def test_a_double_click_gives_one_row(bobs, task) -> None:
    key = uuid.uuid4()
    assert hand_in(task, bobs, "Two.", key=key) == hand_in(task, bobs, "Two.", key=key)
    assert Submission.objects.count() == 1


def test_a_key_never_swallows_another_text_or_another_persons_work(project, bobs, task) -> None:
    key = uuid.uuid4()
    hand_in(task, bobs, "Two.", key=key)
    with pytest.raises(AlreadyHandedIn):
        hand_in(task, bobs, "Two, but longer.", key=key)
    with pytest.raises(AlreadyHandedIn):
        hand_in(task, MembershipFactory(project=project), "Two.", key=key)


def test_a_second_tab_is_told_that_the_first_handed_in(bobs, task) -> None:
    hand_in(task, bobs, "Two.")
    with pytest.raises(AlreadyHandedIn):
        hand_in(task, bobs, "Another two.")


def test_a_late_text_is_kept_as_one_more_candidate(project, bobs, bob, task) -> None:
    held = next_task(membership=bobs)
    Task.objects.filter(pk=held.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    other = MembershipFactory(project=project)
    next_task(membership=other)
    late = hand_in(held, bobs, "Late, but here.")
    task.refresh_from_db()
    assert (late.state, task.state, task.leased_by) == (SubmissionState.SUBMITTED, TaskState.LEASED, other.user)
    hand_in(task, other, "In time.")
    task.refresh_from_db()
    assert task.state == TaskState.DONE
    assert Submission.objects.waiting().count() == 2


def test_a_lapsed_lease_that_nobody_took_completes_the_task(bobs, task) -> None:
    next_task(membership=bobs)
    Task.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    hand_in(task, bobs, "Late.")
    task.refresh_from_db()
    assert task.state == TaskState.DONE


def test_a_free_task_is_completed_too(bobs, task) -> None:
    hand_in(task, bobs, "Two.")
    task.refresh_from_db()
    assert task.state == TaskState.DONE


def test_the_submission_is_pinned_to_the_version_its_draft_was_begun_under(project, alice, bobs, bob, task) -> None:
    first = publish_instructions(project=project, text="One.", by=alice, based_on=0)
    save_draft(task=task, user=bob, messages=said(task, "T"), revision=0)
    second = publish_instructions(project=project, text="Two.", by=alice, based_on=1, change_note="x")
    assert hand_in(task, bobs, "Two.").instruction_version == first
    assert hand_in(TaskFactory(project=project), bobs, "Two.").instruction_version == second


@pytest.mark.parametrize(
    ("texts", "code"),
    [([], "last_turn"), ([""], "empty_turn"), (["Yes.", "And?"], "last_turn"), ([" \n"], "empty_turn")],
)
def test_unfinished_turns_are_refused_and_nothing_is_lost(bobs, bob, task, texts, code) -> None:
    save_draft(task=task, user=bob, messages=said(task, *texts), revision=0)
    with pytest.raises(BadConversation) as error:
        hand_in(task, bobs, *texts)
    assert error.value.code == code
    assert Draft.objects.get().content["messages"] == said(task, *texts)
    assert not Submission.objects.exists()


def test_the_prompt_of_a_task_cannot_be_changed(bobs, task) -> None:
    messages = [{"role": "user", "content": "Another?"}, {"role": "assistant", "content": "Yes."}]
    with pytest.raises(BadConversation) as error:
        submit(task=task, membership=bobs, messages=messages, idempotency_key=uuid.uuid4())
    assert error.value.code == "other_prompt"


def test_further_turns_and_a_system_message_are_welcome(project, bobs, task) -> None:
    assert len(hand_in(task, bobs, "Two.", "And three?", "Four.").messages) == 4
    own = next_task(membership=bobs)
    assert own.kind == TaskKind.WRITE
    messages = [{"role": "system", "content": "Be brief."}, *said(own, "Hi", "Hello.")]
    assert submit(task=own, membership=bobs, messages=messages, idempotency_key=uuid.uuid4()).messages == messages


def test_what_was_sent_back_is_revised(project, alice, bobs, bob, task) -> None:
    first = hand_in(task, bobs, "Two.")
    Submission.objects.filter(pk=first.pk).update(state=SubmissionState.RETURNED)
    first.refresh_from_db()
    version = publish_instructions(project=project, text="One.", by=alice, based_on=0)
    draft = begin_revision(submission=first, by=bob)
    assert (draft.content["messages"], draft.instruction_version) == (first.messages, version)
    key = uuid.uuid4()
    second = hand_in(task, bobs, "Two, of course.", key=key)
    assert hand_in(task, bobs, "Two, of course.", key=key) == second
    first.refresh_from_db()
    assert (first.state, second.previous, second.revision) == (SubmissionState.REVISED, first, 2)
    assert second.instruction_version == version
    assert not Draft.objects.exists()
    with pytest.raises(IllegalMove):
        revise(submission=first, messages=said(task, "Third."), by=bob, idempotency_key=uuid.uuid4())


def test_only_the_author_revises_and_withdraws(rita, bobs, task) -> None:
    submission = hand_in(task, bobs, "Two.")
    with pytest.raises(NotAllowed):
        withdraw(submission=submission, by=rita)
    Submission.objects.update(state=SubmissionState.RETURNED)
    submission.refresh_from_db()
    with pytest.raises(NotAllowed):
        begin_revision(submission=submission, by=rita)
    with pytest.raises(NotAllowed):
        revise(submission=submission, messages=said(task, "Mine."), by=rita, idempotency_key=uuid.uuid4())


def test_what_was_accepted_is_not_withdrawn(bob) -> None:
    submission = SubmissionFactory(author=bob, state=SubmissionState.ACCEPTED)
    with pytest.raises(IllegalMove):
        withdraw(submission=submission, by=bob)


def test_a_draft_grows_by_revisions_and_a_stale_save_loses_neither_text(bob, task) -> None:
    draft = save_draft(task=task, user=bob, messages=said(task, "T"), revision=0)
    draft = save_draft(task=task, user=bob, messages=said(task, "Tw"), revision=draft.revision)
    assert draft.revision == 2
    with pytest.raises(StaleDraft) as error:
        save_draft(task=task, user=bob, messages=said(task, "Something else"), revision=1)
    assert error.value.draft.content["messages"] == said(task, "Tw")
    again = save_draft(task=task, user=bob, messages=said(task, "Tw"), revision=1)
    assert again.revision == 2, "an answer that was lost on its way is no conflict"


def test_a_draft_renews_the_lease(bobs, bob, task) -> None:
    held = next_task(membership=bobs)
    Task.objects.update(lease_expires_at=timezone.now() + timedelta(minutes=1))
    held.refresh_from_db()
    save_draft(task=held, user=bob, messages=said(task, "T"), revision=0)
    held.refresh_from_db()
    assert held.lease_expires_at > timezone.now() + timedelta(minutes=59)


def test_a_save_that_arrives_after_the_submission_makes_no_ghost(bobs, bob, task) -> None:
    draft = save_draft(task=task, user=bob, messages=said(task, "Two."), revision=0)
    hand_in(task, bobs, "Two.")
    with pytest.raises(AlreadyHandedIn):
        save_draft(task=task, user=bob, messages=said(task, "Two."), revision=draft.revision)
    assert not Draft.objects.exists()


def test_a_draft_is_discarded(bob, task) -> None:
    discard_draft(draft=save_draft(task=task, user=bob, messages=said(task, "Two."), revision=0))
    assert not Draft.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_clicks_at_the_same_moment_give_one_row() -> None:
    membership = MembershipFactory()
    task = TaskFactory(project=membership.project)
    key, start, got, errors = uuid.uuid4(), threading.Barrier(3), [], []

    def click() -> None:
        try:
            start.wait()
            got.append(hand_in(task, membership, "Two.", key=key).pk)
        except Exception as error:  # noqa: BLE001 - carried to the test's own thread
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=click) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(got) == 3
    assert Submission.objects.get().pk == got[0] == got[1] == got[2]
