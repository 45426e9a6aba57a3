"""The real trainer and evaluator on a tiny model, through the worker's actions."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connection

from tests.factories import BaseModelFactory
from tests.training.conftest import make_correction, make_demonstration
from tests.training.test_evaluation_actions import make_test
from training.actions import runner
from training.actions.dataset import freeze_dataset
from training.actions.evaluation import execute_evaluation, request_evaluation
from training.actions.job import create_job, execute_job
from training.actions.recovery import recover
from training.models import BaseModel, Event, Job
from training.queries import loss_points, measures
from training.states import EvaluationState, JobState

pytestmark = [pytest.mark.model, pytest.mark.django_db(transaction=True)]

WORKER = """
import sys
import django
from django.conf import settings

settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from training.actions.job import execute_job
from training.models import Job

execute_job(job=Job.objects.get(key=sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def one_thread(settings) -> None:
    settings.ML_THREADS = 1
    settings.SMOKE_TEST = False  # a tiny model of random weights has nothing to say


@pytest.fixture
def tiny_model(db: None) -> BaseModel:
    from tests.ml.tiny import build_model, build_tokenizer

    base_model = BaseModelFactory(slug="tiny", name="Tiny", location="tiny")
    tokenizer = build_tokenizer()
    build_model(tokenizer).save_pretrained(base_model.folder)
    tokenizer.save_pretrained(base_model.folder)
    return base_model


def wait_until(is_so: Callable[[], object], *, timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.05)


def test_a_job_trains_and_its_model_is_measured(project, tiny_model) -> None:
    for thing in ("sky", "sea", "rose"):
        make_test(project, f"what is the {thing}", f"tell me what the {thing} is")
    for n in range(20):
        make_demonstration(project, f"the cat sat {n}", "on the mat")
    version = freeze_dataset(project=project)
    job = create_job(dataset_version=version, base_model=tiny_model, hyperparameters={"n_epochs": 2}, suffix="tiny")
    execute_job(job=job)
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED, (job.error, (job.run_dir / runner.LOG_FILE).read_text())
    assert job.step == job.n_steps > 0
    assert job.result["hyperparameters"]["n_epochs"] == 2
    assert job.result["auto"]
    assert len(loss_points(job)) > 0
    assert list((job.tuned_model.folder).glob("*.safetensors"))
    baseline = request_evaluation(project=project, base_model=tiny_model)
    candidate = request_evaluation(
        project=project, base_model=tiny_model, tuned_model=job.tuned_model, baseline=baseline
    )
    for evaluation in (baseline, candidate):
        execute_evaluation(evaluation=evaluation)
        evaluation.refresh_from_db()
        assert evaluation.state == EvaluationState.SUCCEEDED, evaluation.error
    candidate.refresh_from_db()
    found = measures(candidate)
    assert (found["n_cases"], found["n_probes"], found["n_held_out"]) == (3, 3, version.n_test)
    assert found["efficacy_after"] is not None
    assert found["specificity_drift"] is not None
    assert {rule["name"] for rule in candidate.gate} >= {"efficacy", "generalisation", "drift", "stop_rate"}


def test_a_killed_worker_leaves_no_trainer_and_the_next_one_resumes(project, tiny_model) -> None:
    for n in range(24):
        make_correction(project, f"what is the cat number {n}")
    job = create_job(
        dataset_version=freeze_dataset(project=project), base_model=tiny_model, hyperparameters={"n_epochs": 15}
    )
    name = str(connection.settings_dict["NAME"])
    environment = {"EMEND_VAR_DIR": str(django_settings.VAR_DIR), "EMEND_ML_THREADS": "1", "EMEND_SMOKE_TEST": "0"}
    environment["EMEND_SECRET_KEY"] = "test"
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, name, job.key],
        cwd=django_settings.BASE_DIR,
        env={**_inherited(), **environment, "DJANGO_SETTINGS_MODULE": "config.settings"},
    )
    try:
        wait_until(lambda: Event.objects.filter(job=job, code="metrics").exists() or worker.poll() is not None)
        trainer_pid = int((job.run_dir / runner.PID_FILE).read_text())
        assert Path(f"/proc/{trainer_pid}").exists()
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    wait_until(lambda: not _is_alive(trainer_pid))
    job.refresh_from_db()
    assert job.state == JobState.RUNNING
    recover()
    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    execute_job(job=Job.objects.get(pk=job.pk))
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED, job.error
    events = list(job.events.all())
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    codes = [event.code for event in events]
    assert codes.count("started") == 1
    assert codes[codes.index("running", codes.index("running") + 1) - 1] == "queued"
    steps = [point["step"] for point in loss_points(job)]
    assert steps == sorted(set(steps))
    assert steps[-1] == job.n_steps


def _inherited() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "DATABASE_URL", "LANG")}


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
