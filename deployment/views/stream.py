"""Answers on their way to the page: JSON lines, several answers side by side on one connection."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from asgiref.sync import sync_to_async

from deployment.actions.chat import Attempt
from deployment.actions.errors import EngineError
from deployment.gateway import generate
from deployment.models import Completion

logger = logging.getLogger(__name__)
CONTENT_TYPE = "application/x-ndjson"


async def write_all(attempts: list[Attempt]) -> None:
    """Let all answers be written to their ends, for a page without JavaScript."""
    await asyncio.gather(*(_write(attempt, lambda text: None) for attempt in attempts))


async def stream_lines(
    attempts: list[Attempt], *, opening: dict[str, Any], render: Callable[[Completion], str]
) -> AsyncIterator[bytes]:
    """Yield `opening`, then `{"key", "text"}` as text comes, and `{"key", "html"}` once for each answer that ended.

    Each answer is written by a task of its own. When the reader goes away the tasks are cancelled, and the gateway ends
    the generation and keeps what was written. The tasks start with the first line, inside of the handler that sends it.
    """
    yield _line(opening)
    queue: asyncio.Queue[dict[str, Any] | Completion] = asyncio.Queue()
    tasks = [asyncio.create_task(_write_to(queue, attempt)) for attempt in attempts]
    try:
        n_open = len(tasks)
        while n_open:
            item = await queue.get()
            if isinstance(item, Completion):
                n_open -= 1
                item = {"key": item.key, "html": await sync_to_async(render)(item)}
            yield _line(item)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _write_to(queue: "asyncio.Queue[dict[str, Any] | Completion]", attempt: Attempt) -> None:
    completion = attempt.completion
    try:
        await _write(attempt, lambda text: queue.put_nowait({"key": completion.key, "text": text}))
    except Exception:  # the edge of a task: the other answer goes on
        logger.exception("%s broke off", completion.key)
    finally:
        queue.put_nowait(completion)


async def _write(attempt: Attempt, use: Callable[[str], None]) -> None:
    """Read the answer to its end. What the engine reports stands in the row, the page shows it from there."""
    try:
        async with aclosing(generate(completion=attempt.completion, route=attempt.route)) as pieces:
            async for text in pieces:
                use(text)
    except EngineError as error:
        logger.warning("%s: %s", attempt.completion.key, error)


def _line(item: dict[str, Any]) -> bytes:
    return json.dumps(item, ensure_ascii=False).encode() + b"\n"
