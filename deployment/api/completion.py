"""POST /v1/completions, and the older /v1/engines that means the same."""

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from common.wire import DONE, KEEP_ALIVE, TEXT_HERE, sse, sse_around
from deployment.api.answers import Answers, Piece, open_answers, respond, texts_of
from deployment.api.asked import parse_completion
from deployment.engine import TokenScore


async def create(request: HttpRequest, name: str = "") -> HttpResponseBase:
    """`name`: the model, where the address names it."""
    answers = await open_answers(request, partial(parse_completion, target=name), prefix="cmpl-")
    return await respond(answers, whole=_whole, chunks=_chunks)


async def _whole(answers: Answers) -> dict[str, Any]:
    choices = [
        _choice(index, _echo(answers, index) + text, end.finish_reason, _show_scores(answers, index, end.scores))
        for index, (text, end) in enumerate(await texts_of(answers))
    ]
    return {**_head(answers), "choices": choices, "usage": answers.usage()}


async def _chunks(answers: Answers) -> AsyncIterator[str]:
    head = _head(answers)
    tail: dict[str, Any] = {"usage": None} if answers.asked.has_usage else {}
    around = []
    for index in range(len(answers.completions)):
        around.append(sse_around({**head, "choices": [_choice(index, TEXT_HERE)], **tail}))
        if echo := _echo(answers, index):
            yield sse({**head, "choices": [_choice(index, echo)], **tail})
    async for part in answers.parts():
        if part is None:
            yield KEEP_ALIVE
        elif isinstance(part, Piece):
            before, after = around[part.index]
            yield f"{before}{json.dumps(part.text, ensure_ascii=False)}{after}"
        else:
            scores = _show_scores(answers, part.index, part.scores)
            yield sse({**head, "choices": [_choice(part.index, "", part.finish_reason, scores)], **tail})
    if answers.asked.has_usage:
        yield sse({**head, "choices": [], "usage": answers.usage()})
    yield DONE


def _head(answers: Answers) -> dict[str, Any]:
    return {
        "id": answers.key,
        "object": "text_completion",
        "created": answers.created,
        "model": answers.asked.target,
    }


def _choice(index: int, text: str, finish_reason: str | None = None, logprobs: Any = None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish_reason}


def _echo(answers: Answers, index: int) -> str:
    return answers.completions[index].messages[-1]["content"] if answers.asked.has_echo else ""


def _show_scores(answers: Answers, index: int, scores: list[TokenScore] | None) -> dict[str, Any] | None:
    """Return the four lists of old. An echoed prompt stands before them as one piece without a score, as their first piece always has."""
    if scores is None:
        return None
    echo = _echo(answers, index)
    lists: dict[str, list[Any]] = {
        "tokens": [echo] if echo else [],
        "token_logprobs": [None] if echo else [],
        "top_logprobs": [None] if echo else [],
        "text_offset": [0] if echo else [],
    }
    offset = len(echo)
    for score in scores:
        lists["tokens"].append(score.token)
        lists["token_logprobs"].append(score.logprob)
        lists["top_logprobs"].append({each.token: each.logprob for each in score.likeliest})
        lists["text_offset"].append(offset)
        offset += len(score.token)
    return lists
