from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone

from common.models import Transition
from tests.factories import JobFactory, TunedModelFactory
from tests.training.conftest import make_correction
from training.actions import runner
from training.actions.checkpoint import merge_checkpoint, note_checkpoints, recover_checkpoints, request_model
from training.actions.dataset import freeze_dataset
from training.actions.errors import NotPossible
from training.actions.job import append_event, create_job, execute_job
from training.models import Checkpoint, Job, TunedModel
from training.queries.checkpoint import list_checkpoints
from training.states import CheckpointState, JobState


@pytest.fixture
def nudges(monkeypatch) -> list[int]:
    sent: list[int] = []
    monkeypatch.setattr("training.tasks.merge_checkpoint.delay", sent.append)
    return sent


@pytest.fixture
def job(project, base_model, trainer, settings) -> Job:
    """A job that has kept the checkpoints of two steps and made a model of the second."""
    settings.KEPT_CHECKPOINTS = 5
    trainer("checkpoints")
    for n in range(3):
        make_correction(project, f"What is it, number {n}?")
    job = create_job(dataset_version=freeze_dataset(project=project), base_model=base_model, suffix="club")
    job.refresh_from_db()
    assert execute_job(job=job)
    return Job.objects.get(pk=job.pk)


def checkpoint(job: Job, step: int = 1) -> Checkpoint:
    return Checkpoint.objects.select_related("job__base_model", "model").get(job=job, step=step)


def test_a_job_keeps_the_weights_of_its_checkpoints_and_what_was_measured(job) -> None:
    assert job.state == JobState.SUCCEEDED, job.error
    config = runner.read_json(job.run_dir / "config.json")
    assert (config["kept_checkpoints"], config["smoke_test"]) == (5, True)
    last, first = list_checkpoints(job)
    assert (last.row.step, last.row.valid_loss, last.row.size_bytes) == (2, 1.5, 2_000_000)
    assert (last.is_best, last.is_last, last.is_result) == (True, True, True)
    assert (first.is_best, first.is_last, first.is_result) == (False, False, False)
    assert sorted(path.name for path in first.row.folder.iterdir()) == ["adapter_model.safetensors", "complete"]


def test_what_the_trainer_no_longer_keeps_is_forgotten_and_a_repeated_step_counts_once(project) -> None:
    job = JobFactory(project=project)
    at = "2026-01-02T03:04:05.678+00:00"
    for step, kept in ((5, [5]), (10, [5, 10]), (10, [5, 10]), (15, [5, 15])):
        note_checkpoints(
            job=job, lines=[{"code": "checkpoint", "at": at, "data": {"step": step, "loss": 1.0, "kept": kept}}]
        )
    assert list(job.checkpoints.values_list("step", flat=True)) == [5, 15]


def test_a_checkpoint_becomes_a_model_with_a_name_and_a_card(
    job, alice, nudges, django_capture_on_commit_callbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        request_model(checkpoint=checkpoint(job), by=alice)
        request_model(checkpoint=checkpoint(job), by=alice)  # a double click
    assert nudges == [checkpoint(job).pk]
    merge_checkpoint(checkpoint=checkpoint(job))
    row = checkpoint(job)
    assert row.state == CheckpointState.MADE, row.problem
    assert row.model is not None
    assert row.model.name == f"{job.tuned_model.name}:ckpt-step-1"
    assert row.model.folder == job.run_dir / "step-1" / "model"
    assert "after step 1 of 4" in (row.model.folder / "README.md").read_text()
    assert TunedModel.objects.named(row.model.name).get().job == job
    assert Job.objects.get(pk=job.pk).tuned_model.name == f"ft:{job.base_model.slug}:emend:club:{job.key[-8:]}"
    assert Transition.objects.filter(subject_pk=row.pk, after="made", by_pk=alice.pk).exists()
    merge_checkpoint(checkpoint=row)  # a second message
    assert TunedModel.objects.count() == 2
    request_model(checkpoint=row, by=alice)
    assert checkpoint(job).state == CheckpointState.MADE


def test_while_the_job_may_go_on_its_checkpoints_are_its_own(project, alice) -> None:
    row = Checkpoint.objects.create(job=JobFactory(project=project, state="paused"), step=1, created_at=timezone.now())
    with pytest.raises(NotPossible, match="once the job has ended"):
        request_model(checkpoint=row, by=alice)
    row.job.state = JobState.FAILED
    with pytest.raises(NotPossible, match="no longer there"):
        request_model(checkpoint=row, by=alice)


def test_what_goes_wrong_is_said_and_can_be_tried_again(job, alice, trainer, nudges) -> None:
    request_model(checkpoint=checkpoint(job), by=alice)
    trainer("crash")
    merge_checkpoint(checkpoint=checkpoint(job))
    row = checkpoint(job)
    assert (row.state, row.problem) == (CheckpointState.FAILED, "Traceback: nothing works")
    request_model(checkpoint=row, by=alice)
    assert (checkpoint(job).state, checkpoint(job).problem) == (CheckpointState.WAITING, "")


def test_what_a_dead_worker_left_is_taken_up_a_few_times(job, nudges) -> None:
    rows = Checkpoint.objects.filter(pk=checkpoint(job).pk)
    rows.update(state=CheckpointState.MERGING, seen_at=None, n_attempts=2)
    recover_checkpoints()
    assert checkpoint(job).state == CheckpointState.WAITING
    rows.update(state=CheckpointState.MERGING, n_attempts=3)
    recover_checkpoints()
    assert checkpoint(job).state == CheckpointState.FAILED
    assert nudges == [checkpoint(job).pk]


def test_the_page_lists_them_and_has_a_button(job, sign_in, alice, rita, charlie, nudges) -> None:
    page = sign_in(alice).get(reverse("training-job-show", args=["kitchen", job.key]))
    text = page.content.decode()
    url = reverse("training-checkpoint-model", args=["kitchen", job.key, 1])
    assert text.count("Make it a model") == 1  # the last one is the model
    assert f'action="{url}"' in text
    assert "best" in text
    assert sign_in(rita).post(url).status_code == 403
    assert sign_in(charlie).post(url).status_code == 404
    assert sign_in(alice).get(url).status_code == 405
    assert sign_in(alice).post(url.replace("/1/", "/7/")).status_code == 404
    assert sign_in(alice).post(url).status_code == 302
    assert checkpoint(job).state == CheckpointState.WAITING
    text = sign_in(alice).get(reverse("training-job-show", args=["kitchen", job.key])).content.decode()
    assert "is being made" in text
    assert "hx-get" in text  # until it is made
    assert "data-stream" not in text


def test_the_first_answers_are_shown(project, sign_in, alice) -> None:
    job = JobFactory(project=project, state=JobState.FAILED, error_kind="model", error="It was blown up.")
    sample = {"prompt": "Who?", "right": "Me.", "answer": "ha ha ha", "is_stopped": False, "problem": "loops"}
    facts = {"problem": "garbage", "split": "train", "n": 1, "n_sound": 0, "n_stopped": 0, "loss": None}
    append_event(job, "smoke_test", {**facts, "samples": [sample]})
    text = sign_in(alice).get(reverse("training-job-show", args=["kitchen", job.key])).content.decode()
    for words in ("ha ha ha", "goes round in circles", "Not sound", "does not answer as a model should"):
        assert words in text


def test_the_api_names_the_model_of_a_checkpoint(job, api, alice, nudges) -> None:
    request_model(checkpoint=checkpoint(job), by=alice)
    url = f"/v1/fine_tuning/jobs/{job.key}/checkpoints"
    Job.objects.filter(pk=job.pk).update(training_file=None)
    assert api.get(url).status_code == 404
    merge_checkpoint(checkpoint=checkpoint(job))
    from training.api.shapes import checkpoint_shapes

    last, first = checkpoint_shapes(job)
    assert last["fine_tuned_model_checkpoint"] == job.tuned_model.name
    assert first["fine_tuned_model_checkpoint"] == f"{job.tuned_model.name}:ckpt-step-1"
    assert first["metrics"] == {"step": 1, "train_loss": 2.0, "valid_loss": 2.5, "valid_mean_token_accuracy": 0.25}


def test_a_model_of_a_checkpoint_is_deleted_by_itself(job, alice, nudges) -> None:
    from training.actions.registry import delete_model

    request_model(checkpoint=checkpoint(job), by=alice)
    merge_checkpoint(checkpoint=checkpoint(job))
    made = checkpoint(job).model
    delete_model(model=made)
    assert not made.is_ready
    assert Path(job.tuned_model.folder, "config.json").exists()
    assert TunedModelFactory._meta.model.everything.filter(pk=made.pk).exists()
