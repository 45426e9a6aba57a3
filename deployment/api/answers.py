"""The answers to one request, written at the same time by the gateway and read as one sequence."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from common.wire import WireError, new_id, read_json, sse, stream_response
from common.wire_params import Params
from deployment.actions.errors import (
    ContextTooLong,
    DeploymentError,
    EngineAway,
    EngineBusy,
    EngineError,
    ModelNotLoadable,
    UnknownTarget,
)
from deployment.api.asked import Asked
from deployment.engine import AnswerEnd, TokenScore
from deployment.gateway import Route, find_route, generate, new_completion
from deployment.models import Completion
from deployment.queries.routing import thread_of, thread_of_messages
from labeling.api.key import require_key
from labeling.states import Scope

logger = logging.getLogger(__name__)
SILENCE_S = 15.0  # then a sign of life is sent
WRITTEN_OUT = ("stop", "length")


@dataclass(frozen=True)
class Piece:
    """Text of the answer with this index."""

    index: int
    text: str


@dataclass(frozen=True)
class Ended:
    """The answer with this index is complete."""

    index: int
    finish_reason: str
    scores: list[TokenScore] | None


class Answers:
    """Answers on their way: `start`, then `async for part in answers`, then `stop`, whatever happened.

    The first failure of one answer is raised as WireError and ends them all.
    """

    def __init__(self, *, asked: Asked, key: str, route: Route, completions: list[Completion]) -> None:
        self.asked, self.key, self.completions = asked, key, completions
        self.created = int(time.time())
        self._route = route
        self._queue: asyncio.Queue[Piece | Ended | WireError | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._first: Piece | Ended | None = None
        self._heard_at = 0.0
        self._beat: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._saving = asyncio.ensure_future(sync_to_async(Completion.objects.bulk_create)(self.completions))
        self._saving.add_done_callback(self._look_at_saving)
        self._tasks = [asyncio.create_task(self._write(i)) for i in range(len(self.completions))]

    async def stop(self) -> None:
        """End what is still being written; the gateway keeps what there is."""
        if self._beat is not None:
            self._beat.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, self._saving, return_exceptions=True)

    def _look_at_saving(self, saving: "asyncio.Future[list[Completion]]") -> None:
        """An answer that cannot be logged is none: feedback would not find it."""
        if not saving.cancelled() and (error := saving.exception()) is not None:
            logger.error("%s cannot be saved: %s", self.key, error)
            self._put(wire_error(EngineError("The server could not write down the answer.")))

    def close(self) -> None:
        """The same from any thread and without waiting, for a response that nobody has read."""
        if self._loop is not None and not self._loop.is_closed():
            for task in self._tasks:
                self._loop.call_soon_threadsafe(task.cancel)

    async def ready(self) -> None:
        """Return when there is something to send; what fails before that can still be told by the status."""
        self._first = await self._take()

    async def parts(self) -> AsyncGenerator[Piece | Ended | None, None]:
        """Yield all parts of all answers as they come, and None after each long silence."""
        n_open = len(self._tasks)
        self._watch()
        while n_open:
            part = self._first or await self._take()
            self._first = None
            n_open -= isinstance(part, Ended)
            yield part

    def _watch(self) -> None:
        """Put a sign of life among the parts after each long silence: one timer for the stream, not one for each part."""
        assert self._loop is not None
        silent_s = self._loop.time() - self._heard_at
        if silent_s >= SILENCE_S:
            self._queue.put_nowait(None)
            silent_s = 0.0
            self._heard_at = self._loop.time()
        self._beat = self._loop.call_later(SILENCE_S - silent_s, self._watch)

    async def _take(self) -> Piece | Ended | None:
        part = await self._queue.get()
        if isinstance(part, WireError):
            raise part
        return part

    def _put(self, part: Piece | Ended | WireError) -> None:
        assert self._loop is not None
        self._heard_at = self._loop.time()
        self._queue.put_nowait(part)

    def usage(self) -> dict[str, int]:
        """Return the counted tokens; a prompt counts once, however many answers it has."""
        n_prompt = sum(row.n_prompt_tokens or 0 for row in self.completions[:: self.asked.n])
        n_answer = sum(row.n_completion_tokens or 0 for row in self.completions)
        return {"prompt_tokens": n_prompt, "completion_tokens": n_answer, "total_tokens": n_prompt + n_answer}

    async def _write(self, index: int) -> None:
        completion = self.completions[index]
        end: AnswerEnd | None = None

        def keep(last: AnswerEnd) -> None:
            nonlocal end
            end = last

        try:
            async with aclosing(
                generate(completion=completion, route=self._route, on_end=keep, saved=self._saving)
            ) as pieces:
                async for text in pieces:
                    self._put(Piece(index, text))
            assert end is not None
            reason = end.finish_reason if end.finish_reason in WRITTEN_OUT else "stop"
            self._put(Ended(index, reason, end.scores))
        except EngineError as error:
            logger.warning("%s: %s", completion.key, error)
            self._put(wire_error(error))
        except Exception:  # the edge of a task: whoever reads would wait for ever
            logger.exception("%s broke off", completion.key)
            self._put(wire_error(EngineError("The server had an error while writing the answer.")))


async def open_answers(request: HttpRequest, parse: Callable[[Params], Asked], *, prefix: str) -> Answers:
    """Check the key and the body, find who answers, and start. Raises WireError.

    The rows are written while the engine reads the prompt: nobody waits for the disk before the first word.
    """
    answers = await sync_to_async(_open)(request, parse, prefix)
    answers.start()
    return answers


def _open(request: HttpRequest, parse: Callable[[Params], Asked], prefix: str) -> Answers:
    key = require_key(request, Scope.INFERENCE)
    asked = parse(Params(read_json(request)))
    try:
        thread = thread_of("api", *asked.named) if asked.named else thread_of_messages(asked.prompts[0], "api", key.pk)
        route = find_route(project=key.project, target=asked.target, thread=thread)
        route = replace(route, traceparent=request.headers.get("traceparent", ""))
    except (UnknownTarget, ModelNotLoadable) as error:
        raise wire_error(error, target=asked.target) from error
    name = new_id(prefix)
    completions = []
    for index in range(len(asked.prompts) * asked.n):
        parameters = {"model": asked.target, **asked.parameters}
        if "seed" in parameters:
            parameters["seed"] += index % asked.n  # or all answers to one prompt would be the same
        completions.append(
            new_completion(
                route=route,
                project=key.project,
                messages=asked.prompts[index // asked.n],
                parameters=parameters,
                user=key.user,
                key=completion_key(name, index),
                api_key=key,
                metadata=asked.metadata,
                is_stored=asked.is_stored and index == 0,
            )
        )
    return Answers(asked=asked, key=name, route=route, completions=completions)


class EventBody:
    """The body of a streamed response: its chunks, and what goes wrong on the way as the last of them."""

    def __init__(self, answers: Answers, chunks: AsyncIterator[str]) -> None:
        self._answers, self._chunks = answers, chunks

    async def __aiter__(self) -> AsyncIterator[str]:
        try:
            async for chunk in self._chunks:
                yield chunk
        except WireError as error:
            yield sse(error.body)
        finally:
            await self._answers.stop()

    def close(self) -> None:
        """Called by the handler at the end of every response, read or not."""
        self._answers.close()


async def respond(
    answers: Answers,
    *,
    whole: Callable[[Answers], Awaitable[dict[str, Any]]],
    chunks: Callable[[Answers], AsyncIterator[str]],
) -> HttpResponseBase:
    """Return the answers in one piece or as a stream, as was asked. Raises WireError as long as nothing was sent."""
    try:
        if not answers.asked.is_stream:
            return JsonResponse(await whole(answers))
        await answers.ready()
    except BaseException:
        await answers.stop()
        raise
    return stream_response(EventBody(answers, chunks(answers)))


async def texts_of(answers: Answers) -> list[tuple[str, Ended]]:
    """Return every answer's text and end, in the order of their indexes."""
    texts = [""] * len(answers.completions)
    ends: dict[int, Ended] = {}
    async for part in answers.parts():
        if isinstance(part, Piece):
            texts[part.index] += part.text
        elif part is not None:
            ends[part.index] = part
    return [(text, ends[index]) for index, text in enumerate(texts)]


def wire_error(error: DeploymentError, *, target: str = "") -> WireError:
    """Return the error as a client knows it. A retry is advised against where it would end the same way."""
    if isinstance(error, UnknownTarget):
        message = f"The model `{target[:100]}` does not exist or you do not have access to it."
        return WireError(message, status=404, code="model_not_found")
    if isinstance(error, ContextTooLong):
        return WireError(str(error), param="messages", code="context_length_exceeded")
    if isinstance(error, EngineAway | EngineBusy):
        headers = {"Retry-After": "2"}
        return WireError(str(error), status=503, kind="server_error", code="engine_unavailable", headers=headers)
    code = "model_not_loadable" if isinstance(error, ModelNotLoadable) else None
    return WireError(str(error), status=500, kind="server_error", code=code, headers={"x-should-retry": "false"})


def completion_key(name: str, index: int) -> str:
    """Return the key of a row: the answer's own name for the first choice, which is how feedback finds it."""
    return f"{name}-{index}" if index else name
