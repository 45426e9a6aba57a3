"""The engine's client (docs/engine.md). It knows addresses, tokens and wire errors, and nothing of rows."""

import functools
import http.client
import json
import ssl
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.utils.translation import gettext as _

from common.conversations import Message
from deployment.actions.errors import ContextTooLong, EngineAway, EngineBusy, EngineError, ModelNotLoadable
from deployment.engine_stream import AnswerStream, Broken, Unreachable, post

CONNECT_TIMEOUT_S = 2.0
HEALTH_TIMEOUT_S = 2.0
LOAD_TIMEOUT_S = 300.0
SILENCE_TIMEOUT_S = 300.0  # between two lines of an answer: a request may wait for its model to load
_BUSY = {429, 503}
_NOT_LOADABLE = {400, 404, 507}
_LOAD_KINDS = {"load", "memory", "not_found", "model"}


@dataclass(frozen=True)
class TokenScore:
    """One token of an answer, its log-probability, and the likeliest tokens in its place."""

    token: str
    token_bytes: list[int] | None
    logprob: float
    likeliest: list["TokenScore"]


@dataclass(frozen=True)
class AnswerEnd:
    """The last line of an answer. `scores` are there where the request asked for `logprobs`."""

    finish_reason: str
    n_prompt_tokens: int | None
    n_completion_tokens: int | None
    time_to_first_token_s: float | None
    duration_s: float | None
    scores: list[TokenScore] | None = None
    mean_logprob: float | None = None  # of its tokens, where the engine tells it


def read_health() -> dict[str, Any]:
    """Return what the engine says of itself: `status`, `models`, `tokens_per_s`, `uptime_s`. Raises EngineError."""
    return _call("GET", "/health", None, timeout_s=HEALTH_TIMEOUT_S)


def load_model(*, name: str, path: str, timeout_s: float = LOAD_TIMEOUT_S) -> None:
    """Return when the engine is ready to answer with the model; at once where it is loaded already.

    Raises EngineAway (also when it takes longer than `timeout_s`), EngineBusy or ModelNotLoadable.
    """
    _call("POST", "/load", {"model": name, "path": path}, timeout_s=timeout_s)


def unload_model(*, name: str) -> None:
    """Let the engine forget the model once its running requests have ended."""
    _call("POST", "/unload", {"model": name}, timeout_s=LOAD_TIMEOUT_S)


def relative_path(folder: Path) -> str:
    """Return the folder as the engine names it: relative to the engine's root, which is `var/`. Raises ModelNotLoadable."""
    try:
        return str(folder.relative_to(settings.VAR_DIR))
    except ValueError:
        raise ModelNotLoadable(
            _("The engine serves only what lies below %(root)s; this model lies in %(folder)s.")
            % {"root": settings.VAR_DIR, "folder": folder}
        ) from None


async def stream_answer(
    *, name: str, path: str, messages: Sequence[Message], parameters: dict[str, Any]
) -> AsyncGenerator[str | AnswerEnd, None]:
    """Yield the answer's text as it is written, then one AnswerEnd. Raises EngineError.

    Closing the iterator, or cancelling the task that reads it, closes the connection, and with it the generation ends.
    """
    body = {"model": name, "path": path, "messages": messages, **parameters}
    try:
        stream = await post(
            _address("/generate"),
            body,
            _headers(),
            connect_s=CONNECT_TIMEOUT_S,
            silence_s=SILENCE_TIMEOUT_S,
            context=_ssl_context(),
        )
    except Unreachable as error:
        raise EngineAway(_("The engine does not answer. It may be starting.")) from error
    try:
        status = await stream.head()
        if status != 200:
            raise _refusal(status, await _whole(stream))
        while (line := await stream.line()) is not None:
            if not line.strip():
                continue
            part = _parse(line)
            if "error" in part:
                raise _error_of(part["error"])
            if "finish_reason" in part:
                yield _end_of(part)
                return
            yield part["text"]
    except Broken as error:
        raise EngineAway(_("The engine stopped answering.")) from error
    finally:
        stream.close()
    raise EngineAway(_("The engine broke off in the middle of the answer."))


async def _whole(stream: AnswerStream) -> bytes:
    lines = []
    while (line := await stream.line()) is not None:
        lines.append(line)
    return b"\n".join(lines)


def _call(method: str, path: str, body: dict[str, Any] | None, *, timeout_s: float) -> dict[str, Any]:
    timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
    try:
        with httpx.Client(timeout=timeout, verify=_ssl_context(), trust_env=False) as client:
            response = client.request(method, _address(path), json=body, headers=_headers())
    except httpx.HTTPError as error:
        raise EngineAway(_("The engine does not answer. It may be starting.")) from error
    if response.status_code != 200:
        raise _refusal(response.status_code, response.content)
    return response.json()


def _refusal(status: int, content: bytes) -> EngineError:
    try:
        error = json.loads(content)["error"]
        message, kind = error["message"], error.get("kind", "")
    except (ValueError, KeyError, TypeError, AttributeError):
        message, kind = http.client.responses.get(status, str(status)), ""
    if kind == "context":
        return ContextTooLong(message)
    if status in _BUSY:
        return EngineBusy(_("The engine is busy. Please try again in a moment."))
    if status in _NOT_LOADABLE:
        return ModelNotLoadable(_("The engine cannot use this model: %(message)s") % {"message": message})
    return EngineError(_("The engine refused: %(message)s") % {"message": message})


def _error_of(error: dict[str, Any]) -> EngineError:
    message, kind = error.get("message", ""), error.get("kind", "")
    if kind == "context":
        return ContextTooLong(message)
    if kind == "busy":
        return EngineBusy(_("The engine is busy. Please try again in a moment."))
    if kind in _LOAD_KINDS:
        return ModelNotLoadable(_("The engine cannot use this model: %(message)s") % {"message": message})
    return EngineError(_("The engine could not finish the answer: %(message)s") % {"message": message})


def _parse(line: bytes) -> dict[str, Any]:
    try:
        return json.loads(line)
    except ValueError:
        raise EngineError(_("The engine sent something that cannot be read.")) from None


def _end_of(part: dict[str, Any]) -> AnswerEnd:
    usage = part.get("usage") or {}
    return AnswerEnd(
        finish_reason=part["finish_reason"],
        n_prompt_tokens=usage.get("prompt_tokens"),
        n_completion_tokens=usage.get("completion_tokens"),
        time_to_first_token_s=part.get("time_to_first_token_s"),
        duration_s=part.get("duration_s"),
        scores=[_score_of(score) for score in part["logprobs"]] if part.get("logprobs") is not None else None,
        mean_logprob=part.get("mean_logprob"),
    )


def _score_of(score: dict[str, Any]) -> TokenScore:
    likeliest = [_score_of(each) for each in score.get("top", [])]
    return TokenScore(score["token"], score["bytes"], score["logprob"], likeliest)


def _address(path: str) -> str:
    return settings.ENGINE_URL.rstrip("/") + path


def _headers() -> dict[str, str]:
    """Read the token at each call: the engine's start may renew it."""
    try:
        return {"Authorization": f"Bearer {settings.ENGINE_TOKEN_FILE.read_text().strip()}"}
    except FileNotFoundError:
        return {}


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    """Built once: reading the certificates at each call would cost more than the call."""
    return ssl.create_default_context()
