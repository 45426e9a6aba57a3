import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from tests.factories import DatasetVersionFactory, JobFactory
from tests.training.conftest import make_correction
from training import tasks
from training.actions import runner
from training.actions.dataset import freeze_dataset
from training.actions.evaluation import request_evaluation
from training.actions.job import append_event, create_job, execute_job
from training.actions.recovery import recover
from training.models import Evaluation, Job
from training.states import EvaluationState, JobState


@pytest.fixture
def nudges(monkeypatch) -> list[tuple[str, int]]:
    sent: list[tuple[str, int]] = []
    for name in ("run_job", "run_evaluation"):
        monkeypatch.setattr(
            getattr(tasks, name), "apply_async", lambda args, expires, name=name: sent.append((name, args[0]))
        )
    return sent


@pytest.fixture
def dead_worker() -> str:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    host = runner.worker_name().rpartition(":")[0]
    return f"{host}:{process.pid}"


@pytest.fixture
def job(project, base_model) -> Job:
    make_correction(project, "One?")
    return create_job(dataset_version=freeze_dataset(project=project))


def set_running(row: Job | Evaluation, **fields: object) -> None:
    values = {"state": "running", "worker": runner.worker_name(), "heartbeat_at": timezone.now(), "n_attempts": 1}
    type(row).objects.filter(pk=row.pk).update(**values | fields)


def test_a_job_of_a_dead_worker_goes_back_to_the_queue_and_resumes(job, nudges, dead_worker, trainer) -> None:
    trainer("succeed")
    set_running(job, worker=dead_worker)
    recover()
    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    assert job.events.last().data == {"reason": "worker_lost", "queue_number": 0}
    assert nudges == [("run_job", job.pk)]
    execute_job(job=job)
    job.refresh_from_db()
    assert (job.state, job.n_attempts) == (JobState.SUCCEEDED, 2)
    assert [event.number for event in job.events.all()] == list(range(1, job.events.count() + 1))


def test_the_trainer_that_a_dead_worker_left_is_ended_first(job, nudges, dead_worker, trainer) -> None:
    trainer("wait")
    child = runner.Child("sft", job.run_dir)
    set_running(job, worker=dead_worker)
    recover()
    assert child.exit_code is not None


def test_a_process_that_has_the_number_by_chance_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        (tmp_path / runner.PID_FILE).write_text(str(stranger.pid))
        runner.stop_leftover(tmp_path)
        assert stranger.poll() is None


@pytest.mark.parametrize(
    ("silence_s", "worker", "expected"),
    [
        (5, "", JobState.RUNNING),
        (61, "", JobState.QUEUED),
        (5, "elsewhere:1", JobState.RUNNING),
        (61, "elsewhere:1", JobState.QUEUED),
    ],
)
def test_a_worker_that_cannot_be_looked_up_is_told_by_its_heartbeat(job, nudges, silence_s, worker, expected) -> None:
    heartbeat_at = timezone.now() - timedelta(seconds=silence_s)
    set_running(job, worker=worker or runner.worker_name(), heartbeat_at=heartbeat_at)
    recover()
    job.refresh_from_db()
    assert job.state == expected


def test_a_job_whose_cancellation_nobody_carried_out_is_cancelled(job, nudges, dead_worker) -> None:
    set_running(job, worker=dead_worker, cancel_requested_at=timezone.now())
    recover()
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert nudges == []


def test_a_job_that_kills_its_workers_is_given_up(job, nudges, dead_worker) -> None:
    for _n in range(runner.MAX_ATTEMPTS):
        append_event(job, JobState.RUNNING)
    append_event(job, "checkpoint", {"step": 3})
    set_running(job, worker=dead_worker)
    recover()
    job.refresh_from_db()
    assert job.state == JobState.QUEUED, "it got to a checkpoint"
    for _n in range(runner.MAX_ATTEMPTS):
        append_event(job, JobState.RUNNING)
    set_running(job, worker=dead_worker)
    recover()
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.FAILED, "Its worker died 8 times without getting any further.")


def test_a_job_whose_preparation_was_cut_off_is_prepared(project, base_model, nudges) -> None:
    version = DatasetVersionFactory(project=project)
    job = JobFactory(project=project, dataset_version=version, base_model=base_model)
    recover()
    job.refresh_from_db()
    assert job.state == JobState.VALIDATING_FILES
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(minutes=2))
    recover()
    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    assert (job.run_dir / "config.json").exists()


def test_what_waits_is_nudged_unless_something_runs(job, project, base_model, nudges) -> None:
    evaluation = request_evaluation(project=project, base_model=base_model)
    recover()
    assert nudges == [("run_evaluation", evaluation.pk), ("run_job", job.pk)]
    nudges.clear()
    set_running(evaluation)
    recover()
    assert nudges == []


def test_an_evaluation_of_a_dead_worker_goes_back_to_the_queue(project, base_model, nudges, dead_worker) -> None:
    evaluation = request_evaluation(project=project, base_model=base_model)
    set_running(evaluation, worker=dead_worker)
    recover()
    evaluation.refresh_from_db()
    assert evaluation.state == EvaluationState.QUEUED
    set_running(evaluation, worker=dead_worker, n_attempts=runner.MAX_ATTEMPTS)
    recover()
    evaluation.refresh_from_db()
    assert evaluation.state == EvaluationState.FAILED
    again = request_evaluation(project=project, base_model=base_model)
    set_running(again, worker=dead_worker, cancel_requested_at=timezone.now())
    recover()
    again.refresh_from_db()
    assert again.state == EvaluationState.CANCELLED
