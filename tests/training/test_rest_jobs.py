import json

import pytest
from django.test import Client

from labeling.actions.api_key import create_key
from tests.factories import DatasetVersionFactory, JobFactory, TunedModelFactory
from training.actions.job import append_event
from training.models import Job, JobPreflight
from training.states import JobState

JOBS = "/api/v1/p/kitchen/jobs/"


@pytest.fixture
def rest(project, alice) -> Client:
    return Client(HTTP_AUTHORIZATION=f"Bearer {create_key(project=project, user=alice, name='a test')[1]}")


@pytest.fixture
def version(project, tmp_path, settings):
    settings.RUNS_DIR = tmp_path
    version = DatasetVersionFactory(project=project, number=3, n_train=1)
    messages = [{"role": "user", "content": "Salt?"}, {"role": "assistant", "content": "A pinch."}]
    version.rows.create(position=0, split="train", kind="demonstration", row_hash="0", messages=messages)
    return version


def post(rest: Client, url: str, **body: object) -> tuple[int, dict]:
    answer = rest.post(url, json.dumps(body), content_type="application/json")
    return answer.status_code, answer.json()


def ready_base_model(settings, tmp_path) -> str:
    base_model = JobFactory.build().base_model
    base_model.save()
    settings.MODELS_DIR = tmp_path
    base_model.folder.mkdir(parents=True)
    (base_model.folder / "config.json").write_text("{}")
    return base_model.slug


def test_a_job_is_created_looked_at_and_started(rest, version, settings, tmp_path) -> None:
    slug = ready_base_model(settings, tmp_path)
    asked = {"dataset_version": 3, "base_model": slug, "hyperparameters": {"n_epochs": 4}, "waits_for_start": True}
    status, made = post(rest, JOBS, **asked, setup={"recipe": "many_rows"})
    assert (status, made["dataset_version"], made["base_model"]) == (201, 3, slug)
    assert (made["hyperparameters"]["n_epochs"], made["setup"]) == (4, {"recipe": "many_rows"})
    assert "A pinch." in (tmp_path / made["key"] / "train.jsonl").read_text()
    url = f"{JOBS}{made['key']}/"
    Job.objects.filter(key=made["key"]).update(state=JobState.VALIDATING_FILES)
    assert post(rest, f"{url}start/")[0] == 409
    report = {"n_steps": 2, "warnings": [{"code": "memory_tight"}]}
    JobPreflight.objects.update(finished_at=version.created_at, report=report)
    seen = rest.get(f"{url}preflight/").json()
    assert (seen["is_ready"], seen["report"]["n_steps"], seen["problems"]) == (True, 2, [])
    assert seen["warnings"] == ["Memory may be short. If it runs out, the job goes on with smaller steps."]
    status, started = post(rest, f"{url}start/")
    assert (status, started["state"]) == (200, "queued")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"dataset_version": 4}, "dataset_version"),
        ({"base_model": "nobody"}, "base_model"),
        ({"parent": "ft:nobody"}, "parent"),
        ({"method": "dpo"}, "method"),
        ({"hyperparameters": {"n_epochs": -1}}, "n_epochs"),
        ({"setup": {"processes": 0}}, "setup"),
    ],
)
def test_what_is_wrong_with_a_job_is_said_of_its_field(rest, version, settings, tmp_path, asked, field) -> None:
    base_model = ready_base_model(settings, tmp_path)
    status, refused = post(rest, JOBS, **{"dataset_version": 3, "base_model": base_model, **asked})
    assert (status, list(refused["error"]["fields"])) == (422, [field])
    assert not Job.objects.exists()


def test_a_job_is_paused_resumed_overtakes_and_is_cancelled(rest, project) -> None:
    job = JobFactory(project=project, state=JobState.QUEUED)
    first = JobFactory(project=project, state=JobState.QUEUED)
    url = f"{JOBS}{job.key}/"
    assert rest.get(f"{JOBS}{first.key}/").json()["place"] == {"n_before": 1, "starts_in_s": None}
    status, shown = post(rest, f"{JOBS}{first.key}/priority/", priority=4)
    assert (status, shown["priority"], shown["place"]["n_before"]) == (200, 4, 0)
    for what, state in (("pause", "paused"), ("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        status, shown = post(rest, f"{url}{what}/")
        assert (status, shown["state"]) == (200, state)
    status, refused = post(rest, f"{url}resume/")
    assert (status, refused["error"]["code"]) == (409, "not_possible")
    assert post(rest, f"{JOBS}{first.key}/priority/", priority=1000)[0] == 422
    assert [item["key"] for item in rest.get(JOBS).json()["items"]] == [first.key, job.key]
    assert [item["key"] for item in rest.get(JOBS, {"state": "cancelled"}).json()["items"]] == [job.key]


def test_a_failure_says_what_can_be_done_and_is_tried_again(rest, version, settings, tmp_path) -> None:
    job = JobFactory(
        project=version.project,
        dataset_version=version,
        state=JobState.FAILED,
        error_kind="disk",
        error="No space left.",
        seed=7,
        hyperparameters={"n_epochs": 2},
    )
    settings.MODELS_DIR = tmp_path
    job.base_model.folder.mkdir(parents=True)
    (job.base_model.folder / "config.json").write_text("{}")
    error = rest.get(f"{JOBS}{job.key}/").json()["error"]
    assert (error["kind"], error["message"]) == ("disk", "No space left.")
    assert "Free some space" in error["advice"]
    status, again = post(rest, f"{JOBS}{job.key}/retry/")
    assert (status, again["seed"], again["dataset_version"]) == (201, 7, 3)
    assert again["hyperparameters"]["n_epochs"] == 2
    assert again["key"] != job.key
    assert post(rest, f"{JOBS}{again['key']}/retry/")[0] == 409


def test_events_go_on_after_a_number(rest, project) -> None:
    job = JobFactory(project=project, state=JobState.RUNNING)
    for step in (1, 2, 1, 2):
        append_event(job, "metrics", {"step": step, "loss": 1.0 / step})
    append_event(job, "checkpoint", {"step": 2})
    page = rest.get(f"{JOBS}{job.key}/events/", {"after": 1, "limit": 2}).json()
    assert ([item["number"] for item in page["items"]], page["next"]) == ([2, 3], 3)
    assert rest.get(f"{JOBS}{job.key}/events/", {"after": 3}).json()["next"] is None
    metrics = rest.get(f"{JOBS}{job.key}/metrics/").json()["items"]
    assert [(item["step"], item["values"]["loss"]) for item in metrics] == [(1, 1.0), (2, 0.5)]
    [checkpoint] = rest.get(f"{JOBS}{job.key}/checkpoints/").json()["items"]
    assert (checkpoint["step"], checkpoint["values"]["loss"], checkpoint["is_kept"]) == (2, 0.5, False)


def test_jobs_are_shown_side_by_side(rest, project) -> None:
    jobs = [JobFactory(project=project, hyperparameters={"n_epochs": n}) for n in (1, 2)]
    append_event(jobs[1], "metrics", {"step": 1, "loss": 0.5})
    shown = rest.get(f"{JOBS}compare/", {"job": [job.key for job in jobs]}).json()
    assert [job["key"] for job in shown["jobs"]] == [job.key for job in jobs]
    assert {"name": "n_epochs", "values": [1, 2]} in shown["differences"]
    assert [len(curve["points"]) for curve in shown["curves"]] == [0, 1]
    assert rest.get(f"{JOBS}compare/", {"job": JobFactory().key}).status_code == 404
    assert rest.get(f"{JOBS}compare/").status_code == 422


def test_models_and_base_models_are_listed(rest, project, settings, tmp_path) -> None:
    settings.VAR_DIR = tmp_path
    parent = TunedModelFactory(project=project)
    model = TunedModelFactory(project=project, job=JobFactory(project=project, parent=parent, result={"n_steps": 3}))
    (tmp_path / model.location).mkdir(parents=True)
    (tmp_path / model.location / "config.json").write_text("{}")
    models = "/api/v1/p/kitchen/models/"
    assert [item["parent"] for item in rest.get(models).json()["items"]] == [parent.name, None]
    shown = rest.get(f"{models}{model.pk}/").json()
    assert (shown["files"], shown["result"]) == ([{"name": "config.json", "size_bytes": 2}], {"n_steps": 3})
    sent = rest.get(f"{models}{model.pk}/download/")
    assert sent["Content-Disposition"] == f'attachment; filename="{model.job.key}.tar"'
    assert rest.get(f"{models}{parent.pk}/download/").status_code == 409
    base_model = rest.get(f"/api/v1/p/kitchen/base-models/{model.base_model.slug}/").json()
    assert (base_model["slug"], base_model["standing"]) == (model.base_model.slug, "missing")
