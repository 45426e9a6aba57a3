"""Handing out: who gets what, how many, and when it is over."""

import re
import threading
import uuid
from datetime import timedelta
from itertools import cycle

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from common.models import Transition
from common.states import IllegalMove
from labeling.actions.errors import CommentNeeded, LeaseLost, NotAllowed
from labeling.actions.review import review_submission
from labeling.actions.submission import submit, withdraw
from labeling.actions.task import (
    add_prompts,
    next_task,
    release_task,
    retire_task,
    return_task,
    skip_task,
    take_away,
)
from labeling.models import Membership, Skip, Submission, Task
from labeling.queries import queue_standing
from labeling.states import SkipReason, SubmissionState, TaskKind, TaskState, Verdict
from tests.factories import InstructionVersionFactory, MembershipFactory, ProjectFactory, TaskFactory


@pytest.fixture
def project(project):
    project.is_open_writing = False
    project.save()
    return project


@pytest.fixture
def bobs(project, bob) -> Membership:
    return Membership.objects.select_related("project", "user").get(project=project, user=bob)


def others(project, n: int) -> list[Membership]:
    return MembershipFactory.create_batch(n, project=project)


def expire(**which: object) -> None:
    Task.objects.filter(state=TaskState.LEASED, **which).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def answer(task: Task, membership: Membership, *, key: uuid.UUID | None = None) -> Submission:
    messages = [*task.messages, {"role": "assistant", "content": "Two."}]
    return submit(task=task, membership=membership, messages=messages, idempotency_key=key or uuid.uuid4())


def skip(membership: Membership, reason: str = SkipReason.UNCLEAR, comment: str = "") -> Task:
    task = next_task(membership=membership)
    skip_task(task=task, user=membership.user, reason=reason, comment=comment)
    return task


def test_a_skipped_prompt_goes_last_and_comes_back_only_on_demand(project, bobs) -> None:
    first, second = TaskFactory.create_batch(2, project=project)
    assert skip(bobs) == first
    other = others(project, 1)[0]
    assert next_task(membership=other) == second, "it is last for everybody"
    assert next_task(membership=bobs) is None
    assert next_task(membership=bobs, is_skipped_welcome=True) == first


def test_something_else_needs_words(project, bobs) -> None:
    TaskFactory(project=project)
    with pytest.raises(CommentNeeded):
        skip(bobs, SkipReason.OTHER, "  ")
    assert not Skip.objects.exists()
    skip(bobs, SkipReason.OTHER, "It is about my employer.")
    assert Skip.objects.get().comment == "It is about my employer."
    assert "my employer" in Transition.objects.latest("pk").reason


def test_only_the_holder_skips_and_gives_back(project, bobs) -> None:
    TaskFactory(project=project)
    task = next_task(membership=bobs)
    other = others(project, 1)[0].user
    with pytest.raises(LeaseLost):
        skip_task(task=task, user=other, reason=SkipReason.UNCLEAR)
    with pytest.raises(LeaseLost):
        release_task(task=task, user=other)
    assert not Skip.objects.exists()


def test_the_third_persons_skip_sets_a_prompt_aside_and_one_persons_skips_count_once(project, alice, bobs) -> None:
    task = TaskFactory(project=project)
    skip(bobs)
    for _ in range(2):  # again and again by the same person
        again = next_task(membership=bobs, is_skipped_welcome=True)
        skip_task(task=again, user=bobs.user, reason=SkipReason.HARMFUL)
    second, third, fourth = others(project, 3)
    skip(second)
    task.refresh_from_db()
    assert task.state == TaskState.OPEN
    skip(third)
    task.refresh_from_db()
    assert task.state == TaskState.ASIDE
    assert next_task(membership=fourth) is None
    assert next_task(membership=bobs, is_skipped_welcome=True) is None
    return_task(task=task, by=alice)
    assert Transition.objects.of(task).latest("pk").by_pk == alice.pk
    assert next_task(membership=bobs) is None, "those who skipped it do not get it by themselves"
    assert skip(fourth) == task
    task.refresh_from_db()
    assert task.state == TaskState.OPEN, "the three skips before the admin's look do not count any more"
    with pytest.raises(IllegalMove):
        return_task(task=task, by=alice)


def test_a_prompt_that_was_set_aside_is_retired_or_answered_after_all(project, alice, bobs) -> None:
    lost, saved = TaskFactory.create_batch(2, project=project, state=TaskState.ASIDE)
    retire_task(task=lost, by=alice)
    assert lost.state == TaskState.RETIRED
    answer(saved, bobs)  # from a draft begun before
    saved.refresh_from_db()
    assert saved.state == TaskState.DONE


def test_an_empty_queue_is_explained(project, bobs) -> None:
    mine, skipped, held, aside, _done = (
        TaskFactory(project=project, state=state)
        for state in (TaskState.OPEN, TaskState.OPEN, TaskState.OPEN, TaskState.ASIDE, TaskState.DONE)
    )
    Task.objects.filter(pk=mine.pk).update(n_people=2)
    answer(next_task(membership=bobs), bobs)
    assert skip(bobs) == skipped
    release_task(task=next_task(membership=bobs), user=bobs.user)
    other = others(project, 1)[0]
    Task.objects.filter(pk=held.pk).update(position=-1)
    assert next_task(membership=other) == held
    TaskFactory()  # elsewhere
    assert next_task(membership=bobs) is None
    standing = queue_standing(bobs)
    held.refresh_from_db()
    assert (standing.n_left, standing.n_held, standing.held_until) == (4, 1, held.lease_expires_at)
    assert (standing.n_mine, standing.n_skipped, standing.n_aside) == (1, 1, 1)
    assert aside.state == TaskState.ASIDE


def test_one_person_holds_as_many_as_the_project_allows(project, bobs) -> None:
    TaskFactory.create_batch(3, project=project)
    project.max_held = bobs.project.max_held = 2
    first = next_task(membership=bobs)
    assert next_task(membership=bobs) == first, "without asking for another one, the held one comes"
    second = next_task(membership=bobs, another=True)
    assert second != first
    assert next_task(membership=bobs, another=True) == first
    assert project.tasks.held_by(bobs.user).count() == 2


def test_an_admin_frees_a_held_task_and_the_holder_can_still_hand_in(project, alice, bobs) -> None:
    TaskFactory(project=project)
    task = next_task(membership=bobs)
    take_away(task=task, by=alice)
    task.refresh_from_db()
    assert (task.state, task.leased_by) == (TaskState.OPEN, None)
    row = Transition.objects.of(task).latest("pk")
    assert (row.by_pk, row.reason) == (alice.pk, "taken from Bob")
    with pytest.raises(NotAllowed):
        take_away(task=task, by=alice)
    answer(task, bobs)
    task.refresh_from_db()
    assert task.state == TaskState.DONE


def test_a_prompt_for_two_is_done_when_two_people_have_handed_in(project, bobs, rita) -> None:
    task = TaskFactory(project=project, n_people=2)
    mine = answer(next_task(membership=bobs), bobs)
    assert next_task(membership=bobs) is None
    second, third = others(project, 2)
    theirs = answer(next_task(membership=second), second)
    assert next_task(membership=third) is None
    review_submission(submission=mine, verdict=Verdict.ACCEPT, by=rita)
    task.refresh_from_db()
    assert task.state == TaskState.DONE
    withdraw(submission=theirs, by=second.user)
    answer(next_task(membership=third), third)
    task.refresh_from_db()
    assert task.state == TaskState.DONE
    assert task.submissions.filter(state=SubmissionState.WITHDRAWN).count() == 1


def test_a_late_text_for_a_prompt_for_two_counts_too(project, bobs) -> None:
    TaskFactory(project=project, n_people=2)
    late = next_task(membership=bobs)
    expire()
    second = others(project, 1)[0]
    held = next_task(membership=second)
    answer(late, bobs)
    held.refresh_from_db()
    assert (held.state, held.leased_by) == (TaskState.LEASED, second.user), "it stays in the holder's hands"
    answer(held, second)
    held.refresh_from_db()
    assert held.state == TaskState.DONE


def test_the_share_for_two_people_is_drawn_by_the_prompt(project) -> None:
    prompts = [[{"role": "user", "content": f"What is {n}?"}] for n in range(200)]
    project.double_share = 25
    add_prompts(project=project, prompts=prompts)
    elsewhere = ProjectFactory(double_share=25)
    add_prompts(project=elsewhere, prompts=prompts[::-1])
    drawn = set(project.tasks.filter(n_people=2).values_list("prompt_hash", flat=True))
    assert drawn == set(elsewhere.tasks.filter(n_people=2).values_list("prompt_hash", flat=True))
    assert 30 <= len(drawn) <= 70
    wholly = ProjectFactory(double_share=100)
    add_prompts(project=wholly, prompts=prompts)
    assert not wholly.tasks.filter(n_people=1).exists()


def test_handing_out_and_handing_in_ask_the_database_little(project, bobs) -> None:
    """The numbers are a budget: a query more is paid by everybody, all day."""
    version = InstructionVersionFactory(project=project)
    version.acknowledgements.create(user=bobs.user)
    TaskFactory.create_batch(2, project=project)
    with CaptureQueriesContext(connection) as handed_out:
        task = next_task(membership=bobs)
    statements = [query["sql"] for query in handed_out if "SAVEPOINT" not in query["sql"]]
    assert len(statements) <= 9
    with CaptureQueriesContext(connection) as handed_in:
        answer(task, bobs)
    statements = [query["sql"] for query in handed_in if "SAVEPOINT" not in query["sql"]]
    assert len(statements) <= 11


def test_the_queue_is_read_in_the_order_of_an_index(project, bobs) -> None:
    TaskFactory.create_batch(3, project=project)
    with CaptureQueriesContext(connection) as queries:
        next_task(membership=bobs)
    walks = [query["sql"] for query in queries if "ORDER BY position" in query["sql"]]
    assert len(walks) == 1, "no lease ran out, so only the open prompts are looked at"
    if connection.vendor == "sqlite":  # PostgreSQL rightly reads so small a table from end to end
        of_tasks = [query["sql"] for query in queries if re.search('FROM "?labeling_task', query["sql"])]
        with connection.cursor() as cursor:
            plans = []
            for sql in of_tasks:
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
                plans.append(" ".join(row[3] for row in cursor.fetchall()))
        assert "INDEX task_lapsing" in plans[0]
        assert "INDEX task_queue" in plans[1]
        for plan in plans:
            assert "SCAN" not in plan
            assert "TEMP B-TREE" not in plan
            assert "author_id=?" not in plan, "all that a person ever wrote would be walked for each task"


@pytest.mark.django_db(transaction=True)
def test_two_requests_of_one_person_do_not_go_beyond_the_limit() -> None:
    project = ProjectFactory(is_open_writing=False, max_held=2)
    membership = MembershipFactory(project=project)
    TaskFactory.create_batch(6, project=project)
    at_once([lambda: next_task(membership=membership, another=True)] * 4)
    assert project.tasks.held_by(membership.user).count() == 2


def at_once(calls: list) -> None:
    """Run the calls in threads that start together; raise what any of them raised."""
    start, errors = threading.Barrier(len(calls)), []

    def run(call) -> None:
        try:
            start.wait()
            call()
        except BaseException as error:  # noqa: BLE001 - carried to the test's own thread
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.django_db(transaction=True)
def test_many_people_some_of_whom_die_and_some_of_whom_click_twice_lose_and_double_nothing() -> None:
    """Every tenth client dies after being served: its lease runs out, it is never heard of again. Every tenth hands in twice."""
    n_threads, n_tasks = (32, 200) if connection.features.has_select_for_update_skip_locked else (8, 120)
    project = ProjectFactory(is_open_writing=False)
    Task.objects.bulk_create(
        Task(project=project, messages=[{"role": "user", "content": f"{n}?"}], prompt_hash=f"{n:064}")
        for n in range(n_tasks)
    )
    people = MembershipFactory.create_batch(n_threads + n_tasks // 4, project=project)
    spare, lock, turn = people[n_threads:], threading.Lock(), cycle(range(10))
    served, dead, handed_in = [], [], []

    def work(membership: Membership) -> None:
        while task := next_task(membership=membership):
            with lock:
                served.append(task.pk)
                fate = next(turn)
            if fate == 3 and spare:
                expire(pk=task.pk)
                with lock:
                    dead.append(task.pk)
                    membership = spare.pop()
                continue
            key = uuid.uuid4()
            rows = {answer(task, membership, key=key).pk for _ in range(2 if fate == 6 else 1)}
            with lock:
                handed_in.extend(rows)

    at_once([lambda m=membership: work(m) for membership in people[:n_threads]])
    assert project.tasks.filter(kind=TaskKind.ANSWER, state=TaskState.DONE).count() == n_tasks
    assert len(dead) > n_tasks // 20
    assert sorted(served) == sorted([*range_of(project), *dead]), "again only after its lease ran out, and then once"
    stored = Submission.objects.values_list("pk", "task")
    assert sorted(pk for pk, _task in stored) == sorted(handed_in)
    assert sorted(task for _pk, task in stored) == range_of(project)


def range_of(project) -> list[int]:
    return sorted(project.tasks.values_list("pk", flat=True))
