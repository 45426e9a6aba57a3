"""One job whose trainer, worker and broker are killed five times, at moments drawn by lot, against an unbroken run."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connection

from tests.training.conftest import make_correction
from tests.training.test_real_trainer import one_thread, tiny_model, wait_until  # noqa: F401 - fixtures
from training.actions import runner
from training.actions.dataset import freeze_dataset
from training.actions.job import create_job, execute_job
from training.models import BaseModel, Event, Job
from training.states import JobState

pytestmark = [pytest.mark.model, pytest.mark.django_db(transaction=True)]
KILLS = ("trainer", "worker", "broker and worker", "trainer", "worker")


class Worker:
    """A Celery worker of both queues on a file-system broker of its own, on the tests' database."""

    def __init__(self) -> None:
        name = str(connection.settings_dict["NAME"])
        self.environment = {
            **{key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")},
            "EMEND_VAR_DIR": str(django_settings.VAR_DIR), "EMEND_SECRET_KEY": "test", "EMEND_ML_THREADS": "1",
            "EMEND_SMOKE_TEST": "0",
            "DATABASE_URL": os.environ.get("DATABASE_URL", "").rpartition("/")[0] + f"/{name}"
            if connection.vendor == "postgresql" else f"sqlite:///{name}",
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "celery", "-A", "config", "worker", "-Q", "default,gpu", "-P", "threads"]
        self.process = subprocess.Popen(
            [*command, "-c", "2", "--loglevel", "ERROR"], cwd=django_settings.BASE_DIR, env=self.environment
        )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def lose_all_messages(self) -> None:
        """The broker dies with what it held."""
        shutil.rmtree(Path(django_settings.VAR_DIR) / "broker", ignore_errors=True)


def learnt(job: Job) -> dict[int, tuple[float, ...]]:
    """The losses by step. A resumed run repeats the steps that its checkpoint did not hold: the last one counts."""
    names = ("loss", "grad_norm", "learning_rate", "token_accuracy")
    events = job.events.filter(code="metrics").order_by("number")
    return {event.data["step"]: tuple(event.data[name] for name in names) for event in events}


def n_metrics(job: Job) -> int:
    return Event.objects.filter(job=job, code="metrics").count()


def kill_trainer(job: Job) -> None:
    pid = int((job.run_dir / runner.PID_FILE).read_text())
    os.killpg(pid, signal.SIGKILL)


def wait_for_steps(job: Job, n: int, worker: Worker) -> Callable[[], bool]:
    def is_there() -> bool:
        assert worker.process is not None
        assert worker.process.poll() is None
        return n_metrics(job) >= n or Job.objects.get(pk=job.pk).has_ended

    return is_there


def test_killed_five_times_a_job_ends_as_if_nothing_had_been(project, tiny_model: BaseModel, tmp_path: Path) -> None:  # noqa: F811
    for n in range(12):
        make_correction(project, f"what is the cat number {n}")
    version = freeze_dataset(project=project)
    hyperparameters = {"n_epochs": 50, "batch_size": 1}  # 600 steps: a fast machine makes fifty in a second
    whole = create_job(dataset_version=version, base_model=tiny_model, hyperparameters=hyperparameters, seed=7)
    execute_job(job=Job.objects.get(pk=whole.pk))
    whole.refresh_from_db()
    assert whole.state == JobState.SUCCEEDED, whole.error

    job = create_job(dataset_version=version, base_model=tiny_model, hyperparameters=hyperparameters, seed=7)
    draw, worker = random.Random(20), Worker()
    worker.start()
    try:
        wait_until(lambda: job.events.filter(code="checkpoint").exists())  # before it there is nothing to go on from
        for killed in KILLS:
            wait_until(wait_for_steps(job, n_metrics(job) + draw.randint(1, whole.n_steps // 20), worker))
            assert not Job.objects.get(pk=job.pk).has_ended, "it was over before it could be killed"
            if killed == "trainer":
                kill_trainer(job)
                continue
            worker.kill()
            if killed.startswith("broker"):
                worker.lose_all_messages()
            worker.start()
        wait_until(lambda: Job.objects.get(pk=job.pk).has_ended)
    finally:
        worker.kill()
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED, (job.error, (job.run_dir / runner.LOG_FILE).read_text()[-2000:])
    numbers = list(job.events.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))
    codes = list(job.events.order_by("number").values_list("code", flat=True))
    assert codes.count("started") == 1
    assert codes.count("running") == 1 + len(KILLS)
    assert learnt(job) == learnt(whole)
    assert set(learnt(job)) == set(range(1, job.n_steps + 1))
    weights = [(each.run_dir / "model" / "model.safetensors").read_bytes() for each in (whole, job)]
    assert weights[0] == weights[1]
