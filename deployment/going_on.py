"""Answers that outlive the engine: one that broke off in the middle is asked for again, and goes on where it was.

The same model, the same prompt and the same seed give the same answer; so what the reader has already is left out of the
second attempt. Where it turns out otherwise, nothing is glued together: the answer ends with its error.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from django.utils.translation import gettext as _

from common.conversations import Message
from deployment import engine
from deployment.actions.errors import EngineAway, EngineBusy, EngineError
from deployment.engine import AnswerEnd

RETURN_S = 60.0  # so long a new engine may take to come up
LOOK_S = 0.2
N_ATTEMPTS = 2  # of an engine that is there and breaks off all the same


def repeatable(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with a seed, where chance takes part and none was given."""
    if parameters.get("temperature") == 0 or "seed" in parameters:
        return parameters
    return {**parameters, "seed": secrets.randbits(62)}


async def go_on(
    *, sent: str, name: str, path: str, messages: Sequence[Message], parameters: dict[str, Any], broken: EngineAway
) -> AsyncGenerator[str | AnswerEnd, None]:
    """Yield what follows `sent` in the answer that `broken` cut off, then its end. Raises EngineError."""
    deadline = time.monotonic() + RETURN_S
    n_attempts = 0
    while n_attempts < N_ATTEMPTS:
        left, is_heard = sent, False
        try:
            answer = engine.stream_answer(name=name, path=path, messages=messages, parameters=parameters)
            async with aclosing(answer):
                async for part in answer:
                    is_heard = True
                    if isinstance(part, AnswerEnd):
                        if left:
                            raise _other_answer()
                        yield part
                        return
                    n = min(len(left), len(part))
                    if part[:n] != left[:n]:
                        raise _other_answer()
                    left = left[n:]
                    if part[n:]:
                        sent += part[n:]
                        yield part[n:]
        except (EngineAway, EngineBusy) as error:
            if time.monotonic() >= deadline:
                raise broken from error
            n_attempts += is_heard
            await asyncio.sleep(LOOK_S)
    raise broken


def _other_answer() -> EngineError:
    return EngineError(_("The engine broke off, and its new attempt went another way."))
