"""Places in the queue, priorities, and what is tried again."""

import signal
from types import SimpleNamespace

import pytest
from django.urls import reverse
from django.utils import timezone

from common.models import Transition
from tests.factories import JobFactory
from training.actions.errors import NotPossible
from training.actions.job import append_event, execute_next_job, pause_job, resume_job, set_priority
from training.actions.retry import has_half_batch, reason_to_retry
from training.models import Job, JobPreflight
from training.queries.queue import Place, find_place
from training.states import ErrorKind, JobState


def waiting(project, *, seconds: float | None = None, **fields) -> Job:
    job = JobFactory(project=project, state=JobState.QUEUED, **fields)
    estimate = {} if seconds is None else {"seconds": seconds}
    JobPreflight.objects.create(job=job, finished_at=timezone.now(), estimate=estimate)
    return job


def ended(code: int | None) -> SimpleNamespace:
    return SimpleNamespace(exit_code=code)


def test_a_place_counts_who_comes_first_and_how_long_they_take(project) -> None:
    assert find_place(JobFactory(project=project, state=JobState.PAUSED)) is None
    first, second = waiting(project, seconds=60), waiting(project, seconds=10)
    assert find_place(first) == Place(0, 0)
    JobFactory(project=project, state=JobState.RUNNING, remaining_s=5)
    assert find_place(second) == Place(2, 65)
    assert find_place(waiting(project, priority=1)) == Place(1, 5)
    assert find_place(second) == Place(3, None), "nobody knows how long that one takes"


def test_two_slots_are_filled_as_they_become_free(project) -> None:
    for remaining_s in (5, 20):
        JobFactory(project=project, state=JobState.RUNNING, remaining_s=remaining_s)
    for _n in range(2):
        waiting(project, seconds=30)
    assert find_place(waiting(project)) == Place(4, 35)


def test_the_first_in_the_queue_runs_whichever_job_the_message_names(project, monkeypatch) -> None:
    waiting(project)
    urgent = waiting(project, priority=5)
    ran: list[int] = []
    monkeypatch.setattr("training.actions.job.execute_job", lambda job: not ran.append(job.pk))
    execute_next_job()
    assert ran == [urgent.pk]


def test_a_priority_is_set_and_told_once(project, alice) -> None:
    job = waiting(project)
    for _n in range(2):
        set_priority(job=job, priority=7, by=alice)
    job.refresh_from_db()
    assert job.priority == 7
    assert [(t.before, t.after) for t in Transition.objects.of(job).filter(what="priority")] == [("0", "7")]
    with pytest.raises(NotPossible):
        set_priority(job=job, priority=101)
    with pytest.raises(NotPossible):
        set_priority(job=JobFactory(project=project, state=JobState.FAILED), priority=1)


def test_two_admins_who_want_the_same_both_have_it(project, alice) -> None:
    job = waiting(project)
    stale = Job.objects.get(pk=job.pk)
    pause_job(job=job, by=alice)
    pause_job(job=stale, by=alice)
    resume_job(job=job, by=alice)
    resume_job(job=stale, by=alice)
    assert [event.code for event in job.events.all()] == ["paused", "queued"]
    with pytest.raises(NotPossible):
        resume_job(job=JobFactory(project=project, state=JobState.CANCELLED))


@pytest.mark.parametrize(
    ("code", "kind", "recipe", "n_starts", "expected"),
    [
        (1, ErrorKind.CODE, "many_rows", 1, ""),
        (1, ErrorKind.MEMORY, "many_rows", 1, "memory"),
        (1, ErrorKind.MEMORY, "corrections", 1, ""),
        (-signal.SIGKILL, ErrorKind.MEMORY, "many_rows", 1, "killed"),
        (-signal.SIGKILL, ErrorKind.MEMORY, "many_rows", 2, "memory"),
        (-signal.SIGKILL, ErrorKind.MEMORY, "corrections", 7, "killed"),
        (-signal.SIGKILL, ErrorKind.MEMORY, "corrections", 8, ""),
        (143, ErrorKind.CODE, "corrections", 7, "stopped"),
        (143, ErrorKind.CODE, "corrections", 8, ""),
    ],
)
def test_what_is_tried_again(project, code, kind, recipe, n_starts, expected) -> None:
    job = JobFactory(project=project, state=JobState.RUNNING)
    append_event(job, "started", {"recipe": recipe})
    append_event(job, JobState.RUNNING)
    append_event(job, "checkpoint", {"step": 1})
    for _n in range(n_starts):
        append_event(job, JobState.RUNNING)
    assert reason_to_retry(job, child=ended(code), kind=kind) == expected


def test_memory_that_runs_out_again_fails_the_job(project) -> None:
    job = JobFactory(project=project, state=JobState.RUNNING)
    assert not has_half_batch(job)
    append_event(job, JobState.QUEUED, {"reason": "memory"})
    assert has_half_batch(job)
    assert reason_to_retry(job, child=ended(1), kind=ErrorKind.MEMORY) == ""


def test_an_admin_sets_a_priority_on_the_page(client, alice, project) -> None:
    client.force_login(alice)
    job = waiting(project)
    address = reverse("training-job-priority", args=[project.slug, job.key])
    assert client.post(address, {"priority": "3"}).status_code == 302
    job.refresh_from_db()
    assert job.priority == 3
    answer = client.post(address, {"priority": "many"}, follow=True)
    assert "A priority is a number from -100 to 100." in answer.text
    assert "It is the first in the queue" in answer.text


def test_jobs_are_compared_in_one_plot(client, alice, project, charlie) -> None:
    client.force_login(alice)
    jobs = [JobFactory(project=project, seed=seed) for seed in (1, 2)]
    stranger = JobFactory(project=charlie.memberships.get().project)
    for job, rate in zip(jobs, (0.1, 0.2), strict=True):
        append_event(job, "started", {"hyperparameters": {"learning_rate": rate, "n_epochs": 3}})
        for step in (1, 2):
            append_event(job, "metrics", {"step": step, "loss": 2.0 / step + rate, "grad_norm": 1.0})
    address = reverse("training-job-compare", args=[project.slug])
    answer = client.get(address, {"job": [job.key for job in (*jobs, stranger)]})
    assert answer.context["jobs"] == jobs
    assert answer.context["n_left_out"] == 1
    assert f"jobs/{stranger.key}/" not in answer.text
    differing = dict(answer.context["differences"])
    assert (differing["seed"], differing["learning_rate"]) == ([1, 2], [0.1, 0.2])
    assert "n_epochs" not in differing
    found = {curve.name: curve for curve in answer.context["curves"]}
    assert set(found) == {"loss", "grad_norm"}
    assert found["loss"].rows == [(1, [2.1, 2.2]), (2, [1.1, 1.2])]
    assert [line.n_points for line in found["loss"].chart.lines] == [2, 2]
    assert "No job is chosen" in client.get(address).text
