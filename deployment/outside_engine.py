"""The client of engines that speak the OpenAI wire format: vLLM, or any compatible address. It knows nothing of rows.

Its answers and errors are those of `deployment.engine`, so that the gateway does not see which of them answers.
"""

import json
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from asgiref.sync import sync_to_async
from django.utils.translation import gettext as _

from common.conversations import Message
from deployment.actions.errors import ContextTooLong, EngineAway, EngineBusy, EngineError, ModelNotLoadable
from deployment.engine import AnswerEnd, TokenScore
from labeling.outside import Unreachable, by_number

CONNECT_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 300.0
LOOK_TIMEOUT_S = 5.0
MOST_BYTES = 4_000_000  # of one answer that is read whole
_PLAIN = ("max_tokens", "temperature", "top_p", "stop", "seed", "frequency_penalty", "presence_penalty")
_GAUGES = {
    "vllm:num_requests_running": "n_running",
    "vllm:num_requests_waiting": "n_waiting",
    "vllm:generation_tokens_total": "n_written",
}


@dataclass(frozen=True)
class Place:
    """Where a model is answered: the address up to and with `/v1`, its key, and the model's name there."""

    url: str
    key: str
    served_name: str
    is_vllm: bool = False


async def stream_answer(
    *, place: Place, messages: Sequence[Message], parameters: dict[str, Any]
) -> AsyncGenerator[str | AnswerEnd, None]:
    """Yield the answer's text as it is written, then one AnswerEnd. Raises EngineError.

    Closing the iterator closes the connection, by which such servers end the generation.
    """
    began = time.monotonic()
    first_s: float | None = None
    end: dict[str, Any] = {}
    scores: list[TokenScore] = []
    timeout = httpx.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    try:
        target, head, options = await sync_to_async(_aim)(place, "/chat/completions")
        async with (
            httpx.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False) as client,
            client.stream(
                "POST", target, json=_body(place, messages, parameters), headers=head, extensions=options
            ) as response,
        ):
            if response.status_code != 200:
                raise _refusal(response.status_code, await response.aread())
            async for line in response.aiter_lines():
                part = _part_of(line)
                if part is None:
                    continue
                if "error" in part:
                    raise _refusal(500, json.dumps(part).encode())
                end |= {"usage": part["usage"]} if part.get("usage") else {}
                for choice in part.get("choices") or ():
                    scores += _scores_of(choice)
                    if choice.get("finish_reason"):
                        end["finish_reason"] = choice["finish_reason"]
                    if text := (choice.get("delta") or {}).get("content"):
                        first_s = first_s if first_s is not None else time.monotonic() - began
                        yield text
    except (httpx.HTTPError, Unreachable) as error:
        raise EngineAway(_("The engine does not answer.")) from error
    if "finish_reason" not in end:
        raise EngineAway(_("The engine broke off in the middle of the answer."))
    usage = end.get("usage") or {}
    yield AnswerEnd(
        finish_reason=end["finish_reason"],
        n_prompt_tokens=usage.get("prompt_tokens"),
        n_completion_tokens=usage.get("completion_tokens"),
        time_to_first_token_s=first_s,
        duration_s=time.monotonic() - began,
        scores=scores if parameters.get("logprobs") is not None else None,
        mean_logprob=sum(each.logprob for each in scores) / len(scores) if scores else None,
    )


def served_names(place: Place) -> list[str]:
    """Return the names of the models that the engine has. Raises EngineError."""
    found = _read(place, "/models")
    try:
        return [str(each["id"]) for each in json.loads(found)["data"]]
    except (ValueError, KeyError, TypeError):
        raise EngineError(_("The engine sent something that cannot be read.")) from None


def load_figures(place: Place) -> dict[str, float]:
    """Return what vLLM says of its load: `n_running`, `n_waiting`, `n_written` (tokens since its start); {} for others."""
    if not place.is_vllm:
        return {}
    try:
        text = _read(place, "/metrics", is_root=True).decode("utf-8", "replace")
    except EngineError:
        return {}
    figures: dict[str, float] = {}
    for line in text.splitlines():
        name, _space, value = line.rpartition(" ")
        if label := _GAUGES.get(name.partition("{")[0]):
            try:
                figures[label] = figures.get(label, 0.0) + float(value)
            except ValueError:
                continue
    return figures


def _read(place: Place, path: str, *, is_root: bool = False) -> bytes:
    try:
        target, head, options = _aim(place, path, is_root=is_root)
        with (
            httpx.Client(timeout=LOOK_TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", target, headers=head, extensions=options) as response,
        ):
            content = b""
            for piece in response.iter_bytes():
                content += piece
                if len(content) > MOST_BYTES:
                    raise EngineError(_("The engine sent something that cannot be read."))
    except (httpx.HTTPError, httpx.InvalidURL, Unreachable) as error:
        raise EngineAway(str(error) if isinstance(error, Unreachable) else _("The engine does not answer.")) from error
    if response.status_code != 200:
        raise _refusal(response.status_code, content)
    return content


def _aim(place: Place, path: str, *, is_root: bool = False) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Return the address by number, the headers and httpx' extensions: the name was resolved and checked once."""
    base = place.url.rstrip("/").removesuffix("/v1") if is_root else place.url.rstrip("/")
    parts = urlsplit(base)
    head = {"Host": parts.netloc.rpartition("@")[2]}
    if place.key:
        head["Authorization"] = f"Bearer {place.key}"
    return by_number(base + path, setting="ENGINE_PRIVATE"), head, {"sni_hostname": parts.hostname or ""}


def _body(place: Place, messages: Sequence[Message], parameters: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": place.served_name,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        **{name: parameters[name] for name in _PLAIN if name in parameters},
    }
    if parameters.get("logprobs") is not None:
        body |= {"logprobs": True, "top_logprobs": parameters["logprobs"]}
    if place.is_vllm and "top_k" in parameters:
        body["top_k"] = parameters["top_k"]
    return body


def _part_of(line: str) -> dict[str, Any] | None:
    """Return what a line of the stream says; None for what says nothing."""
    data = line.removeprefix("data:").strip()
    if not line.startswith("data:") or data == "[DONE]":
        return None
    try:
        part = json.loads(data)
    except ValueError:
        raise EngineError(_("The engine sent something that cannot be read.")) from None
    return part if isinstance(part, dict) else None


def _scores_of(choice: dict[str, Any]) -> list[TokenScore]:
    return [_score_of(each) for each in (choice.get("logprobs") or {}).get("content") or ()]


def _score_of(score: dict[str, Any]) -> TokenScore:
    likeliest = [_score_of(each) for each in score.get("top_logprobs") or ()]
    return TokenScore(score["token"], score.get("bytes"), score["logprob"], likeliest)


def _refusal(status: int, content: bytes) -> EngineError:
    try:
        error = json.loads(content).get("error") or {}
        message, code = str(error.get("message", "")), str(error.get("code", ""))
    except (ValueError, AttributeError):
        message, code = "", ""
    if code == "context_length_exceeded" or "maximum context length" in message:
        return ContextTooLong(message)
    if status in (429, 503):
        return EngineBusy(_("The engine is busy. Please try again in a moment."))
    if status in (401, 403):
        return EngineError(_("The engine does not take our key."))
    if status == 404:
        return ModelNotLoadable(_("The engine cannot use this model: %(message)s") % {"message": message or status})
    return EngineError(_("The engine refused: %(message)s") % {"message": message or status})
