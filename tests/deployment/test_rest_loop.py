"""The loop driven by a program: freeze, evaluate, cycle, deploy, be alerted."""

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from common.conversations import digest
from deployment.models import Alert, Cycle, CyclePolicy
from labeling.actions.api_key import create_key
from labeling.models import Probe, RegressionTest
from tests.deployment.conftest import make_model
from tests.training.conftest import make_correction, make_demonstration
from training.models import Evaluation
from training.states import EvaluationState

pytestmark = pytest.mark.django_db
PROJECT = "/api/v1/p/kitchen/"
FAILED = [{"name": "efficacy", "passed": False, "value": 0.5, "threshold": 0.9}]


@pytest.fixture
def ask(project, alice):
    """Send a request as an admin's program; returns the status and the body."""
    key = create_key(project=project, user=alice, name="a test")[1]
    client = Client(HTTP_AUTHORIZATION=f"Bearer {key}")

    def send(method: str, place: str, **body: object) -> tuple[int, Any]:
        content = json.dumps(body) if body else ""
        answer = client.generic(method, PROJECT + place, content, content_type="application/json")
        return answer.status_code, answer.json() if answer.content else None

    return send


def test_a_cycle_is_started_once_seen_and_stopped(ask, base_model) -> None:
    status, made = ask("POST", "cycles/")
    assert (status, made["number"], made["state"], made["trigger"]) == (201, 1, "collecting", "hand")
    assert made["started_by"]["name"] == "Alice"
    status, refused = ask("POST", "cycles/")
    assert (status, refused["error"]["code"]) == (409, "cycle_at_work")
    assert ask("GET", "cycles/1/")[1]["model"] is None
    assert ask("POST", "cycles/1/cancel/")[1]["state"] == "stopped"
    assert ask("POST", "cycles/1/cancel/")[1]["error"]["code"] == "cycle_ended"
    assert [row["number"] for row in ask("GET", "cycles/")[1]["items"]] == [1]
    assert ask("GET", "cycles/7/")[0] == 404


def test_a_policy_is_changed_in_part_and_checked_as_a_whole(ask, project, base_model) -> None:
    assert ask("GET", "cycles/policy/")[1] | {"next_at": None} == ask("GET", "cycles/policy/")[1]
    status, made = ask("PATCH", "cycles/policy/", cron="0 3 * * 1", at_least=5, price_per_month="20.00")
    assert (status, made["cron"], made["at_least"], made["price_per_month"]) == (200, "0 3 * * 1", 5, "20.00")
    assert made["next_at"] is not None
    status, made = ask("PATCH", "cycles/policy/", at_least=6)
    assert (made["cron"], made["at_least"], made["measures_replay"]) == ("0 3 * * 1", 6, True)
    for field, value in (("cron", "at dawn"), ("rules_of", 99), ("preset", 99), ("at_count", 10**9)):
        status, refused = ask("PATCH", "cycles/policy/", **{field: value})
        assert (status, list(refused["error"]["fields"])) == (422, [field])
    make_demonstration(project, "How hot?")
    number = ask("POST", "datasets/")[1]["number"]
    assert ask("PATCH", "cycles/policy/", rules_of=number)[1]["rules_of"] == number
    assert ask("PATCH", "cycles/policy/", rules_of=None, cron="")[1]["rules_of"] is None
    assert CyclePolicy.objects.get().rules_of is None


def test_a_model_goes_live_beside_and_back(ask, project, engine, deployment) -> None:
    first, second = make_model(project), make_model(project)
    assert ask("GET", "deployment/")[1]["live"] == deployment.base_model.slug
    status, refused = ask("POST", "deployment/live/", model=first.name)
    assert (status, list(refused["error"]["fields"])) == (422, ["reason"])  # no gate has judged it
    status, now = ask("POST", "deployment/live/", model=first.name, reason="a trial")
    assert (status, now["live"]) == (200, first.name)
    assert ask("POST", "deployment/live/", model=first.name)[1]["error"]["code"] == "already_live"
    assert ask("POST", "deployment/live/", model="nobody", reason="x")[0] == 422
    beside = {"model": second.name, "reason": "a trial"}
    assert list(ask("POST", "deployment/candidate/", stage="canary", **beside)[1]["error"]["fields"]) == ["percent"]
    now = ask("POST", "deployment/candidate/", stage="canary", percent=20, **beside)[1]
    assert (now["candidate"], now["stage"], now["canary_percent"]) == (second.name, "canary", 20)
    assert ask("POST", "deployment/candidate/promote/", model=first.name)[1]["error"]["code"] == "release_conflict"
    assert ask("POST", "deployment/candidate/withdraw/", model=second.name)[1]["candidate"] is None
    assert ask("POST", "deployment/candidate/withdraw/", model=second.name)[0] == 409
    ask("POST", "deployment/candidate/", stage="shadow", **beside)
    assert ask("POST", "deployment/candidate/promote/", **beside)[1]["live"] == second.name
    assert ask("POST", "deployment/roll-back/", live=first.name)[1]["error"]["code"] == "release_conflict"
    assert ask("POST", "deployment/roll-back/", live=second.name, reason="worse")[1]["live"] == first.name
    changes = ask("GET", "deployment/changes/")[1]["items"]
    assert [(row["kind"], row["to_model"]) for row in changes][:2] == [
        ("roll_back", first.name),
        ("deploy", second.name),
    ]
    assert changes[0]["reason"] == "worse"


def test_rules_of_the_deployment_change_in_part(ask, deployment) -> None:
    rules = ask("PATCH", "deployment/", live_after=40)[1]["rules"]
    assert (rules["live_after"], rules["is_guarded"]) == (40, True)
    assert ask("PATCH", "deployment/", is_guarded=False)[1]["rules"] == rules | {"is_guarded": False}
    assert ask("PATCH", "deployment/", rule_percent=100)[0] == 422


def test_an_alert_is_seen_taken_and_silenced(ask, project, alice, deployment) -> None:
    now = timezone.now()
    facts = {"threshold": 10, "model_name": "m", "n": 40, "n_bad": 20, "began_at": now, "seen_at": now}
    alert = Alert.objects.create(project=project, measure="bad", **facts)
    Alert.objects.create(project=project, measure="slow", ended_at=now, end="recovered", **facts)
    assert len(ask("GET", "alerts/")[1]["items"]) == 2
    seen = ask("GET", "alerts/?is_open=true")[1]["items"]
    assert [row["id"] for row in seen] == [alert.pk]
    assert "20 of 40" in seen[0]["sentence"]
    assert ask("POST", f"alerts/{alert.pk}/take/")[1]["taken_by"]["id"] == alice.pk
    rule = ask("PATCH", "alert-rules/bad/", threshold=25.5)[1]
    assert (rule["threshold"], rule["window"], rule["silenced_until"]) == (25.5, 24 * 60, None)
    assert ask("PATCH", "alert-rules/bad/", seconds=3)[0] == 422
    assert ask("PATCH", "alert-rules/slow/", seconds=3)[1]["seconds"] == 3
    assert ask("PATCH", "alert-rules/none/", threshold=3)[0] == 404
    assert ask("POST", "alert-rules/bad/silence/", hours=8)[1]["silenced_until"] is not None
    assert ask("POST", "alert-rules/bad/silence/", hours=3)[0] == 422
    assert ask("POST", "alert-rules/bad/silence/", hours=0)[1]["silenced_until"] is None
    assert {row["measure"] for row in ask("GET", "alert-rules/")[1]["items"]} == {"bad", "failed", "slow", "cut"}


def test_a_version_is_previewed_and_frozen_by_rules(ask, project) -> None:
    make_demonstration(project, "How hot?")
    make_demonstration(project, "How long?")
    make_correction(project, "Which colour has the sky?")
    kinds = {"kinds": ["demonstration"]}
    seen = ask("POST", "datasets/preview/", **kinds)[1]
    assert (seen["n_rows"], seen["kinds"], seen["is_whole"]) == (2, {"demonstration": 2}, True)
    status, made = ask("POST", "datasets/", note="by a program", **kinds)
    assert (status, made["n_rows"], made["note"]) == (201, 2, "by a program")
    assert ask("POST", "datasets/", **kinds)[1]["number"] == made["number"]
    for rules in ({"since": "2026-02-01", "until": "2026-01-01"}, {"weights": {"x": 1}}, {"test_share": 0.9}):
        status, refused = ask("POST", "datasets/", **rules)
        assert (status, set(refused["error"]["fields"]) <= set(rules)) == (422, True)
    assert ask("POST", "datasets/", tags=["nothing has it"])[0] == 422


def test_a_leak_names_the_rows(ask, project) -> None:
    tested = make_correction(project, "What colour is the sky?")
    make_correction(project, "Which colour has the sky?")
    texts = {"messages": tested.messages[:-1], "chosen": "It is blue.", "rejected": "It is red."}
    correction = tested.correction
    test = RegressionTest.objects.create(project=project, case=correction.case, correction=correction, **texts)
    probe = [{"role": "user", "content": "Which colour has the sky?"}]
    Probe.objects.create(test=test, messages=probe, prompt_hash=digest(probe))
    status, refused = ask("POST", "datasets/")
    assert status == 422
    hashes = refused["error"]["fields"]["leaked_rows"]
    assert len(hashes) == 1
    assert ask("POST", "datasets/", without=hashes)[1]["n_rows"] == 1


def test_an_evaluation_is_asked_for_seen_and_cancelled(ask, project, deployment) -> None:
    model = make_model(project)
    status, made = ask("POST", "evaluations/", model=model.name)
    assert (status, made["model"], made["state"], made["passes"]) == (201, model.name, "queued", False)
    assert made["compared_with"] == deployment.base_model.slug
    assert ask("POST", "evaluations/", model=model.name)[1]["key"] == made["key"]
    url = f"evaluations/{made['key']}/"
    assert ask("POST", f"{url}cancel/")[1]["state"] == "cancelled"
    assert ask("POST", f"{url}cancel/")[0] == 409
    Evaluation.objects.filter(key=made["key"]).update(state=EvaluationState.SUCCEEDED, gate=FAILED)
    seen = ask("GET", url)[1]
    assert (seen["passes"], seen["gate"][0]["name"]) == (False, "efficacy")
    assert ask("POST", "evaluations/", model="nobody")[0] == 422
    assert len(ask("GET", "evaluations/")[1]["items"]) == 2
    assert Cycle.objects.count() == 0
