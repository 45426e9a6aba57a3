"""From a name to an answer, and to a row that tells the truth about it."""

import asyncio
from contextlib import aclosing

import pytest
from asgiref.sync import sync_to_async
from django.db import IntegrityError

from deployment.actions.errors import EngineAway, UnknownTarget
from deployment.actions.release import deploy_model, roll_back
from deployment.gateway import find_route, generate, open_completion
from deployment.models import Completion
from deployment.states import CompletionState
from tests.deployment.conftest import make_model

pytestmark = pytest.mark.django_db(transaction=True)
HELLO = [{"role": "user", "content": "Hello"}]


def opened(project, target="assistant", **fields):
    route = find_route(project=project, target=target)
    return route, open_completion(route=route, project=project, messages=HELLO, parameters={"temperature": 0}, **fields)


async def read(route, completion) -> str:
    async with aclosing(generate(completion=completion, route=route)) as pieces:
        return "".join([piece async for piece in pieces])


def test_the_deployment_answers_with_what_is_live_and_others_by_their_own_name(
    deployment, project, tuned_model, base_model
) -> None:
    assert find_route(project=project, target="assistant").name == base_model.slug
    assert find_route(project=project, target=tuned_model.name).path == tuned_model.location
    assert find_route(project=project, target=base_model.slug).deployment is None
    deploy_model(deployment=deployment, model=tuned_model, reason="a test")
    route = find_route(project=project, target="assistant")
    assert (route.name, route.tuned_model, route.deployment) == (tuned_model.name, tuned_model, deployment)


def test_another_projects_model_cannot_be_asked(deployment, project, base_model) -> None:
    from tests.factories import ProjectFactory

    foreign = make_model(ProjectFactory())
    with pytest.raises(UnknownTarget):
        find_route(project=project, target=foreign.name)


def test_the_row_is_there_before_the_first_token(deployment, project) -> None:
    _route, completion = opened(project, key="chatcmpl-1")
    assert Completion.objects.get().state == CompletionState.STREAMING
    with pytest.raises(IntegrityError):
        opened(project, key="chatcmpl-1")
    assert completion.model_name == "smollm2-135m-instruct"


async def test_an_answer_is_logged_with_its_numbers(engine, deployment, project) -> None:
    route, completion = await sync_to_async(opened)(project)
    assert await read(route, completion) == "smollm2-135m-instruct says hello"
    row = await Completion.objects.aget()
    assert (row.state, row.finish_reason, row.n_completion_tokens) == (CompletionState.DONE, "stop", 3)
    assert row.mean_logprob == -0.25
    assert row.response == completion.response == "smollm2-135m-instruct says hello"


async def test_an_engine_that_is_away_leaves_a_failed_row_that_says_so(deployment, project) -> None:
    route, completion = await sync_to_async(opened)(project)
    with pytest.raises(EngineAway):
        await read(route, completion)
    row = await Completion.objects.aget()
    assert row.state == CompletionState.FAILED
    assert row.error == "The engine does not answer. It may be starting."


async def test_what_was_written_before_a_failure_is_kept(engine, deployment, project) -> None:
    engine.break_off = True
    route, completion = await sync_to_async(opened)(project)
    with pytest.raises(EngineAway):
        await read(route, completion)
    row = await Completion.objects.aget()
    assert (row.state, row.response) == (CompletionState.FAILED, "smollm2-135m-instruct")


async def test_a_reader_that_goes_away_ends_the_generation_and_keeps_the_text(engine, deployment, project) -> None:
    engine.held = True
    route, completion = await sync_to_async(opened)(project)
    async with aclosing(generate(completion=completion, route=route)) as pieces:
        assert await anext(pieces) == "smollm2-135m-instruct"
    row = await Completion.objects.aget()
    assert (row.state, row.response) == (CompletionState.CANCELLED, "smollm2-135m-instruct")
    assert await asyncio.to_thread(engine.wait_until_left)


async def test_a_cancelled_task_ends_the_row_too(engine, deployment, project) -> None:
    engine.held = True
    route, completion = await sync_to_async(opened)(project)
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def consume() -> None:
        async for piece in generate(completion=completion, route=route):
            seen.put_nowait(piece)

    task = asyncio.create_task(consume())
    await seen.get()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    row = await Completion.objects.aget()
    assert (row.state, row.response) == (CompletionState.CANCELLED, "smollm2-135m-instruct")


async def test_a_switch_under_load_fails_no_request_and_each_has_one_model(
    engine, deployment, project, tuned_model, base_model
) -> None:
    """Requests that began before the switch are finished by the old model, later ones by the new, back again too."""
    engine.held = True
    before = [await sync_to_async(opened)(project) for _ in range(6)]
    tasks = [asyncio.create_task(read(*pair)) for pair in before]
    await sync_to_async(deploy_model)(deployment=deployment, model=tuned_model, reason="a test")
    after = [await sync_to_async(opened)(project) for _ in range(6)]
    tasks += [asyncio.create_task(read(*pair)) for pair in after]
    await sync_to_async(roll_back)(deployment=deployment, by=None)
    last = await sync_to_async(opened)(project)
    tasks.append(asyncio.create_task(read(*last)))
    engine.release()
    texts = await asyncio.gather(*tasks)
    old, new = f"{base_model.slug} says hello", f"{tuned_model.name} says hello"
    assert texts == [old] * 6 + [new] * 6 + [old]
    rows = [row async for row in Completion.objects.order_by("pk")]
    assert {row.state for row in rows} == {CompletionState.DONE}
    assert [f"{row.model_name} says hello" for row in rows] == texts
    assert engine.loads == [(tuned_model.name, tuned_model.location)]
