import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from common.conversations import digest
from labeling.models import Probe, RegressionTest
from tests.factories import BaseModelFactory, JobFactory
from tests.training.conftest import make_correction
from training.actions import runner
from training.actions.dataset import freeze_dataset
from training.actions.errors import NotPossible
from training.actions.job import cancel_job, create_job
from training.actions.preflight import estimate, preflight_job, start_job
from training.actions.recovery import recover
from training.models import BaseModel, Job, JobPreflight
from training.preflight_words import PROBLEMS, WARNINGS, problem_sentence
from training.states import ErrorKind, JobState

LONG = "When does the ferry to the island leave in the morning on Sundays in May and what does it cost for two people with a dog"


@pytest.fixture(autouse=True)
def looked_at(monkeypatch) -> list[int]:
    """What was asked to be looked at; nothing is done by itself."""
    asked: list[int] = []
    monkeypatch.setattr("training.actions.job.ask_for_preflight", lambda job: asked.append(job.pk))
    return asked


@pytest.fixture
def nudges(monkeypatch) -> list[int]:
    sent: list[int] = []
    monkeypatch.setattr("training.tasks.run_job.delay", sent.append)
    return sent


def make_job(project, **more) -> Job:
    make_correction(project, "What colour is the sky?")
    return create_job(dataset_version=freeze_dataset(project=project), **more)


def test_a_job_is_queued_once_it_was_looked_at(
    project, base_model, trainer, looked_at, nudges, django_capture_on_commit_callbacks
) -> None:
    trainer("succeed")
    job = make_job(project)
    assert (job.state, looked_at, nudges) == (JobState.VALIDATING_FILES, [job.pk], [])
    with django_capture_on_commit_callbacks(execute=True):
        preflight_job(job=job)
    assert (job.state, nudges) == (JobState.QUEUED, [job.pk])
    preflight = JobPreflight.objects.get(job=job)
    assert preflight.finished_at
    assert preflight.report["n_steps"] == 4
    assert "problems" not in preflight.report
    preflight_job(job=job)  # a second nudge
    assert JobPreflight.objects.get(job=job).finished_at == preflight.finished_at


def test_a_person_looks_first_and_starts_it(project, base_model, trainer, alice, nudges) -> None:
    trainer("succeed")
    job = make_job(project, waits_for_start=True)
    with pytest.raises(NotPossible):
        start_job(job=job, by=alice)
    preflight_job(job=job)
    assert job.state == JobState.VALIDATING_FILES
    assert json.loads((job.run_dir / "config.json").read_text())["measures_speed"] is True
    found = JobPreflight.objects.get(job=job).estimate
    assert found == {
        "basis": "measured",
        "n_runs": 0,
        "n_tokens": 300,
        "seconds": 100.0,
        "low_s": 33.3,
        "high_s": 300.0,
    }
    start_job(job=job, by=alice)
    assert job.state == JobState.QUEUED
    with pytest.raises(NotPossible):
        start_job(job=job, by=alice)


def test_what_stops_a_job_fails_it_with_the_reason_before_it_takes_a_place(project, base_model, trainer) -> None:
    trainer("data")
    job = make_job(project)
    preflight_job(job=job)
    assert (job.state, job.error_kind, job.started_at) == (JobState.FAILED, "data", None)
    assert job.error == "Not one token would be learnt: all answers of the 1 rows are empty, or their weight is 0."
    with pytest.raises(NotPossible):
        start_job(job=job)


def test_what_will_cost_more_than_it_may_is_not_started(project, base_model, trainer) -> None:
    trainer("succeed")
    BaseModel.objects.update(training_price=Decimal("10"))
    version = freeze_dataset(project=make_correction(project, "What colour is the sky?").project)
    dear = create_job(dataset_version=version, most_price=Decimal("2.99"))
    preflight_job(job=dear)
    assert (dear.state, dear.error_kind) == (JobState.FAILED, ErrorKind.BUDGET)
    assert dear.error == "It would cost 3.00, and 2.99 is the most that it may cost."
    allowed = create_job(dataset_version=version, most_price=Decimal("3.00"))
    preflight_job(job=allowed)
    assert allowed.state == JobState.QUEUED


@pytest.mark.parametrize(
    ("asked", "probed"),
    [
        ("What colour is the sky?", "What colour is the sky?"),
        (f"{LONG}?", f"So, {LONG.lower()}"),
    ],
)
def test_a_leak_that_came_after_the_freeze_stops_it_without_a_process(
    project, base_model, trainer, asked, probed
) -> None:
    trainer("crash")
    make_correction(project, asked)
    version = freeze_dataset(project=project)
    correction = make_correction(project, "How deep is the sea?").correction
    other, texts = correction.case, {"chosen": "Deep.", "rejected": "Flat."}
    test = RegressionTest.objects.create(
        project=project, case=other, correction=correction, messages=other.messages, **texts
    )
    prompt = [{"role": "user", "content": probed}]
    Probe.objects.create(test=test, messages=prompt, prompt_hash=digest(prompt))
    job = create_job(dataset_version=version)
    preflight_job(job=job)
    assert (job.state, job.error_kind) == (JobState.FAILED, "data")
    assert f"“{probed}”" in job.error
    assert f"#{other.pk}" in job.error


def test_a_process_that_breaks_down_is_said(project, base_model, trainer) -> None:
    trainer("crash")
    job = make_job(project)
    preflight_job(job=job)
    assert (job.state, job.error_kind, job.error) == (JobState.FAILED, "code", "Traceback: nothing works")


def test_a_run_directory_that_is_gone_is_said(project, base_model) -> None:
    job = make_job(project)
    (job.run_dir / "config.json").unlink()
    preflight_job(job=job)
    assert (job.state, job.error_kind) == (JobState.FAILED, "disk")


def test_a_job_that_was_cancelled_meanwhile_stays_cancelled(project, base_model, trainer) -> None:
    trainer("succeed")
    job = make_job(project)
    stale = Job.objects.get(pk=job.pk)
    cancel_job(job=job)
    preflight_job(job=stale)
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED


def test_two_workers_do_not_look_at_the_same_job(project, base_model, trainer) -> None:
    trainer("crash")
    job = make_job(project)
    JobPreflight.objects.filter(job=job).update(heartbeat_at=timezone.now(), worker="elsewhere:1")
    preflight_job(job=job)
    assert job.state == JobState.VALIDATING_FILES


def test_a_worker_that_leaves_gives_it_back(project, base_model, trainer, monkeypatch) -> None:
    trainer("wait")
    job = make_job(project)
    monkeypatch.setattr(runner.SHUTDOWN, "is_set", lambda: True)
    preflight_job(job=job)
    preflight = JobPreflight.objects.get(job=job)
    assert (job.state, preflight.heartbeat_at, preflight.finished_at) == (JobState.VALIDATING_FILES, None, None)


def test_the_sweep_takes_up_what_a_dead_worker_left_but_not_what_waits(project, base_model, looked_at) -> None:
    job = make_job(project)
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(minutes=5))
    looked_at.clear()
    preflight = JobPreflight.objects.filter(job=job)
    for fields, expected in (
        ({"heartbeat_at": timezone.now()}, []),
        ({"heartbeat_at": timezone.now() - timedelta(minutes=2)}, [job.pk]),
        ({"finished_at": timezone.now()}, []),
    ):
        preflight.update(**fields)
        recover()
        assert looked_at == expected
        looked_at.clear()


def test_former_runs_of_the_same_base_model_come_first(project, base_model) -> None:
    base_model.n_parameters = 100
    base_model.save()
    report = {"n_tokens_seen": 800, "n_tokens_general": 200}
    job = JobFactory(project=project, base_model=base_model)
    assert estimate(job, report) == {"basis": "none", "n_runs": 0, "n_tokens": 1000}
    job.base_model.training_price = Decimal("1.25")
    assert estimate(job, report)["price"] == "1.25"
    half = BaseModelFactory(slug="half", n_parameters=50, is_default=False)
    JobFactory(state=JobState.SUCCEEDED, base_model=half, result={"duration_s": 10, "n_tokens": 1000})
    found = estimate(job, report)
    assert (found["basis"], found["seconds"], found["low_s"], found["high_s"]) == ("other", 20, 5, 80)
    JobFactory(state=JobState.SUCCEEDED, base_model=base_model, result={"duration_s": 30, "n_tokens": 1000})
    assert estimate(job, report)["seconds"] == 30
    looked = JobFactory(state=JobState.SUCCEEDED, base_model=base_model, result={"duration_s": 30, "n_tokens": 1000})
    JobPreflight.objects.create(job=looked, estimate={"n_tokens": 500})
    found = estimate(job, report)
    assert (found["basis"], found["n_runs"], found["seconds"]) == ("same", 1, 60)
    JobFactory(state=JobState.FAILED, base_model=base_model, result={"duration_s": 1, "n_tokens": 1000})
    assert estimate(job, report) == found


@pytest.mark.parametrize("code", [*PROBLEMS, *WARNINGS, "a newer one"])
def test_every_reason_has_its_sentence(code) -> None:
    values = {"n": 3, "line": 2, "reason": "No.", "token": "<e>", "served": ["<f>"], "prompt": "Why?", "cases": [1]}
    sentence = problem_sentence({"code": code, "needed_bytes": 2048, "free_bytes": 1024, **values})
    assert sentence
    assert "%(" not in sentence
