"""The sweep: what a crash or a restart left behind."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from deployment import health
from deployment.actions import upkeep
from deployment.actions.cycle import start_cycle
from deployment.actions.release import deploy_model
from deployment.models import Completion
from deployment.states import CompletionState, CycleState
from tests.deployment.test_completions import make_answer

pytestmark = pytest.mark.django_db


def test_an_answer_that_nobody_writes_any_more_is_failed_and_keeps_its_text(project, bob) -> None:
    old, new = (make_answer(project, bob, response="Half", state=CompletionState.STREAMING) for _ in range(2))
    Completion.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(minutes=11))
    assert upkeep.end_abandoned() == 1
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.state, old.response, new.state) == (CompletionState.FAILED, "Half", CompletionState.STREAMING)
    assert "cut off" in old.error


def test_the_live_model_is_loaded_after_a_restart_of_the_engine(
    engine, deployment, tuned_model, nudges, base_model
) -> None:
    upkeep.keep_loaded()
    assert nudges == [("deployment.tasks.load_model", (base_model.slug, f"models/{base_model.location}"))]
    deploy_model(deployment=deployment, model=tuned_model, reason="a test")
    nudges.clear()
    upkeep.keep_loaded()
    assert nudges == []
    engine.models.clear()
    upkeep.keep_loaded()
    assert nudges == [("deployment.tasks.load_model", (tuned_model.name, tuned_model.location))]
    upkeep.warm_up(name=tuned_model.name, path=tuned_model.location)
    assert tuned_model.name in engine.models


def test_a_sweep_without_an_engine_still_does_the_rest(deployment, project, nudges, var_dir) -> None:
    cycle = start_cycle(project=project)
    nudges.clear()
    upkeep.sweep()
    assert nudges == [("deployment.tasks.advance", (cycle.pk,))]
    assert (var_dir / health.SWEEP_FILE).exists()
    upkeep.advance_one(cycle_pk=cycle.pk)
    cycle.refresh_from_db()
    assert cycle.state == CycleState.STOPPED
    upkeep.warm_up(name="m", path="models/m")


@pytest.fixture
def alive(monkeypatch):
    workers = {"default": True, "gpu": True}
    monkeypatch.setattr(health, "ping", lambda kind: workers[kind])
    monkeypatch.setattr(health.cache, "get", lambda key: None)
    return workers


def test_health_names_every_part(client, engine, alive, deployment) -> None:
    answer = client.get(reverse("deployment-health-show"))
    assert answer.status_code == 200
    body = answer.json()
    parts = {
        "status": "ok",
        "database": "ok",
        "broker": "ok",
        "engine": "ok",
        "workers": {"default": "ok", "gpu": "ok"},
    }
    assert parts.items() <= body.items()


def test_health_is_degraded_while_a_part_is_away(client, engine, alive) -> None:
    alive["gpu"] = False
    body = client.get("/healthz").json()
    assert (body["status"], body["workers"]["default"]) == ("degraded", "ok")
    assert body["workers"]["gpu"] != "ok"
    alive["gpu"] = True
    engine.stop()
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert "engine" in answer.json()["engine"]


def test_only_a_database_that_is_away_is_down(client, engine, alive, monkeypatch) -> None:
    monkeypatch.setattr(health, "_database", lambda: "The database does not answer.")
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (503, "down")


def test_pings_are_kept_for_a_few_seconds(monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(health, "ping", lambda kind: bool(asked.append(kind)) or True)
    health.cache.delete("deployment-workers")
    assert health.workers_alive() == health.workers_alive() == {"default": True, "gpu": True}
    assert asked == ["default", "gpu"]
    health.cache.delete("deployment-workers")
