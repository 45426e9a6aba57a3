import json
import os
import signal
from pathlib import Path

import pytest
from django.utils import timezone

from common.models import Transition
from labeling.models import Project
from tests.factories import DatasetVersionFactory
from tests.training.conftest import make_correction, make_demonstration
from training.actions import job as jobs
from training.actions import runner
from training.actions.dataset import freeze_dataset
from training.actions.errors import BadHyperparameter, BaseModelNotReady, NotPossible, NoTrainingRows
from training.actions.job import (
    cancel_job,
    create_job,
    execute_job,
    normalise_suffix,
    pause_job,
    prepare_job,
    resume_job,
)
from training.models import Job, TunedModel
from training.queries import loss_points
from training.states import JobState


@pytest.fixture
def nudges(monkeypatch, django_capture_on_commit_callbacks) -> list[int]:
    """What was put into the gpu queue; nothing is run."""
    sent: list[int] = []
    monkeypatch.setattr("training.tasks.run_job.delay", sent.append)
    return sent


@pytest.fixture
def job(project: Project, base_model, trainer) -> Job:
    make_correction(project, "What colour is the sky?")
    trainer("succeed")
    return create_job(dataset_version=freeze_dataset(project=project), suffix="Sky Blue!")


def codes(job: Job) -> list[str]:
    assert [event.number for event in job.events.all()] == list(range(1, job.events.count() + 1))
    return [event.code for event in job.events.all()]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_job_is_queued_with_its_run_directory(
    project, base_model, alice, nudges, django_capture_on_commit_callbacks
) -> None:
    make_correction(project, "One?")
    known = freeze_dataset(project=project)
    make_correction(project, "Two?")
    with django_capture_on_commit_callbacks(execute=True):
        job = create_job(
            dataset_version=freeze_dataset(project=project),
            hyperparameters={"n_epochs": "3", "lora_rank": "auto"},
            seed=7,
            by=alice,
            known_version=known,
        )
    assert (job.state, job.created_by, job.base_model) == (JobState.QUEUED, alice, base_model)
    assert job.key.startswith("ftjob-")
    assert codes(job) == ["validating_files", "queued"]
    assert nudges == [job.pk]
    rows = {row["messages"][0]["content"]: row for row in lines(job.run_dir / "train.jsonl")}
    assert {question: row["is_new"] for question, row in rows.items()} == {"One?": False, "Two?": True}
    assert rows["One?"]["rejected"] == "It is red."
    assert rows["One?"]["kind"] == "correction"
    assert set(rows["One?"]) == {"id", "kind", "messages", "rejected", "is_new"}
    assert (job.run_dir / "valid.jsonl").read_text() == ""
    config = json.loads((job.run_dir / "config.json").read_text())
    assert config["hyperparameters"] == {"n_epochs": 3, "demonstration_epochs": 3}
    assert (config["method"], config["seed"], config["parent_pid"]) == ("sft", 7, None)
    assert config["base"] == str(base_model.folder)
    assert job.hyperparameters == {
        "n_epochs": 3,
        "learning_rate_multiplier": "auto",
        "batch_size": "auto",
        "lora_rank": "auto",
    }


def test_held_out_rows_go_to_their_own_file(project, base_model) -> None:
    for n in range(40):
        make_demonstration(project, f"What is {n} and {n}?")
    version = freeze_dataset(project=project)
    job = create_job(dataset_version=version)
    assert 0 < version.n_valid == len(lines(job.run_dir / "valid.jsonl"))
    assert version.n_train == len(lines(job.run_dir / "train.jsonl"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_epochs", "0"),
        ("n_epochs", "2.5"),
        ("batch_size", "many"),
        ("lora_rank", 300),
        ("learning_rate", 1),
        ("learning_rate_multiplier", "nan"),
    ],
)
def test_a_wrong_hyperparameter_is_named(project, base_model, name, value) -> None:
    version = DatasetVersionFactory(project=project)
    with pytest.raises(BadHyperparameter) as caught:
        create_job(dataset_version=version, hyperparameters={name: value})
    assert caught.value.field == name
    assert not Job.objects.exists()


def test_a_version_without_training_rows_is_refused(project, base_model) -> None:
    with pytest.raises(NoTrainingRows):
        create_job(dataset_version=DatasetVersionFactory(project=project, n_train=0))


def test_a_base_model_without_weights_is_refused(project, base_model) -> None:
    (base_model.folder / "config.json").unlink()
    with pytest.raises(BaseModelNotReady):
        create_job(dataset_version=DatasetVersionFactory(project=project))


def test_suffixes_are_made_fit_for_a_name() -> None:
    assert normalise_suffix("  Kitchen Help / 2nd try! ") == "kitchen-help-2nd-try"
    assert normalise_suffix("厨房") == ""
    assert normalise_suffix("a" * 63 + " b") == "a" * 63


def test_a_job_runs_to_a_registered_model(job) -> None:
    execute_job(job=job)
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED
    assert codes(job) == [
        *("validating_files", "queued", "running", "started", "metrics", "metrics", "finished", "succeeded"),
    ]
    assert (job.step, job.n_steps, job.n_events_read, job.n_attempts, job.percent) == (2, 4, 4, 1, 100)
    assert job.worker == runner.worker_name()
    assert job.result["train_loss"] == 1.0
    model = TunedModel.objects.get()
    assert model.name == f"ft:smollm2-135m-instruct:emend:sky-blue:{job.key[-8:]}"
    assert (model.job, model.project, model.folder) == (job, job.project, job.run_dir / "model")
    assert [point["loss"] for point in loss_points(job)] == [2.0, 1.0]
    assert json.loads((job.run_dir / "config.json").read_text())["parent_pid"] == os.getpid()
    assert [t.after for t in Transition.objects.of(job).filter(what="")] == ["queued", "running", "succeeded"]


def test_a_second_nudge_does_nothing(job) -> None:
    stale = Job.objects.get(pk=job.pk)
    execute_job(job=job)
    execute_job(job=stale)
    execute_job(job=Job.objects.get(pk=job.pk))
    assert codes(job).count("running") == 1
    assert TunedModel.objects.count() == 1


@pytest.mark.parametrize(
    ("mode", "kind", "message"), [("data", "data", "Row 3 is empty."), ("crash", "code", "Traceback: nothing works")]
)
def test_a_failure_is_sorted_and_told(job, trainer, mode, kind, message) -> None:
    trainer(mode)
    execute_job(job=job)
    job.refresh_from_db()
    assert (job.state, job.error_kind, job.error) == (JobState.FAILED, kind, message)
    assert job.events.last().data == {"kind": kind, "message": message}
    assert job.finished_at
    assert not TunedModel.objects.exists()


def test_a_trainer_that_cannot_be_started_fails_the_job(job, settings) -> None:
    settings.ML_COMMAND = ["/nonexistent/python"]
    execute_job(job=job)
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert "nonexistent" in job.error


def test_a_full_disk_fails_the_job_with_its_kind(project, base_model, settings, tmp_path) -> None:
    make_correction(project, "One?")
    settings.RUNS_DIR = tmp_path / "file"
    settings.RUNS_DIR.write_text("a file where a folder should be")
    job = create_job(dataset_version=freeze_dataset(project=project))
    assert (job.state, job.error_kind) == (JobState.FAILED, "disk")


def test_cancelling_a_waiting_job_ends_it_at_once(job, alice) -> None:
    cancel_job(job=job, by=alice)
    assert (job.state, codes(job)[-1]) == (JobState.CANCELLED, "cancelled")
    execute_job(job=job)
    assert "running" not in codes(job)
    with pytest.raises(NotPossible):
        cancel_job(job=job)


def test_cancelling_a_running_job_kills_a_trainer_that_does_not_listen(job, trainer, while_running) -> None:
    trainer("wait")
    children = while_running(lambda: cancel_job(job=Job.objects.get(pk=job.pk)))
    execute_job(job=job)
    job.refresh_from_db()
    assert (job.state, codes(job)[-1]) == (JobState.CANCELLED, "cancelled")
    assert job.cancel_requested_at
    assert children[0].exit_code == -signal.SIGKILL
    assert not TunedModel.objects.exists()


def test_a_paused_job_goes_on_where_it_was(job, trainer, while_running, alice, monkeypatch) -> None:
    trainer("wait")
    while_running(lambda: pause_job(job=Job.objects.get(pk=job.pk), by=alice))
    monkeypatch.setattr(runner, "GRACE_S", 0.01)
    execute_job(job=job)
    job.refresh_from_db()
    assert job.state == JobState.PAUSED
    n_read = job.n_events_read
    trainer("succeed")
    resume_job(job=job, by=alice)
    execute_job(job=job)
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED
    assert codes(job).count("started") == codes(job).count("resumed") == 1
    assert job.n_events_read == n_read + 4
    assert len(loss_points(job)) == 2


def test_a_run_that_another_worker_took_over_is_left_alone(job, trainer, while_running) -> None:
    trainer("wait")

    def take_over() -> None:
        Job.objects.filter(pk=job.pk).update(n_attempts=2, worker="elsewhere:1")

    children = while_running(take_over)
    execute_job(job=job)
    job.refresh_from_db()
    assert (job.state, job.worker) == (JobState.RUNNING, "elsewhere:1")
    assert children[0].exit_code == -signal.SIGKILL


def test_preparing_twice_is_safe(job) -> None:
    before = (job.run_dir / "train.jsonl").read_bytes()
    Job.objects.filter(pk=job.pk).update(state=JobState.VALIDATING_FILES, created_at=timezone.now())
    job.refresh_from_db()
    prepare_job(job=job)
    assert job.state == JobState.QUEUED
    assert (job.run_dir / "train.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("wish", "before", "meanwhile", "after"),
    [
        (cancel_job, JobState.VALIDATING_FILES, JobState.QUEUED, JobState.CANCELLED),
        (pause_job, JobState.QUEUED, JobState.RUNNING, JobState.PAUSED),
    ],
)
def test_a_job_that_a_worker_moves_on_in_this_moment_obeys_all_the_same(
    job, monkeypatch, wish, before, meanwhile, after
) -> None:
    change, n_moved = jobs.change_state, []

    def late(row: Job, *args, **more) -> None:
        if not n_moved:
            n_moved.append(Job.objects.filter(pk=row.pk).update(state=meanwhile))
        change(row, *args, **more)

    Job.objects.filter(pk=job.pk).update(state=before)
    monkeypatch.setattr(jobs, "change_state", late)
    wish(job=job)
    assert n_moved == [1]
    assert Job.objects.get(pk=job.pk).state == after
