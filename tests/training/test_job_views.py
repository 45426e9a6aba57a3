import json
from typing import Any

import pytest
from django.test import AsyncClient
from django.urls import reverse
from django.utils import timezone

from tests.factories import JobFactory, TunedModelFactory
from tests.training.conftest import make_correction
from training.actions.dataset import freeze_dataset
from training.actions.job import append_event, cancel_job, change_state, create_job, execute_job
from training.models import Event, Job
from training.states import JobState

HTMX = {"HTTP_HX_REQUEST": "true"}


def url(name: str, job: Job | None = None) -> str:
    return reverse(f"training-job-{name}", args=["kitchen", *([job.key] if job else [])])


@pytest.fixture
def job(project, base_model) -> Job:
    make_correction(project, "What colour is the sky?")
    return create_job(dataset_version=freeze_dataset(project=project), suffix="sky")


def run(job: Job, n_points: int = 3) -> None:
    """Make the job look as it does in the middle of a run."""
    change_state(job, JobState.RUNNING, started_at=timezone.now(), n_steps=10, step=n_points, remaining_s=75)
    started = {"n_steps": 10, "hyperparameters": {"n_epochs": 6}, "auto": {"n_epochs": "few rows want many epochs"}}
    append_event(job, "started", started)
    for step in range(1, n_points + 1):
        data = {"step": step, "n_steps": 10, "loss": 3 / step, "tokens_per_s": 240.4, "valid_loss": 2.5}
        append_event(job, "metrics", data)


@pytest.mark.parametrize("name", ["list", "create", "show", "stream"])
def test_pages_are_for_admins_of_the_project(sign_in, job, rita, charlie, name) -> None:
    address = url(name, job if name in ("show", "stream") else None)
    assert sign_in(charlie).get(address).status_code == 404
    assert sign_in(rita).get(address).status_code == 403


@pytest.mark.parametrize("name", ["cancel", "pause", "resume"])
def test_buttons_are_for_admins_and_posts_only(sign_in, job, alice, rita, charlie, name) -> None:
    assert sign_in(charlie).post(url(name, job)).status_code == 404
    assert sign_in(rita).post(url(name, job)).status_code == 403
    assert sign_in(alice).get(url(name, job)).status_code == 405
    job.refresh_from_db()
    assert job.state == JobState.QUEUED


def test_somebody_who_is_not_signed_in_is_asked_to(client, job) -> None:
    for name in ("show", "stream"):
        assert client.get(url(name, job))["Location"].startswith(reverse("account_login"))


def test_the_form_starts_a_job_on_all_accepted_examples(sign_in, project, base_model, alice) -> None:
    make_correction(project, "One?")
    client = sign_in(alice)
    page = client.get(url("create"))
    assert "1 accepted example is in no version yet." in page.content.decode()
    data = {"base_model": base_model.pk, "suffix": "Mine", "n_epochs": "3", "lora_rank": "AUTO"}
    response = client.post(url("create"), data)
    job = Job.objects.get()
    assert response["Location"] == url("preflight", job)
    assert (job.suffix, job.created_by, job.dataset_version.number) == ("mine", alice, 1)
    assert job.hyperparameters["n_epochs"] == 3
    assert job.hyperparameters["lora_rank"] == job.hyperparameters["batch_size"] == "auto"


def test_rows_that_the_newest_model_knows_are_not_new(sign_in, project, base_model, alice) -> None:
    make_correction(project, "One?")
    TunedModelFactory(project=project, job__dataset_version=freeze_dataset(project=project))
    make_correction(project, "Two?")
    sign_in(alice).post(url("create"), {"base_model": base_model.pk})
    text = (Job.objects.order_by("pk").last().run_dir / "train.jsonl").read_text()
    assert {row["messages"][0]["content"]: row["is_new"] for row in map(json.loads, text.splitlines())} == {
        "One?": False,
        "Two?": True,
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"n_epochs": "lots"}, "Write “auto” or a whole number from 1 to 50."),
        ({}, "There is no accepted example yet"),
        ({"base_model": 0}, "Select a valid choice"),
    ],
)
def test_what_is_refused_is_said_beside_the_field(sign_in, project, base_model, alice, data, message) -> None:
    if "n_epochs" in data:
        make_correction(project, "One?")
    response = sign_in(alice).post(url("create"), {"base_model": base_model.pk, **data}, **HTMX)
    assert response.status_code == 422
    assert message in response.content.decode()
    assert "<html" not in response.content.decode()
    assert not Job.objects.exists()


def test_a_base_model_without_weights_is_refused_on_the_form(sign_in, project, base_model, alice) -> None:
    (base_model.folder / "config.json").unlink()
    make_correction(project, "One?")
    response = sign_in(alice).post(url("create"), {"base_model": base_model.pk})
    assert response.status_code == 422
    assert "The weights of this base model are not on this machine yet." in response.content.decode()


def test_a_running_job_shows_its_numbers_and_polls(sign_in, job, alice) -> None:
    run(job)
    response = sign_in(alice).get(url("show", job))
    text = response.content.decode()
    assert "<html" in text
    for shown in (
        "30 %",
        "1 min 15 s",
        "240",
        "few rows want many epochs",
        "<polyline",
        'hx-trigger="every 2s, refresh"',
    ):
        assert shown in text
    assert f'data-stream="{url("stream", job)}?after=7"' in text
    assert text.count("<polyline") == 3, "two losses, and the speed"
    assert url("cancel", job) in text


def test_the_live_piece_stops_asking_when_the_job_rests(sign_in, job, alice) -> None:
    client = sign_in(alice)
    response = client.get(url("show", job), **HTMX)
    assert response.status_code == 200
    assert "<html" not in response.content.decode()
    cancel_job(job=job)
    response = client.get(url("show", job), **HTMX)
    assert response.status_code == 286
    assert "hx-get" not in response.content.decode()
    assert client.get(url("show", job)).status_code == 200


def test_a_failed_job_says_what_can_be_done(sign_in, job, alice, trainer) -> None:
    trainer("data")
    execute_job(job=job)
    text = sign_in(alice).get(url("show", job)).content.decode()
    assert "Row 3 is empty." in text
    assert "Mend or take back the examples named below" in text


def test_pause_resume_and_cancel(sign_in, job, alice) -> None:
    client = sign_in(alice)
    run(job)
    assert client.post(url("pause", job))["Location"] == url("show", job)
    job.refresh_from_db()
    assert job.state == JobState.PAUSED
    client.post(url("resume", job))
    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    client.post(url("cancel", job))
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    response = client.post(url("cancel", job), follow=True)
    assert "The job has already ended." in response.content.decode()


def test_the_list_asks_as_much_for_three_jobs_as_for_one(sign_in, project, alice, count_queries) -> None:
    client = sign_in(alice)
    assert "Nothing has been trained yet" in client.get(url("list")).content.decode()
    TunedModelFactory(project=project)
    _response, n_queries = count_queries(lambda: client.get(url("list")))
    TunedModelFactory(project=project)
    JobFactory(project=project)
    JobFactory()
    response, n_queries_of_three = count_queries(lambda: client.get(url("list")))
    assert n_queries_of_three == n_queries
    assert len(response.context["page"]) == 3


async def read_stream(client: AsyncClient, address: str, **headers: str) -> tuple[Any, list[dict[str, str]]]:
    response = await client.get(address, headers=headers)
    text = b"".join([part async for part in response.streaming_content]).decode()
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]
    return response, blocks


@pytest.mark.django_db(transaction=True)
async def test_the_stream_gives_each_event_once_and_ends_with_the_job(job, alice, trainer) -> None:
    from asgiref.sync import sync_to_async

    trainer("succeed")
    await sync_to_async(execute_job)(job=job)
    client = AsyncClient()
    await client.aforce_login(alice)
    response, blocks = await read_stream(client, url("stream", job))
    assert response["Content-Type"] == "text/event-stream"
    numbers = [int(block["id"]) for block in blocks if "id" in block]
    assert numbers == list(range(1, await Event.objects.filter(job=job).acount() + 1))
    assert blocks[-1] == {"event": "end", "data": "succeeded"}
    first = json.loads(blocks[1]["data"])
    assert (first["number"], first["code"]) == (1, "validating_files")
    _response, rest = await read_stream(client, url("stream", job), **{"Last-Event-ID": "5"})
    assert [int(block["id"]) for block in rest if "id" in block] == [n for n in numbers if n > 5]


@pytest.mark.django_db(transaction=True)
async def test_the_stream_goes_on_while_the_job_runs(job, alice) -> None:
    from asgiref.sync import sync_to_async

    client = AsyncClient()
    await client.aforce_login(alice)
    response = await client.get(url("stream", job) + "?after=1")
    parts = response.streaming_content.__aiter__()
    assert b"retry" in await anext(parts)
    assert b"id: 2" in await anext(parts)
    await sync_to_async(append_event)(job, "started")
    assert b"id: 3" in await anext(parts)
    await sync_to_async(cancel_job)(job=await Job.objects.aget(pk=job.pk))
    assert b"id: 4" in await anext(parts)
    assert b"event: end" in await anext(parts)
    with pytest.raises(StopAsyncIteration):
        await anext(parts)


def test_a_long_log_is_shown_in_part_and_whole_when_asked(sign_in, job, alice) -> None:
    run(job, n_points=60)
    client = sign_in(alice)
    assert len(client.get(url("show", job)).context["events"]) == 40
    response = client.get(url("show", job) + "?events=all")
    assert len(response.context["events"]) == 64
    assert f'hx-get="{url("show", job)}?events=all"' in response.content.decode()
