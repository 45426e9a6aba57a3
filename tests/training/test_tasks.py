import threading

from celery.signals import worker_ready, worker_shutting_down

from tests.training.conftest import make_correction
from training import tasks
from training.actions import runner
from training.actions.dataset import freeze_dataset
from training.actions.evaluation import request_evaluation
from training.actions.job import create_job
from training.states import EvaluationState, JobState


def test_the_tasks_run_what_waits(project, base_model, trainer) -> None:
    trainer("succeed")
    make_correction(project, "One?")
    job = create_job(dataset_version=freeze_dataset(project=project))
    evaluation = request_evaluation(project=project, base_model=base_model)
    tasks.run_job(job.pk)
    tasks.run_evaluation(evaluation.pk)
    job.refresh_from_db()
    evaluation.refresh_from_db()
    assert (job.state, evaluation.state) == (JobState.SUCCEEDED, EvaluationState.SUCCEEDED)


def test_the_gpu_queue_is_for_training_alone(settings) -> None:
    queues = {name: route["queue"] for name, route in settings.CELERY_TASK_ROUTES.items()}
    assert queues == {tasks.run_job.name: "gpu", tasks.run_evaluation.name: "gpu"}


def test_a_worker_that_starts_looks_for_what_was_left(monkeypatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(tasks.sweep, "delay", lambda: calls.append("sweep"))
    worker_ready.send(sender=None)
    assert calls == ["sweep"]


def test_a_worker_that_leaves_puts_its_run_back_and_the_next_resumes(
    project, base_model, trainer, while_running, monkeypatch
) -> None:
    trainer("wait")
    monkeypatch.setattr(runner, "SHUTDOWN", threading.Event())
    monkeypatch.setattr(runner, "GRACE_S", 0.01)
    make_correction(project, "One?")
    job = create_job(dataset_version=freeze_dataset(project=project))
    while_running(lambda: worker_shutting_down.send(sender=None))
    tasks.run_job(job.pk)
    evaluation = request_evaluation(project=project, base_model=base_model)
    tasks.run_evaluation(evaluation.pk)
    job.refresh_from_db()
    evaluation.refresh_from_db()
    assert (job.state, evaluation.state) == (JobState.QUEUED, EvaluationState.QUEUED)
    runner.SHUTDOWN.clear()
    trainer("succeed")
    tasks.run_job(job.pk)
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED
