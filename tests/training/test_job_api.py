"""/v1/fine_tuning/jobs."""

import csv
import io
import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.training.api import (
    as_jsonl,
    chat_rows,
    completion_rows,
    error_of,
    post,
    preference_rows,
    read_stream,
    upload,
)
from training.actions.job import execute_job
from training.models import BaseModel, Job, TunedModel
from training.states import JobState

pytestmark = pytest.mark.django_db
JOBS = "/v1/fine_tuning/jobs"


@pytest.fixture
def training_file(api: Client, base_model: BaseModel) -> str:
    return upload(api, as_jsonl(chat_rows(12))).json()["id"]


@pytest.fixture
def create(api: Client, training_file: str, base_model: BaseModel):
    def create(**fields: Any) -> dict[str, Any]:
        response = post(api, JOBS, {"model": base_model.slug, "training_file": training_file, **fields})
        assert response.status_code == 200, response.content
        return response.json()

    return create


@pytest.fixture
def run(trainer):
    def run(key: str, mode: str = "succeed") -> None:
        trainer(mode)
        execute_job(job=Job.objects.get(key=key))

    return run


def test_a_job_echoes_what_was_asked(api: Client, create, training_file: str) -> None:
    valid = upload(api, as_jsonl(chat_rows(2)), name="valid.jsonl").json()["id"]
    shape = create(
        validation_file=valid,
        suffix="My Suffix!",
        seed=42,
        metadata={"team": "a"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": "auto"}}},
    )
    job = Job.objects.get()
    hyperparameters = {"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": "auto"}
    assert shape == {
        "id": job.key,
        "object": "fine_tuning.job",
        "created_at": int(job.created_at.timestamp()),
        "finished_at": None,
        "model": "smollm2-135m-instruct",
        "fine_tuned_model": None,
        "organization_id": "org-emend",
        "status": "queued",
        "training_file": training_file,
        "validation_file": valid,
        "result_files": [],
        "trained_tokens": None,
        "estimated_finish": None,
        "error": None,
        "hyperparameters": hyperparameters,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "seed": 42,
        "integrations": [],
        "metadata": {"team": "a"},
        "user_provided_suffix": "My Suffix!",
    }
    assert (job.dataset_version.n_train, job.dataset_version.n_valid) == (12, 2)
    assert api.get(f"{JOBS}/{job.key}").json() == shape


def test_hyperparameters_reach_the_trainer(create) -> None:
    shape = create(hyperparameters={"n_epochs": 3, "batch_size": 2, "learning_rate_multiplier": 0.5})
    job = Job.objects.get()
    assert shape["hyperparameters"] == {"n_epochs": 3, "batch_size": 2, "learning_rate_multiplier": 0.5}
    config = json.loads((job.run_dir / "config.json").read_text())
    assert config["hyperparameters"] == {
        "n_epochs": 3,
        "demonstration_epochs": 3,
        "patience": 0,
        "batch_size": 2,
        "learning_rate_multiplier": 0.5,
    }
    assert config["recipe"] == "many_rows"
    assert 0 <= shape["seed"] < 2**31


def test_the_older_hyperparameters_fill_what_the_method_leaves_open(create) -> None:
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}}
    shape = create(method=method, hyperparameters={"n_epochs": 9, "batch_size": 4})
    assert (shape["hyperparameters"]["n_epochs"], shape["hyperparameters"]["batch_size"]) == (2, 4)


def test_preferences_are_trained_with_dpo(api: Client, create) -> None:
    key = upload(api, as_jsonl(preference_rows(12))).json()["id"]
    shape = create(training_file=key, method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1, "n_epochs": 1}}})
    assert shape["method"]["dpo"]["hyperparameters"]["beta"] == 0.1
    job = Job.objects.get()
    config = json.loads((job.run_dir / "config.json").read_text())["hyperparameters"]
    assert config == {"beta": 0.1, "n_epochs": 1}
    row = json.loads((job.run_dir / "train.jsonl").read_text().splitlines()[0])
    assert (row["kind"], row["rejected"]) == ("correction", "Hello.")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "no-such-model"}, "model"),
        ({"model": None}, "model"),
        ({"model": ["x"]}, "model"),
        ({"training_file": None}, "training_file"),
        ({"training_file": "file-nope"}, "training_file"),
        ({"validation_file": "file-nope"}, "validation_file"),
        ({"suffix": "s" * 65}, "suffix"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": "many"}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": True}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": 10**400}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"batch_size": 2.5}}, "hyperparameters.batch_size"),
        ({"hyperparameters": {"learning_rate_multiplier": 0}}, "hyperparameters.learning_rate_multiplier"),
        ({"hyperparameters": []}, "hyperparameters"),
        ({"hyperparameters": {"compute_multiplier": 1}}, "hyperparameters.compute_multiplier"),
        (
            {"method": {"type": "supervised", "supervised": {"hyperparameters": {"beta": 0.1}}}},
            "method.supervised.hyperparameters.beta",
        ),
        ({"method": {"type": "telepathy"}}, "method.type"),
        ({"method": {"dpo": {}}}, "method.type"),
        ({"method": {"type": "supervised", "dpo": {"hyperparameters": {"beta": 0.1}}}}, "method.dpo"),
        ({"method": {"type": "dpo"}}, "training_file"),
        ({"metadata": {f"k{n}": "v" for n in range(17)}}, "metadata"),
        ({"integrations": [{"type": "other"}]}, "integrations[0]"),
    ],
)
def test_what_is_wrong_is_named(api: Client, training_file: str, fields: dict[str, Any], param: str) -> None:
    response = post(api, JOBS, {"model": "smollm2-135m-instruct", "training_file": training_file, **fields})
    assert response.status_code == 400
    assert error_of(response)["param"] == param
    assert not Job.objects.exists()


def test_preferences_need_dpo(api: Client, base_model: BaseModel) -> None:
    key = upload(api, as_jsonl(preference_rows(12))).json()["id"]
    response = post(api, JOBS, {"model": base_model.slug, "training_file": key})
    assert error_of(response)["code"] == "invalid_file_format"


def test_a_deleted_file_cannot_be_trained_on(api: Client, training_file: str) -> None:
    api.delete(f"/v1/files/{training_file}")
    response = post(api, JOBS, {"model": "curie", "training_file": training_file})
    assert error_of(response)["param"] == "training_file"


def test_fewer_than_ten_examples_fail_the_job(api: Client, create) -> None:
    key = upload(api, as_jsonl(chat_rows(3))).json()["id"]
    shape = create(training_file=key)
    assert shape["status"] == "failed"
    assert shape["error"] == {
        "code": "invalid_n_examples",
        "message": "Training file has 3 example(s), but must have at least 10 examples",
        "param": "training_file",
    }
    assert shape["finished_at"]
    newest = api.get(f"{JOBS}/{shape['id']}/events").json()["data"][0]
    assert (newest["level"], newest["message"]) == ("error", shape["error"]["message"])


def test_a_finished_job_has_a_model_a_result_file_and_a_checkpoint(api: Client, create, run) -> None:
    key = create(suffix="first", method={"type": "supervised"})["id"]
    run(key)
    shape = api.get(f"{JOBS}/{key}").json()
    model = TunedModel.objects.get()
    assert (shape["status"], shape["fine_tuned_model"]) == ("succeeded", model.name)
    assert model.name.split(":")[:4] == ["ft", "smollm2-135m-instruct", "emend", "first"]
    (result,) = shape["result_files"]
    file = api.get(f"/v1/files/{result}").json()
    assert (file["purpose"], file["filename"]) == ("fine-tune-results", "step_metrics.csv")
    rows = list(csv.DictReader(io.StringIO(read_stream(api.get(f"/v1/files/{result}/content")).decode())))
    assert [(row["step"], row["train_loss"], row["valid_loss"]) for row in rows] == [("1", "2", ""), ("2", "1", "")]
    page = api.get(f"{JOBS}/{key}/checkpoints").json()
    (checkpoint,) = page["data"]
    assert (checkpoint["fine_tuned_model_checkpoint"], checkpoint["step_number"]) == (model.name, 2)
    assert page["has_more"] is False
    assert api.get(f"{JOBS}/{key}/checkpoints", {"after": checkpoint["id"]}).json()["data"] == []


def test_a_job_goes_on_from_a_fine_tuned_model(api: Client, create, run) -> None:
    run(create()["id"])
    model = TunedModel.objects.get()
    job = Job.objects.get(key=create(model=model.name)["id"])
    assert (job.parent, job.base_model) == (model, model.base_model)
    assert json.loads((job.run_dir / "config.json").read_text())["base"] == str(model.folder)


def test_a_failed_job_says_why(api: Client, create, run) -> None:
    key = create()["id"]
    run(key, "data")
    error = api.get(f"{JOBS}/{key}").json()["error"]
    assert error == {"code": "invalid_training_file", "message": "Row 3 is empty.", "param": "training_file"}


def test_events_are_newest_first_and_have_pages(api: Client, create, run) -> None:
    key = create()["id"]
    run(key)
    path = f"{JOBS}/{key}/events"
    events = api.get(path).json()["data"]
    model = TunedModel.objects.get()
    assert [event["message"] for event in reversed(events)] == [
        f"Created fine-tuning job: {key}",
        f"Validating training file: {Job.objects.get().training_file.key}",
        "Files validated, moving job to queued state",
        "Fine-tuning job started",
        "Step 1/4: training loss=2.00",
        "Step 2/4: training loss=1.00",
        f"New fine-tuned model created: {model.name}",
        "The job has successfully completed",
    ]
    metrics = [event for event in events if event["type"] == "metrics"]
    assert metrics[0]["data"] == {"step": 2, "total_steps": 4, "train_loss": 1.0}
    times = [event["created_at"] for event in events]
    assert times == sorted(times, reverse=True)
    walked: list[dict[str, Any]] = []
    page = {"has_more": True, "data": [], "last_id": ""}
    while page["has_more"]:
        page = api.get(path, {"limit": 3, "after": page["last_id"]}).json()
        walked += page["data"]
    assert walked == events
    assert api.get(path, {"after": "ftevent-other000001"}).status_code == 400


def test_repeated_rows_and_integrations_are_said(api: Client, create) -> None:
    key = upload(api, as_jsonl(chat_rows(6) + chat_rows(6))).json()["id"]
    wanted = [{"type": "wandb", "wandb": {"project": "p", "tags": ["t"]}}]
    shape = create(training_file=key, integrations=wanted)
    assert shape["integrations"] == wanted
    events = api.get(f"{JOBS}/{shape['id']}/events").json()["data"]
    assert [event["level"] for event in events[:2]] == ["warn", "warn"]
    assert "6 row(s)" in events[1]["message"]
    assert Job.objects.get().dataset_version.n_train == 12


def test_pausing_resuming_and_cancelling(api: Client, create) -> None:
    key = create()["id"]
    assert post(api, f"{JOBS}/{key}/pause").json()["status"] == "paused"
    assert post(api, f"{JOBS}/{key}/pause").json()["status"] == "paused"
    assert post(api, f"{JOBS}/{key}/resume").json()["status"] == "queued"
    shape = post(api, f"{JOBS}/{key}/cancel").json()
    assert (shape["status"], shape["fine_tuned_model"]) == ("cancelled", None)
    assert shape["finished_at"]
    for verb in ("cancel", "pause", "resume"):
        response = post(api, f"{JOBS}/{key}/{verb}")
        assert response.status_code == 400
        error_of(response)


def test_a_running_job_is_cancelled_at_once_for_the_client(api: Client, create) -> None:
    key = create()["id"]
    Job.objects.update(state=JobState.RUNNING, worker="host:1", heartbeat_at=timezone.now(), remaining_s=60)
    running = api.get(f"{JOBS}/{key}").json()
    assert running["estimated_finish"] > running["created_at"]
    assert post(api, f"{JOBS}/{key}/cancel").json()["status"] == "cancelled"
    assert post(api, f"{JOBS}/{key}/cancel").status_code == 400
    assert api.get(f"{JOBS}/{key}").json()["status"] == "cancelled"


def test_lists_have_pages_and_a_filter(api: Client, create, stranger: Client) -> None:
    first, second = create(metadata={"a": "1", "b.c[d]": ""})["id"], create(metadata={"a": "2"})["id"]
    third = create()["id"]
    ids = lambda **query: [job["id"] for job in api.get(JOBS, query).json()["data"]]  # noqa: E731
    assert ids() == [third, second, first]
    assert ids(limit=1, after=third) == [second]
    assert ids(**{"metadata[a]": "1"}) == [first]
    assert ids(**{"metadata[b.c[d]]": ""}) == [first]
    assert ids(**{"metadata[a]": "1", "metadata[b]": "x"}) == []
    assert ids(metadata="null") == [third]
    assert api.get(JOBS, {"limit": 2}).json()["has_more"] is True
    assert stranger.get(JOBS).json()["data"] == []


def test_lists_take_the_same_queries_for_one_job_and_for_three(api: Client, create, count_queries) -> None:
    create()
    _, n_one = count_queries(lambda: api.get(JOBS))
    create()
    create()
    assert count_queries(lambda: api.get(JOBS))[1] == n_one


@pytest.mark.parametrize(
    ("method", "path"), [("get", ""), ("post", "/cancel"), ("get", "/events"), ("get", "/checkpoints")]
)
def test_unknown_jobs_get_404(api: Client, stranger: Client, create, method: str, path: str) -> None:
    key = create()["id"]
    for client, name in ((api, "ftjob-nope"), (stranger, key)):
        response = getattr(client, method)(f"{JOBS}/{name}{path}")
        assert response.status_code == 404
        assert error_of(response)["code"] == "fine_tune_not_found"


def test_prompts_and_completions_are_trained_on_as_turns(api: Client, create) -> None:
    create(training_file=upload(api, as_jsonl(completion_rows(10))).json()["id"])
    row = json.loads((Job.objects.get().run_dir / "train.jsonl").read_text().splitlines()[0])
    assert [(turn["role"], turn["content"]) for turn in row["messages"]] == [
        ("user", "Question 0 ->"),
        ("assistant", " answer 0\n"),
    ]
