"""A model beside the live one: its steps, whose conversations it answers, and that all of it is kept."""

import json

import pytest
from django.urls import reverse

from common.models import Transition
from deployment.actions.candidate import promote, set_canary, start_shadow, withdraw
from deployment.actions.errors import (
    AlreadyLive,
    ModelIsLive,
    ModelNotLoadable,
    NoCandidate,
    OverrideNeedsReason,
    ReleaseConflict,
)
from deployment.actions.release import deploy_model, retire_model, roll_back
from deployment.gateway import find_route
from deployment.models import Completion, Deployment
from deployment.queries import warm_models
from deployment.queries.routing import choose_model, thread_of, thread_of_messages
from deployment.states import ChangeKind, Stage
from labeling.actions.api_key import create_key
from labeling.models import WebhookDelivery
from labeling.states import WebhookEvent
from tests.deployment.conftest import make_model
from tests.deployment.test_release import FAILED, evaluate

pytestmark = pytest.mark.django_db
WHY = {"reason": "a test"}
THREADS = [thread_of("test", number) for number in range(400)]


def standing() -> tuple:
    row = Deployment.objects.get()
    return row.live_model, row.candidate_model, row.stage, row.canary_percent


def kinds(deployment) -> list[str]:
    return list(deployment.changes.order_by("pk").values_list("kind", flat=True))[1:]


def answering(project, thread: str = "") -> str:
    return find_route(project=project, target="assistant", thread=thread).name


def share_of(deployment, model) -> list[str]:
    return [thread for thread in THREADS if choose_model(deployment, thread=thread) == model]


def test_a_candidate_goes_from_shadow_over_canary_to_live(engine, deployment, tuned_model, alice) -> None:
    evaluation = evaluate(tuned_model)
    start_shadow(deployment=deployment, model=tuned_model, by=alice)
    assert standing() == (None, tuned_model, Stage.SHADOW, 0)
    began = deployment.stage_since
    set_canary(deployment=deployment, model=tuned_model, percent=5, by=alice)
    assert deployment.stage_since > began
    began = deployment.stage_since
    set_canary(deployment=deployment, model=tuned_model, percent=50, by=alice)
    assert (standing(), deployment.stage_since) == ((None, tuned_model, Stage.CANARY, 50), began)
    change = promote(deployment=deployment, by=alice)
    assert standing() == (tuned_model, None, "", 0)
    assert kinds(deployment) == ["shadow", "canary", "canary", "deploy"]
    assert (change.from_model, change.to_model, change.evaluation, change.by) == (None, tuned_model, evaluation, alice)
    assert list(deployment.changes.filter(kind=ChangeKind.CANARY).values_list("weight", flat=True)) == [50, 5]
    assert {name for name, _path in engine.loads} == {tuned_model.name}
    with pytest.raises(AlreadyLive):
        start_shadow(deployment=deployment, model=tuned_model)
    with pytest.raises(NoCandidate):
        promote(deployment=deployment)
    with pytest.raises(NoCandidate):
        withdraw(deployment=deployment)


def test_each_step_needs_the_gate_or_a_reason(deployment, tuned_model, alice) -> None:
    evaluate(tuned_model, gate=FAILED)
    with pytest.raises(OverrideNeedsReason):
        start_shadow(deployment=deployment, model=tuned_model)
    with pytest.raises(OverrideNeedsReason):
        set_canary(deployment=deployment, model=tuned_model, percent=5, reason=" ")
    set_canary(deployment=deployment, model=tuned_model, percent=5, by=alice, reason="Only measured badly.")
    with pytest.raises(OverrideNeedsReason):
        promote(deployment=deployment)
    assert standing()[1:] == (tuned_model, Stage.CANARY, 5)
    line = Transition.objects.latest("pk")
    assert (line.what, line.after) == ("canary, gate overridden", f"{tuned_model.name}, 5 %")
    assert (line.by_name, line.reason) == (str(alice), "Only measured badly.")


def test_a_model_that_cannot_be_loaded_does_not_become_a_candidate(engine, deployment, tuned_model) -> None:
    engine.refuse_load = (507, "no memory left")
    with pytest.raises(ModelNotLoadable):
        set_canary(deployment=deployment, model=tuned_model, percent=5, **WHY)
    assert standing() == (None, None, "", 0)


def test_a_canary_has_its_share_and_keeps_the_conversations_that_it_has(deployment, project, tuned_model) -> None:
    start_shadow(deployment=deployment, model=tuned_model, **WHY)
    assert share_of(deployment, tuned_model) == []
    had: list[str] = []
    for percent in (10, 50, 99):
        set_canary(deployment=deployment, model=tuned_model, percent=percent, **WHY)
        has = share_of(deployment, tuned_model)
        assert set(had) <= set(has)
        assert abs(len(has) - 4 * percent) < 40  # of 400; four standard deviations at 50 %
        had = has
    assert answering(project, had[0]) == tuned_model.name
    assert answering(project) == deployment.live_name  # nobody's conversation: no canary
    withdraw(deployment=deployment)
    assert share_of(deployment, tuned_model) == []


def test_another_candidate_meets_other_conversations(deployment, project) -> None:
    first, second = make_model(project), make_model(project)
    set_canary(deployment=deployment, model=first, percent=20, **WHY)
    met = set(share_of(deployment, first))
    set_canary(deployment=deployment, model=second, percent=20, **WHY)
    assert standing()[1] == second
    assert len(met & set(share_of(deployment, second))) < len(met) / 2


def test_a_conversation_is_known_by_what_it_begins_with() -> None:
    begun = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
    gone_on = [*begun, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Bye"}]
    assert thread_of_messages(begun) == thread_of_messages(gone_on)
    assert thread_of_messages(begun) != thread_of_messages(begun[1:])
    assert thread_of_messages(begun) != thread_of_messages(begun, "another key")
    assert thread_of_messages([{"role": "system", "content": "Alone"}])


def test_rolling_back_in_the_middle_of_a_canary_leaves_one_model(deployment, project, base_model, alice) -> None:
    first, second, third = (make_model(project) for _ in range(3))
    for model in (first, second):
        deploy_model(deployment=deployment, model=model, **WHY)
    set_canary(deployment=deployment, model=third, percent=50, **WHY)
    roll_back(deployment=deployment, by=alice, reason="It swears.")
    assert standing() == (first, None, "", 0)
    assert kinds(deployment) == ["deploy", "deploy", "canary", "withdraw", "roll_back"]
    assert (
        roll_back(deployment=deployment, by=alice).to_model is None
    )  # the steps of a candidate count for nothing here


def test_of_two_people_one_takes_the_step(deployment, project, tuned_model) -> None:
    stale = Deployment.objects.get()
    set_canary(deployment=deployment, model=tuned_model, percent=5, **WHY)
    for late in (
        lambda: deploy_model(deployment=stale, model=make_model(project), **WHY),
        lambda: start_shadow(deployment=stale, model=make_model(project), **WHY),
    ):
        with pytest.raises(ReleaseConflict):
            late()
    stale = Deployment.objects.get()
    set_canary(deployment=deployment, model=tuned_model, percent=10, **WHY)
    with pytest.raises(ReleaseConflict):
        promote(deployment=stale, **WHY)
    assert standing()[1:] == (tuned_model, Stage.CANARY, 10)


def test_a_candidate_is_not_deleted_and_is_kept_loaded(deployment, tuned_model, base_model) -> None:
    start_shadow(deployment=deployment, model=tuned_model, **WHY)
    with pytest.raises(ModelIsLive):
        retire_model(model=tuned_model)
    assert warm_models(limit=3) == [base_model, tuned_model]
    assert warm_models(limit=1) == [base_model]


def test_other_products_are_told(deployment, project, tuned_model, alice) -> None:
    from labeling.actions.webhook import add_webhook

    add_webhook(project=project, url="https://example.com", events=[WebhookEvent.CANDIDATE_CHANGED], by=alice)
    set_canary(deployment=deployment, model=tuned_model, percent=5, **WHY, by=alice)
    withdraw(deployment=deployment, reason="Too many reports.")
    said = [row.payload["data"] for row in WebhookDelivery.objects.order_by("pk")]
    assert [(row["kind"], row["percent"], row["by_rule"]) for row in said] == [
        ("canary", 5, False),
        ("withdraw", 0, True),
    ]
    assert said[1]["reason"] == "Too many reports."


def test_the_page_takes_the_steps(engine, deployment, project, tuned_model, alice, sign_in) -> None:
    evaluate(tuned_model)
    client, page = sign_in(alice), reverse("deployment-release-show", args=["kitchen"])
    address = reverse("deployment-candidate-step", args=["kitchen"])

    def post(step: str, **fields) -> int:
        return client.post(address, {"model": tuned_model.pk, "step": step, **fields}).status_code

    assert post("promote") == post("withdraw") == 409
    assert post("canary") == post("canary", percent=100) == post("on") == 422
    assert post("shadow") == 302
    assert "Nobody sees its answers." in client.get(page).content.decode()
    assert post("canary", percent=7, reason="Looks good.") == 302
    text = client.get(page).content.decode()
    assert "It answers 7 % of the conversations" in text
    assert "Looks good." in text
    assert client.post(address, {"model": make_model(project).pk, "step": "promote"}).status_code == 409
    assert client.post(address, {"model": make_model(project).pk, "step": "shadow"}).status_code == 422
    assert post("promote") == 302
    assert standing() == (tuned_model, None, "", 0)
    other = make_model(project)
    assert client.post(address, {"model": other.pk, "step": "shadow", "reason": "Why not."}).status_code == 302
    assert client.post(address, {"model": other.pk, "step": "withdraw"}).status_code == 302
    assert standing() == (tuned_model, None, "", 0)
    assert "Candidate withdrawn" in client.get(page).content.decode()


def test_the_steps_are_the_admins(deployment, rita, charlie, alice, client) -> None:
    address = reverse("deployment-candidate-step", args=["kitchen"])
    for person, status in ((rita, 403), (charlie, 404)):
        client.force_login(person)
        assert client.post(address).status_code == status
    client.force_login(alice)
    assert client.get(address).status_code == 405


@pytest.mark.django_db(transaction=True)
def test_a_conversation_over_the_api_stays_with_its_model(engine, deployment, project, tuned_model, client) -> None:
    """Named by the caller, by its person, or known by how it begins; each answer is logged with who gave it."""
    set_canary(deployment=deployment, model=tuned_model, percent=50, **WHY)
    _row, key = create_key(project=project, name="a test")

    def ask(turns: int, first: str = "Hello", **body) -> str:
        messages = [{"role": "user", "content": first}]
        for number in range(turns):
            messages += [{"role": "assistant", "content": "Yes?"}, {"role": "user", "content": f"And {number}?"}]
        answer = client.post(
            "/v1/chat/completions",
            json.dumps({"model": "assistant", "messages": messages, **body}),
            content_type="application/json",
            headers={"Authorization": f"Bearer {key}"},
        )
        said = answer.json()["choices"][0]["message"]["content"].removesuffix(" says hello")
        assert Completion.objects.get(key=answer.json()["id"]).model_name == said
        return said

    met = {}
    for number in range(6):
        named = [
            {"user": f"u{number}"},
            {"safety_identifier": f"s{number}"},
            {"metadata": {"conversation_id": f"c{number}"}},
        ]
        for body in named:
            met[str(body)] = ask(0, f"Hello {number}", **body)
            assert ask(1, "Something else", **body) == met[str(body)]
        met[str(number)] = ask(0, f"Good day {number}")
        assert ask(2, f"Good day {number}") == met[str(number)]
    assert set(met.values()) == {tuned_model.name, deployment.live_name}
    assert Completion.objects.exclude(thread="").count() == 48
