"""/v1/fine-tunes, the legacy form, and the names of its models."""

import csv
import io
import json
import re
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient, Client

from labeling.actions.api_key import create_key
from labeling.models import Project
from tests.training.api import as_jsonl, completion_rows, error_of, post, read_stream, upload
from training.actions import registry
from training.actions.errors import ModelInUse
from training.actions.job import execute_job
from training.actions.wire_job import cancel_wire_job
from training.api import fine_tune
from training.models import BaseModel, Job, TunedModel
from training.queries import find_base_model

pytestmark = pytest.mark.django_db
FINE_TUNES = "/v1/fine-tunes"


@pytest.fixture
def training_file(api: Client, base_model: BaseModel) -> str:
    return upload(api, as_jsonl(completion_rows(4))).json()["id"]


@pytest.fixture
def create(api: Client, training_file: str):
    def create(**fields: Any) -> dict[str, Any]:
        response = post(api, FINE_TUNES, {"training_file": training_file, **fields})
        assert response.status_code == 200, response.content
        return response.json()

    return create


@pytest.fixture
def run(trainer):
    def run(key: str, mode: str = "succeed") -> None:
        trainer(mode)
        execute_job(job=Job.objects.get(key=key))

    return run


def messages(shape: dict[str, Any]) -> list[str]:
    return [event["message"] for event in shape["events"]]


def test_a_fine_tune_has_the_known_defaults(create, training_file: str) -> None:
    shape = create()
    job = Job.objects.get()
    assert re.fullmatch(r"ft-\w{24}", job.key)
    assert (shape["object"], shape["id"], shape["model"], shape["status"]) == ("fine-tune", job.key, "curie", "pending")
    assert shape["hyperparams"] == {
        "n_epochs": 4,
        "batch_size": None,
        "learning_rate_multiplier": None,
        "prompt_loss_weight": 0.01,
    }
    assert shape["training_files"][0]["id"] == training_file
    assert shape["training_files"][0]["purpose"] == "fine-tune"
    assert (shape["validation_files"], shape["result_files"], shape["fine_tuned_model"]) == ([], [], None)
    assert shape["created_at"] <= shape["updated_at"]
    assert messages(shape) == [
        f"Created fine-tune: {job.key}",
        "Fine-tune costs $0.00",
        "Fine-tune enqueued. Queue number: 0",
    ]


def test_options_are_kept(api: Client, create, training_file: str) -> None:
    shape = create(
        validation_file=training_file,
        n_epochs=2,
        batch_size=2,
        learning_rate_multiplier=0.1,
        prompt_loss_weight=0.05,
        compute_classification_metrics=True,
        classification_positive_class=" ham",
        classification_betas=[1, 2],
    )
    assert shape["hyperparams"] == {
        "n_epochs": 2,
        "batch_size": 2,
        "learning_rate_multiplier": 0.1,
        "prompt_loss_weight": 0.05,
        "compute_classification_metrics": True,
        "classification_positive_class": " ham",
        "classification_betas": [1, 2],
    }
    assert (shape["events"][-1]["level"], messages(shape)[-1]) == (
        "warn",
        "Kept with the job, but without effect on this server: prompt_loss_weight, compute_classification_metrics, "
        "classification_positive_class, classification_betas.",
    )


def test_who_waits_is_told_each_change_of_the_place_once(
    api: Client, create, django_capture_on_commit_callbacks
) -> None:
    first, second, third = (create()["id"] for _n in range(3))
    with django_capture_on_commit_callbacks(execute=True):
        post(api, f"{FINE_TUNES}/{second}/cancel")
    with django_capture_on_commit_callbacks(execute=True):
        post(api, f"{FINE_TUNES}/{first}/cancel")
    assert messages(api.get(f"{FINE_TUNES}/{third}").json())[2:] == [
        "Fine-tune enqueued. Queue number: 2",
        "Fine-tune is in the queue. Queue number: 1",
        "Fine-tune is in the queue. Queue number: 0",
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"training_file": "nope.jsonl"}, "training_file"),
        ({"model": "no-such-model"}, "model"),
        ({"suffix": "s" * 41}, "suffix"),
        ({"n_epochs": 0}, "n_epochs"),
        ({"batch_size": "4"}, "batch_size"),
        ({"compute_classification_metrics": True}, "compute_classification_metrics"),
        ({"classification_betas": ["x"]}, "classification_betas"),
        ({"prompt_loss_weight": "x"}, "prompt_loss_weight"),
    ],
)
def test_what_is_wrong_is_named(api: Client, training_file: str, fields: dict[str, Any], param: str) -> None:
    response = post(api, FINE_TUNES, {"training_file": training_file, **fields})
    assert (response.status_code, error_of(response)["param"]) == (400, param)


def test_a_finished_fine_tune(api: Client, create, run) -> None:
    key = create(model="davinci", suffix="My Suffix!", n_epochs=2)["id"]
    run(key)
    shape = api.get(f"{FINE_TUNES}/{key}").json()
    name = shape["fine_tuned_model"]
    assert re.fullmatch(r"davinci:ft-emend:my-suffix-\d{4}(-\d{2}){5}", name)
    (result,) = shape["result_files"]
    assert (result["purpose"], result["filename"]) == ("fine-tune-results", "compiled_results.csv")
    assert messages(shape)[3:] == [
        "Fine-tune started",
        "Completed epoch 1/2",
        f"Uploaded model: {name}",
        f"Uploaded result file: {result['id']}",
        "Fine-tune succeeded",
    ]
    text = read_stream(api.get(f"/v1/files/{result['id']}/content")).decode()
    assert text.splitlines()[0] == (
        "step,elapsed_tokens,elapsed_examples,training_loss,training_sequence_accuracy,training_token_accuracy"
    )
    assert [row["training_loss"] for row in csv.DictReader(io.StringIO(text))] == ["2", "1"]
    model = TunedModel.objects.named(name).get()
    assert TunedModel.objects.named(model.name).get() == model
    again = create(model=name)
    assert json.loads((Job.objects.get(key=again["id"]).run_dir / "config.json").read_text())["base"] == str(
        model.folder
    )


def test_two_models_of_one_second_have_two_names(create, run, monkeypatch) -> None:
    class Clock(registry.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 2, 3, 4, 5, tzinfo=tz)

    monkeypatch.setattr(registry, "datetime", Clock)
    for _ in range(2):
        run(create()["id"])
    assert sorted(TunedModel.objects.values_list("alias", flat=True)) == [
        "curie:ft-emend-2026-01-02-03-04-05",
        "curie:ft-emend-2026-01-02-03-04-06",
    ]


def test_a_failed_fine_tune_says_why(api: Client, create, run) -> None:
    key = create()["id"]
    run(key, "data")
    last = api.get(f"{FINE_TUNES}/{key}/events").json()["data"][-1]
    assert last["level"] == "error"
    assert last["message"].startswith("Row 3 is empty. Fine-tune failed.")


def test_lists_are_oldest_first_and_without_events(api: Client, create, stranger: Client) -> None:
    ids = [create()["id"], create()["id"]]
    data = api.get(FINE_TUNES).json()["data"]
    assert [each["id"] for each in data] == ids
    assert "events" not in data[0]
    assert api.get("/v1/fine_tuning/jobs").json()["data"] == []
    assert stranger.get(FINE_TUNES).json()["data"] == []


def test_cancelling_and_deleting(api: Client, create) -> None:
    key = create()["id"]
    assert api.delete(f"{FINE_TUNES}/{key}").status_code == 400
    shape = api.post(f"{FINE_TUNES}/{key}/cancel").json()
    assert (shape["status"], messages(shape)[-1]) == ("cancelled", "Fine-tune cancelled")
    assert api.post(f"{FINE_TUNES}/{key}/cancel").status_code == 400
    assert api.delete(f"{FINE_TUNES}/{key}").json() == {"id": key, "object": "fine-tune", "deleted": True}
    assert api.get(f"{FINE_TUNES}/{key}").status_code == 404
    assert Job.objects.filter(key=key).exists()


@pytest.mark.parametrize(("method", "path"), [("get", ""), ("post", "/cancel"), ("get", "/events?stream=true")])
def test_unknown_fine_tunes_get_404(api: Client, method: str, path: str) -> None:
    response = getattr(api, method)(f"{FINE_TUNES}/ft-nope{path}")
    assert response.status_code == 404
    assert error_of(response)["message"] == "No fine-tune job: ft-nope"


def test_the_stream_of_an_ended_job_tells_all_and_ends(api: Client, create, run) -> None:
    key = create(n_epochs=2)["id"]
    run(key)
    response = api.get(f"{FINE_TUNES}/{key}/events?stream=true")
    assert response["Content-Type"].startswith("text/event-stream")
    lines = [line for line in read_stream(response).decode().split("\n") if line]
    assert lines[-1] == "data: [DONE]"
    streamed = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert streamed == api.get(f"{FINE_TUNES}/{key}/events").json()["data"]


@pytest.mark.django_db(transaction=True)
async def test_a_stream_that_is_cut_is_taken_up_without_loss_or_repeat(
    project: Project, base_model: BaseModel, monkeypatch
) -> None:
    """Each connection tells everything from the first event; the second has the first's words, then the new ones."""
    monkeypatch.setattr(fine_tune, "POLL_S", 0.0)
    monkeypatch.setattr(fine_tune, "KEEP_ALIVE_S", -1.0)
    text = (await sync_to_async(create_key)(project=project, name="a test"))[1]
    headers = {"Authorization": f"Bearer {text}"}
    client = AsyncClient()
    sync = Client(HTTP_AUTHORIZATION=f"Bearer {text}")
    key = (await sync_to_async(upload)(sync, as_jsonl(completion_rows(4)))).json()["id"]
    job_id = (await sync_to_async(post)(sync, FINE_TUNES, {"training_file": key})).json()["id"]

    first: Any = await client.get(f"{FINE_TUNES}/{job_id}/events?stream=true", headers=headers)
    assert first.status_code == 200, first.content
    seen = []
    async for part in first.streaming_content:
        if part.startswith(b":"):
            break  # quiet: everything that there is has been told
        seen.append(part)
    await first.streaming_content.aclose()
    assert len(seen) == 3

    second: Any = await client.get(f"{FINE_TUNES}/{job_id}/events?stream=true", headers=headers)
    told = []
    async for part in second.streaming_content:
        if part.startswith(b":"):
            job = await Job.objects.aget(key=job_id)
            if not job.has_ended:
                await sync_to_async(cancel_wire_job)(job=job)
            continue
        told.append(part)
    assert told[:3] == seen
    assert b"Fine-tune cancelled" in told[3]
    assert told[4:] == [b"data: [DONE]\n\n"]


def test_a_deleted_model_is_found_by_nobody(create, run) -> None:
    run(create()["id"])
    model = TunedModel.objects.get()
    waiting = create(model=model.alias)["id"]
    with pytest.raises(ModelInUse):
        registry.delete_model(model=model)
    cancel_wire_job(job=Job.objects.get(key=waiting))
    registry.delete_model(model=model)
    assert not TunedModel.objects.named(model.name).exists()
    assert TunedModel.everything.get() == model
    assert Job.objects.get(key=model.job.key).tuned_model == model
    assert not model.folder.exists()


def test_old_names_and_aliases_mean_a_base_model(base_model: BaseModel) -> None:
    base_model.aliases = ["gpt-4o-mini"]
    base_model.save()
    for name in ("ada", "babbage", "curie", "davinci", "gpt-4o-mini", base_model.slug):
        assert find_base_model(name) == base_model
    assert find_base_model("gpt-5") is None
