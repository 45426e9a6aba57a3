"""The way from a name to an answer: who answers, the logged row, the text. Chat uses it, and so does every other front.

    route = await sync_to_async(find_route)(project=project, target="assistant")
    completion = await sync_to_async(open_completion)(route=route, messages=messages, parameters={}, user=user)
    async with aclosing(generate(completion=completion, route=route)) as pieces:
        async for piece in pieces:
            ...

A request carries the model that it was routed to, so a switch in between changes nothing for it.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.utils.translation import gettext as _

from common.compiled import Compiled
from common.conversations import Message
from deployment import engine, outside_engine, tracing
from deployment.actions.errors import EngineAway, EngineError, UnknownTarget
from deployment.going_on import go_on, repeatable
from deployment.models import Completion, Conversation, Deployment
from deployment.outside_engine import Place
from deployment.queries.routing import choose_model, place_of
from deployment.states import CompletionState
from labeling.models import ApiKey, Project, User
from training.models import BaseModel, TunedModel
from training.queries import find_base_model

ENGINE_PARAMETERS = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
)
_DEPLOYMENT = Compiled(
    lambda project_id, name: Deployment.objects.select_related("live_model", "candidate_model", "base_model").filter(
        project_id=project_id, name=name
    ),
    int,
    str,
)


@dataclass(frozen=True)
class Route:
    """Who answers one request. `deployment` is set where the request named it and not the model, `place` where an outside
    engine answers; else the embedded one reads `path`."""

    name: str
    path: str
    tuned_model: TunedModel | None = None
    deployment: Deployment | None = None
    thread: str = ""
    place: Place | None = None
    traceparent: str = ""  # the trace that the request belongs to, as its header says


@dataclass(frozen=True)
class _Running:
    """An answer that is being written. `saved` is awaited before its end is written, where its row is still on its way."""

    completion: Completion
    saved: Awaitable[object] | None
    began: float
    span: Any


def find_route(*, project: Project, target: str, thread: str = "") -> Route:
    """Return who answers to `target`: a deployment's name, a model of the project, or a base model by its slug or an old name.

    A deployment with a canary chooses by the conversation's `thread` (deployment/queries/routing.py). Raises UnknownTarget, and ModelNotLoadable for weights that the engine may not read.
    """
    deployment = _DEPLOYMENT.first(project.pk, target)
    if deployment is not None:
        return _route_to(project.pk, choose_model(deployment, thread=thread), deployment, thread)
    tuned_model = TunedModel.objects.filter(project=project).named(target).first()
    if tuned_model is not None:
        return _route_to(project.pk, tuned_model)
    base_model = find_base_model(target)
    if base_model is None:
        raise UnknownTarget(_("There is no model with the name “%(name)s” in this project.") % {"name": target})
    return _route_to(project.pk, base_model)


def route_to(model: TunedModel) -> Route:
    """Return the way to a model itself, whatever the deployment says. Raises ModelNotLoadable."""
    return _route_to(model.project_id, model)


def new_key() -> str:
    """Return a key for a completion's row."""
    return f"chatcmpl-{uuid.uuid4().hex}"


def open_completion(**fields: Any) -> Completion:
    """Write the row of an answer, as of `new_completion`, before its first token. A key that exists already raises IntegrityError."""
    completion = new_completion(**fields)
    completion.save(force_insert=True)
    return completion


def new_completion(
    *,
    route: Route,
    project: Project,
    messages: list[Message],
    parameters: dict[str, Any],
    user: User | None = None,
    conversation: Conversation | None = None,
    side: int = 0,
    key: str = "",
    api_key: ApiKey | None = None,
    metadata: dict[str, str] | None = None,
    is_stored: bool = False,
) -> Completion:
    """Return the row of an answer, for the caller to save."""
    return Completion(
        key=key or new_key(),
        project=project,
        deployment=route.deployment,
        tuned_model=route.tuned_model,
        thread=route.thread,
        model_name=route.name,
        conversation=conversation,
        side=side,
        user=user,
        messages=messages,
        parameters=parameters,
        api_key=api_key,
        metadata=metadata,
        is_stored=is_stored,
    )


async def generate(
    *,
    completion: Completion,
    route: Route,
    on_end: Callable[[engine.AnswerEnd], None] | None = None,
    saved: Awaitable[object] | None = None,
) -> AsyncGenerator[str, None]:
    """Yield the answer's text as it is written and keep the completion's row true.

    The row ends as done; as failed, when EngineError is raised on to the caller; as cancelled, with what was written,
    when the caller closes the iterator or its task is cancelled. Read it inside `contextlib.aclosing`: an iterator that
    is only dropped keeps the engine at work until it is collected. `on_end` is told the last line, when the row is written. Where the row is still on its way to the database, `saved` is waited for
    before the end is written.
    """
    parts: list[str] = []
    running = _Running(completion, saved, time.monotonic(), await _span(completion, route))
    parameters = {name: completion.parameters[name] for name in ENGINE_PARAMETERS if name in completion.parameters}
    asked: dict[str, Any] = {"messages": completion.messages, "parameters": repeatable(parameters)}
    end: engine.AnswerEnd | None = None
    try:
        try:
            async with aclosing(ask(route, **asked)) as answer:
                async for part in answer:
                    if isinstance(part, engine.AnswerEnd):
                        end = part
                    else:
                        parts.append(part)
                        yield part
        except EngineAway as error:
            if not parts or route.place:  # an outside engine promises no second answer like the first
                raise
            whole = go_on(name=route.name, path=route.path, **asked, sent="".join(parts), broken=error)
            async with aclosing(whole) as rest:
                async for part in rest:
                    if isinstance(part, engine.AnswerEnd):
                        end = part
                    else:
                        parts.append(part)
                        yield part
    except EngineError as error:
        await _close(running, CompletionState.FAILED, parts, error=str(error)[:500])
        raise
    except (asyncio.CancelledError, GeneratorExit):
        await _close(running, CompletionState.CANCELLED, parts, finish_reason="cancelled")
        raise
    except BaseException:
        await _close(running, CompletionState.FAILED, parts, error=_("Something went wrong on our side."))
        raise
    assert end is not None  # stream_answer raises when the last line is missing
    await _close(
        running,
        CompletionState.DONE,
        parts,
        finish_reason=end.finish_reason,
        n_prompt_tokens=end.n_prompt_tokens,
        n_completion_tokens=end.n_completion_tokens,
        time_to_first_token_s=end.time_to_first_token_s,
        mean_logprob=end.mean_logprob,
    )
    if on_end is not None:
        on_end(end)


async def _span(completion: Completion, route: Route) -> Any:
    """Begin the answer's span, where there is somebody to tell: names are read from the database for it."""
    return await sync_to_async(tracing.begin)(completion, route) if settings.OTLP_URL else None


def ask(
    route: Route, *, messages: list[Message], parameters: dict[str, Any]
) -> AsyncGenerator[str | engine.AnswerEnd, None]:
    """Return the answer of whatever engine the route leads to, as `engine.stream_answer` does."""
    if route.place:
        return outside_engine.stream_answer(place=route.place, messages=messages, parameters=parameters)
    return engine.stream_answer(name=route.name, path=route.path, messages=messages, parameters=parameters)


async def _close(running: _Running, state: CompletionState, parts: list[str], **fields: Any) -> None:
    """End the row, also when the task that asks for it is cancelled while the database writes."""
    fields |= {"state": state, "response": "".join(parts), "duration_s": round(time.monotonic() - running.began, 3)}
    tracing.end(running.span, fields)

    async def write() -> None:
        if running.saved is not None:
            await running.saved
        await sync_to_async(_write_end)(running.completion, fields)

    await asyncio.shield(asyncio.ensure_future(write()))


def _write_end(completion: Completion, fields: dict[str, Any]) -> None:
    """Only a row that is still being written ends: the sweep may have given it up."""
    rows = Completion.objects.filter(pk=completion.pk, state=CompletionState.STREAMING)
    if rows.update(**fields):
        for name, value in fields.items():
            setattr(completion, name, value)


def _route_to(
    project_pk: int, model: TunedModel | BaseModel, deployment: Deployment | None = None, thread: str = ""
) -> Route:
    place = place_of(project_pk, model)
    return Route(
        name=model.name if isinstance(model, TunedModel) else model.slug,
        path="" if place else engine.relative_path(model.folder),
        tuned_model=model if isinstance(model, TunedModel) else None,
        deployment=deployment,
        thread=thread,
        place=place,
    )
