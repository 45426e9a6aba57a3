import threading
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from common.states import IllegalMove, StaleState
from labeling.actions.draft import save_draft
from labeling.actions.errors import HeldByOther, LeaseLost, MustAcknowledge, NotAllowed
from labeling.actions.instructions import acknowledge, publish_instructions
from labeling.actions.review import review_submission
from labeling.actions.submission import submit, withdraw
from labeling.actions.task import (
    _lease,
    add_prompts,
    extend_lease,
    next_task,
    release_expired,
    release_task,
    reopen_task,
    resume_task,
    retire_task,
)
from labeling.models import Membership, Submission, Task
from labeling.states import SubmissionState, TaskKind, TaskState, Verdict
from labeling.tasks import sweep
from tests.factories import MembershipFactory, ProjectFactory, SubmissionFactory, TaskFactory

PAST = timedelta(seconds=-1)


def expire(task: Task) -> None:
    Task.objects.filter(pk=task.pk).update(lease_expires_at=timezone.now() + PAST)


def close_writing(project) -> None:
    project.is_open_writing = False
    project.save()


def answer(task: Task, membership: Membership, text: str = "Two.") -> Submission:
    messages = [*task.messages, {"role": "assistant", "content": text}]
    key = uuid.uuid4()
    return submit(task=task, membership=membership, messages=messages, idempotency_key=key)


@pytest.fixture
def bobs(project, bob, member_of):
    return member_of(bob, project)


def test_the_held_task_comes_again_with_its_lease_renewed(project, bobs) -> None:
    TaskFactory.create_batch(2, project=project)
    first = next_task(membership=bobs)
    Task.objects.filter(pk=first.pk).update(lease_expires_at=timezone.now() + timedelta(minutes=1))
    again = next_task(membership=bobs)
    assert (again.pk, again.lease_token) == (first.pk, first.lease_token)
    assert again.lease_expires_at > timezone.now() + timedelta(minutes=59)


def test_two_people_get_different_tasks_in_order(project, bobs) -> None:
    first, second = TaskFactory(project=project), TaskFactory(project=project)
    other = MembershipFactory(project=project)
    assert [next_task(membership=bobs), next_task(membership=other)] == [first, second]


def test_tasks_of_other_projects_are_never_handed_out(project, bobs) -> None:
    TaskFactory()
    close_writing(project)
    assert next_task(membership=bobs) is None


def test_a_prompt_is_never_answered_twice_by_one_person(project, bobs, bob) -> None:
    task = TaskFactory(project=project)
    SubmissionFactory(project=project, task=task, author=bob, state=SubmissionState.REJECTED)
    close_writing(project)
    assert next_task(membership=bobs) is None
    assert next_task(membership=MembershipFactory(project=project)) == task


def test_without_prompts_one_writes_if_the_project_allows_it(project, bobs) -> None:
    task = next_task(membership=bobs)
    assert (task.kind, task.state, task.leased_by) == (TaskKind.WRITE, TaskState.LEASED, bobs.user)
    release_task(task=task, user=bobs.user)
    assert next_task(membership=MembershipFactory(project=project)) == task, "an empty one is used again"


def test_an_expired_lease_goes_to_the_next_person(project, bobs) -> None:
    task = TaskFactory(project=project)
    held = next_task(membership=bobs)
    expire(held)
    other = MembershipFactory(project=project)
    taken = next_task(membership=other)
    assert (taken.pk, taken.leased_by) == (task.pk, other.user)
    assert taken.lease_token != held.lease_token
    with pytest.raises(LeaseLost):
        extend_lease(task=held, user=bobs.user, token=held.lease_token)
    with pytest.raises(LeaseLost):
        release_task(task=held, user=bobs.user)


def test_a_lease_that_ran_out_is_renewed_while_nobody_took_it(project, bobs) -> None:
    TaskFactory(project=project)
    held = next_task(membership=bobs)
    expire(held)
    renewed = extend_lease(task=held, user=bobs.user, token=held.lease_token)
    assert renewed.lease_expires_at > timezone.now()


def test_of_two_holders_of_the_same_expired_row_one_gets_it(project, bobs) -> None:
    TaskFactory(project=project)
    expire(next_task(membership=bobs))
    first, second = Task.objects.get(), Task.objects.get()
    other = MembershipFactory(project=project)
    _lease(first, other.user)
    with pytest.raises(StaleState):
        _lease(second, bobs.user)
    assert Task.objects.get().leased_by == other.user


def test_the_task_of_ones_own_draft_comes_first(project, bobs, bob) -> None:
    TaskFactory(project=project)
    later = TaskFactory(project=project)
    save_draft(task=later, user=bob, messages=[*later.messages, {"role": "assistant", "content": "Half"}], revision=0)
    assert next_task(membership=bobs) == later


def test_a_new_version_of_the_instructions_comes_before_the_next_task(project, alice, bobs, bob) -> None:
    version = publish_instructions(project=project, text="Be kind.", by=alice, based_on=0)
    with pytest.raises(MustAcknowledge) as error:
        next_task(membership=bobs)
    assert error.value.version == version
    acknowledge(version=version, user=bob)
    assert next_task(membership=bobs) is not None


def test_the_sweep_frees_what_ran_out_and_nothing_else(project, bobs) -> None:
    lapsed, held = TaskFactory(project=project), TaskFactory(project=project)
    expire(next_task(membership=bobs))
    next_task(membership=MembershipFactory(project=project))  # takes the lapsed one
    next_task(membership=bobs)
    expire(lapsed)
    sweep()
    lapsed.refresh_from_db()
    held.refresh_from_db()
    assert (lapsed.state, held.state) == (TaskState.OPEN, TaskState.LEASED)
    assert release_expired() == 0


def test_resuming_swaps_the_task_in_hand(project, bobs, bob) -> None:
    first, second = TaskFactory(project=project), TaskFactory(project=project)
    next_task(membership=bobs)
    resume_task(task=second, membership=bobs)
    assert list(project.tasks.held_by(bob)) == [second]
    next_task(membership=MembershipFactory(project=project))  # takes the first
    with pytest.raises(HeldByOther):
        resume_task(task=first, membership=bobs)
    Task.objects.filter(pk=first.pk).update(state=TaskState.DONE, leased_by=None)
    with pytest.raises(NotAllowed):
        resume_task(task=first, membership=bobs)
    assert list(project.tasks.held_by(bob)) == [second]


def test_prompts_are_added_once(project, alice) -> None:
    prompts = [[{"role": "user", "content": text}] for text in ("A?", "B?", "A?")]
    added = add_prompts(project=project, prompts=prompts, by=alice)
    assert (added.n_added, added.n_duplicates) == (2, 1)
    again = add_prompts(project=project, prompts=prompts, by=alice)
    assert (again.n_added, again.n_duplicates) == (0, 3)
    assert add_prompts(project=ProjectFactory(), prompts=prompts).n_added == 2


def test_only_a_free_prompt_is_retired(project, alice, bobs) -> None:
    task = TaskFactory(project=project)
    next_task(membership=bobs)
    with pytest.raises(HeldByOther):
        retire_task(task=task, by=alice)
    expire(task)
    retire_task(task=task, by=alice)
    assert task.state == TaskState.RETIRED
    with pytest.raises(IllegalMove):
        retire_task(task=task, by=alice)


def test_a_withdrawn_prompt_is_offered_to_others_unless_another_answer_is_there(project, bobs, bob) -> None:
    task = TaskFactory(project=project)
    mine = answer(next_task(membership=bobs), bobs)
    late = answer(task, MembershipFactory(project=project), "Three.")
    withdraw(submission=mine, by=bob)
    task.refresh_from_db()
    assert task.state == TaskState.DONE
    withdraw(submission=late, by=late.author)
    task.refresh_from_db()
    assert task.state == TaskState.OPEN
    assert not reopen_task(task=task, reason="again")


def test_a_rejected_prompt_is_offered_to_others(project, bobs, rita) -> None:
    task = TaskFactory(project=project)
    close_writing(project)
    mine = answer(next_task(membership=bobs), bobs)
    review_submission(submission=mine, verdict=Verdict.REJECT, by=rita, comment="Copied from elsewhere.")
    assert next_task(membership=MembershipFactory(project=project)) == task
    assert next_task(membership=bobs) is None


@pytest.mark.django_db(transaction=True)
def test_people_who_press_at_the_same_moment_get_different_tasks() -> None:
    project = ProjectFactory(is_open_writing=False)
    members = MembershipFactory.create_batch(4, project=project)
    TaskFactory.create_batch(3, project=project)
    start, got, errors = threading.Barrier(4), [], []

    def press(membership: Membership) -> None:
        try:
            start.wait()
            got.append(next_task(membership=membership))
        except Exception as error:  # noqa: BLE001 - carried to the test's own thread
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=press, args=[membership]) for membership in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    tasks = [task.pk for task in got if task is not None]
    assert len(tasks) == len(set(tasks)) == 3
    assert Task.objects.filter(state=TaskState.LEASED).values("leased_by").distinct().count() == 3
