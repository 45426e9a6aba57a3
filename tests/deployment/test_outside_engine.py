"""Engines outside: who is asked, what is logged, and what a failing one leaves alone."""

from collections.abc import Iterator
from contextlib import aclosing

import pytest
from asgiref.sync import sync_to_async
from django.urls import reverse
from django.utils import timezone

from common.models import Transition
from deployment.actions.errors import (
    ContextTooLong,
    EngineAway,
    EngineBusy,
    EngineError,
    ModelNotLoadable,
    NameTaken,
)
from deployment.actions.outside_engine import delete_engine, look_at, look_at_engines, save_engine, serve, stop_serving
from deployment.actions.release import deploy_model
from deployment.actions.upkeep import keep_loaded
from deployment.gateway import find_route, generate, open_completion
from deployment.models import Completion, Deployment, OutsideEngine, ServedModel
from deployment.states import CompletionState, EngineKind
from tests.deployment.conftest import make_model
from tests.deployment.stub_outside import KEY, StubOutside
from tests.factories import ProjectFactory

pytestmark = pytest.mark.django_db(transaction=True)
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def stub(settings) -> Iterator[StubOutside]:
    settings.ENGINE_PRIVATE = True
    stub = StubOutside()
    stub.start()
    yield stub
    stub.stop()


@pytest.fixture
def outside(stub, project, alice) -> OutsideEngine:
    return save_engine(project=project, name="GPU", kind=EngineKind.VLLM, url=stub.url, key=KEY, by=alice)


@pytest.fixture
def served(outside, tuned_model, alice) -> ServedModel:
    return serve(engine=outside, model=tuned_model, served_name="release-1", by=alice)


def opened(project, target, **parameters):
    route = find_route(project=project, target=target)
    return route, open_completion(route=route, project=project, messages=HELLO, parameters=parameters)


async def read(route, completion, **options) -> str:
    async with aclosing(generate(completion=completion, route=route, **options)) as pieces:
        return "".join([piece async for piece in pieces])


async def test_it_answers_for_its_model_and_the_row_says_so(stub, served, project, tuned_model) -> None:
    asked = {"temperature": 0.5, "max_tokens": 20, "top_k": 4, "logprobs": 1, "stop": ["END"]}
    route, completion = await sync_to_async(opened)(project, tuned_model.name, **asked)
    ends: list = []
    assert await read(route, completion, on_end=ends.append) == "release-1 here"
    row = await Completion.objects.aget()
    assert (row.tuned_model_id, row.model_name, row.state) == (tuned_model.pk, tuned_model.name, CompletionState.DONE)
    assert (row.n_prompt_tokens, row.n_completion_tokens, row.finish_reason) == (7, 2, "stop")
    assert row.time_to_first_token_s > 0
    (body,) = stub.requests
    assert (body["model"], body["messages"], body["stream"]) == ("release-1", HELLO, True)
    assert (body["temperature"], body["max_tokens"], body["top_k"], body["stop"]) == (0.5, 20, 4, ["END"])
    assert (body["logprobs"], body["top_logprobs"], isinstance(body["seed"], int)) == (True, 1, True)
    assert [score.token for score in ends[0].scores] == ["here"]


def test_other_projects_and_other_models_stay_with_the_embedded_engine(served, project, base_model, alice) -> None:
    assert find_route(project=project, target=base_model.slug).place is None
    assert find_route(project=project, target=make_model(project).name).place is None
    serve(engine=served.engine, model=base_model, served_name="base", by=alice)
    assert find_route(project=project, target=base_model.slug).place.served_name == "base"
    assert find_route(project=ProjectFactory(), target=base_model.slug).place is None
    stop_serving(served=served, by=alice)
    assert find_route(project=project, target=served.model_name).place is None


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (401, {"message": "bad key"}, EngineError),
        (404, {"message": "no such model"}, ModelNotLoadable),
        (429, {"message": "slow down"}, EngineBusy),
        (400, {"message": "too long", "code": "context_length_exceeded"}, ContextTooLong),
        (400, {"message": "bad parameter"}, EngineError),
    ],
)
async def test_its_refusals_are_those_of_an_engine(stub, served, project, tuned_model, status, error, kind) -> None:
    stub.refuse = (status, error)
    route, completion = await sync_to_async(opened)(project, tuned_model.name)
    with pytest.raises(kind) as raised:
        await read(route, completion)
    assert type(raised.value) is kind
    assert (await Completion.objects.aget()).state == CompletionState.FAILED


async def test_an_answer_that_breaks_off_fails_and_is_not_glued(stub, served, project, tuned_model) -> None:
    stub.break_off = True
    route, completion = await sync_to_async(opened)(project, tuned_model.name)
    with pytest.raises(EngineAway, match="broke off"):
        await read(route, completion)
    assert len(stub.requests) == 1
    assert (await Completion.objects.aget()).response == "release-1"


async def test_going_away_ends_the_generation(stub, served, project, tuned_model) -> None:
    stub.held = True
    route, completion = await sync_to_async(opened)(project, tuned_model.name)
    async with aclosing(generate(completion=completion, route=route)) as pieces:
        assert await anext(pieces) == "release-1"
    assert await sync_to_async(stub.wait_until_left)()
    assert (await Completion.objects.aget()).state == CompletionState.CANCELLED


def test_a_model_that_its_engine_does_not_have_does_not_go_live(stub, served, deployment, tuned_model) -> None:
    stub.names = ["release-2"]
    with pytest.raises(ModelNotLoadable, match="release-1"):
        deploy_model(deployment=deployment, model=tuned_model, reason="a test")
    assert Deployment.objects.get().live_model is None
    stub.names = ["release-1"]
    deploy_model(deployment=deployment, model=tuned_model, reason="a test")
    assert Deployment.objects.get().live_model == tuned_model


def test_the_embedded_engine_does_not_load_what_another_answers(
    engine, served, deployment, tuned_model, nudges
) -> None:
    deploy_model(deployment=deployment, model=tuned_model, reason="a test")
    nudges.clear()
    keep_loaded()
    assert nudges == []


def test_looks_say_what_it_serves_and_become_rarer_when_it_is_away(stub, outside) -> None:
    outside.refresh_from_db()
    assert (outside.served_names, outside.problem) == (["release-1", "release-2"], "")
    assert (outside.figures["n_running"], outside.figures["n_waiting"]) == (3.0, 2.0)
    stub.n_written = 400.0
    look_at(outside)
    outside.refresh_from_db()
    assert outside.figures["tokens_per_s"] > 0
    stub.stop()
    waits = []
    for _number in range(3):
        outside.refresh_from_db()
        look_at(outside)
        outside.refresh_from_db()
        waits.append((outside.next_look_at - outside.looked_at).total_seconds())
    assert outside.problem == "The engine does not answer."
    assert waits[0] < waits[1] < waits[2] <= 600
    assert look_at_engines() == 0, "its turn comes later"
    OutsideEngine.objects.update(next_look_at=timezone.now())
    assert look_at_engines() == 1


def test_addresses_of_this_network_are_refused_unless_allowed(stub, settings, project, alice) -> None:
    settings.ENGINE_PRIVATE = False
    engine = save_engine(project=project, name="Near", kind=EngineKind.OPENAI, url=stub.url, key=KEY, by=alice)
    engine.refresh_from_db()
    assert "EMEND_ENGINE_PRIVATE" in engine.problem
    assert (engine.served_names, stub.requests) == ([], [])


def test_the_key_is_sealed_kept_and_never_shown(outside, project, alice, sign_in) -> None:
    save_engine(project=project, name="GPU 2", kind=EngineKind.VLLM, url=outside.url, key="", by=alice, engine=outside)
    look_at(outside)
    outside.refresh_from_db()
    assert (outside.problem, KEY in outside.sealed_key) == ("", False)
    client = sign_in(alice)
    pages = [reverse("deployment-engine-list", args=[project.slug])]
    pages.append(reverse("deployment-engine-edit", args=[project.slug, outside.pk]))
    assert not any(KEY in client.get(page).content.decode() for page in pages)
    assert not Transition.objects.filter(after__contains=KEY).exists()
    with pytest.raises(NameTaken):
        save_engine(project=project, name="GPU 2", kind=EngineKind.OPENAI, url="https://a.org/v1", key="", by=alice)


def test_an_admin_adds_an_engine_and_lets_it_answer(stub, project, tuned_model, alice, sign_in) -> None:
    client, listed = sign_in(alice), reverse("deployment-engine-list", args=[project.slug])
    assert "No engine outside" in client.get(listed).content.decode()
    form = {"name": "GPU", "kind": "vllm", "url": stub.url, "key": KEY}
    assert (
        client.post(reverse("deployment-engine-add", args=[project.slug]), form | {"url": "nowhere"}).status_code == 422
    )
    assert client.post(reverse("deployment-engine-add", args=[project.slug]), form).status_code == 302
    engine = OutsideEngine.objects.get()
    address = reverse("deployment-engine-serve", args=[project.slug, engine.pk])
    client.post(address, {"model": f"tuned-{tuned_model.pk}", "served_name": "release-9"})
    page = client.get(listed).content.decode()
    assert "not served there" in page
    assert "release-1 · release-2" in page
    foreign = make_model(ProjectFactory())
    client.post(address, {"model": f"tuned-{foreign.pk}", "served_name": "release-1"})
    assert ServedModel.objects.get().tuned_model == tuned_model
    client.post(reverse("deployment-engine-stop", args=[project.slug, ServedModel.objects.get().pk]))
    assert not ServedModel.objects.exists()
    client.post(reverse("deployment-engine-delete", args=[project.slug, engine.pk]))
    assert not OutsideEngine.objects.exists()


def test_a_deleted_engine_leaves_its_models_to_the_embedded_one(served, project, tuned_model, alice) -> None:
    delete_engine(engine=served.engine, by=alice)
    assert find_route(project=project, target=tuned_model.name).place is None
