"""/v1/batches: files of requests, and the workers that answer them."""

import json
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from deployment.actions import batch_run
from deployment.actions.batch import next_batch
from deployment.actions.batch_run import run_batches
from deployment.models import Batch, Completion
from deployment.states import BatchState
from labeling.actions.api_key import create_key, revoke_key
from tests.factories import BaseModelFactory
from tests.training.api import error_of, post, upload
from training.actions.file import delete_file
from training.models import File

pytestmark = pytest.mark.django_db(transaction=True)
CHAT = "/v1/chat/completions"


@pytest.fixture
def client_of(project, client: Client) -> Client:
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {create_key(project=project, name='a test')[1]}"
    return client


@pytest.fixture(autouse=True)
def base_model(db: None):
    base_model = BaseModelFactory()
    base_model.folder.mkdir(parents=True)
    (base_model.folder / "config.json").write_text("{}")
    return base_model


def line(number: int, *, url: str = CHAT, **body: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Question {number}"}]
    body = {"model": "curie", "messages": messages, **body}
    return {"custom_id": f"r{number}", "method": "POST", "url": url, "body": body}


def create(client: Client, lines: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    data = "".join(json.dumps(each) + "\n" for each in lines).encode()
    key = upload(client, data, purpose="batch").json()["id"]
    body = {"input_file_id": key, "endpoint": CHAT, "completion_window": "24h", **fields}
    response = post(client, "/v1/batches", body)
    assert response.status_code == 200, response.content
    return response.json()


def results(key: str) -> list[dict[str, Any]]:
    return [json.loads(each) for each in File.objects.get(key=key).path.read_text().splitlines()]


def test_answers_and_refusals_become_files(client_of: Client, engine) -> None:
    made = create(client_of, [line(1), line(2, temperature=9), line(3, model="nope")], metadata={"a": "b"})
    assert (made["status"], made["output_file_id"], made["metadata"]) == ("validating", None, {"a": "b"})
    run_batches()
    batch = client_of.get(f"/v1/batches/{made['id']}").json()
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
    assert batch["created_at"] <= batch["in_progress_at"] <= batch["finalizing_at"] <= batch["completed_at"]
    [right] = results(batch["output_file_id"])
    assert (right["custom_id"], right["error"]) == ("r1", None)
    assert right["response"]["body"]["choices"][0]["message"]["content"].endswith(" says hello")
    wrong = {each["custom_id"]: each["response"] for each in results(batch["error_file_id"])}
    assert {name: answer["status_code"] for name, answer in wrong.items()} == {"r2": 400, "r3": 404}
    assert wrong["r2"]["body"]["error"]["param"] == "temperature"
    assert not Batch.objects.get().folder.exists()
    assert Completion.objects.get().api_key.name == "a test"
    assert client_of.get("/v1/batches").json()["data"] == [batch]


def test_lines_that_are_no_requests_fail_the_batch_with_their_numbers(client_of: Client) -> None:
    lines = [line(1), line(1), line(2, stream=True), {**line(3), "method": "GET"}, line(4, url="/v1/completions"), {}]
    made = create(client_of, lines)
    run_batches()
    batch = client_of.get(f"/v1/batches/{made['id']}").json()
    assert (batch["status"], batch["output_file_id"]) == ("failed", None)
    assert [(each["line"], each["param"]) for each in batch["errors"]["data"]] == [
        (2, "custom_id"),
        (3, "body.stream"),
        (4, "method"),
        (5, "url"),
        (6, "custom_id"),
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"input_file_id": "file-nope"}, "input_file_id"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3600}}, "output_expires_after"),
    ],
)
def test_what_is_wrong_is_named(client_of: Client, fields: dict[str, Any], param: str) -> None:
    key = upload(client_of, b'{"a": 1}\n', purpose="batch").json()["id"]
    response = post(
        client_of, "/v1/batches", {"input_file_id": key, "endpoint": CHAT, "completion_window": "24h", **fields}
    )
    assert (response.status_code, error_of(response)["param"]) == (400, param)
    assert not Batch.objects.exists()


def test_a_worker_that_takes_over_asks_for_nothing_twice(client_of: Client, engine, monkeypatch) -> None:
    """The first worker dies in the middle of its second line; the input file has been deleted meanwhile."""
    made = create(client_of, [line(number) for number in range(3)])
    batch = Batch.objects.get()
    run = batch_run._answer_all
    monkeypatch.setattr(batch_run, "N_AT_ONCE", 1)
    monkeypatch.setattr(batch_run, "_finish", lambda *args, **fields: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_batches()
    monkeypatch.undo()
    output = batch.folder / "output.jsonl"
    first, second, _third = output.read_text().splitlines(keepends=True)
    output.write_text(first + second[:20])
    delete_file(file=batch.input_file)
    assert batch_run._answer_all is run
    run_batches()
    told = client_of.get(f"/v1/batches/{made['id']}").json()
    assert (told["status"], told["request_counts"]["completed"]) == ("completed", 3)
    assert sorted(each["custom_id"] for each in results(told["output_file_id"])) == ["r0", "r1", "r2"]
    assert len(engine.requests) == 5, "the first answer was not asked for again"


def test_cancelling_keeps_what_was_answered_and_happens_once(client_of: Client) -> None:
    made = create(client_of, [line(1)])
    path = f"/v1/batches/{made['id']}/cancel"
    assert post(client_of, path).json()["status"] == "cancelling"
    assert post(client_of, path).json()["status"] == "cancelling"
    run_batches()
    assert Batch.objects.get().state == BatchState.CANCELLED
    assert error_of(post(client_of, path))["code"] == "invalid_state"


def test_a_batch_past_its_day_expires(client_of: Client, engine, monkeypatch) -> None:
    create(client_of, [line(1)])
    Batch.objects.update(expires_at=timezone.now())
    engine.held = True
    run_batches()
    assert Batch.objects.get().state == BatchState.EXPIRED


def test_a_key_that_was_revoked_answers_nothing(client_of: Client, engine) -> None:
    made = create(client_of, [line(1)])
    revoke_key(key=Batch.objects.get().api_key)
    run_batches()
    batch = Batch.objects.get()
    assert (batch.state, batch.n_failed, engine.requests) == (BatchState.COMPLETED, 1, [])
    assert results(batch.error_file.key)[0]["error"]["code"] == "invalid_api_key"
    assert made["id"] == batch.key


def test_batches_are_of_their_project_and_run_one_at_a_time(client_of: Client, charlie) -> None:
    made = create(client_of, [line(1)])
    second = create(client_of, [line(1)])
    other = create_key(project=charlie.memberships.get().project, name="a test")[1]
    response = client_of.get(f"/v1/batches/{made['id']}", headers={"authorization": f"Bearer {other}"})
    assert (response.status_code, error_of(response)["param"]) == (404, "id")
    assert next_batch().key == made["id"]
    batch_run.Batch.objects.filter(key=second["id"]).update(
        worker=batch_run.runner.worker_name(), heartbeat_at=timezone.now()
    )
    assert next_batch() is None


@pytest.fixture(autouse=True)
def _close(db: None):
    yield
    connections.close_all()
