"""POST /v1/chat/completions."""

import json
from collections.abc import AsyncIterator
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from common.wire import DONE, KEEP_ALIVE, TEXT_HERE, sse, sse_around
from deployment.api.answers import Answers, Piece, open_answers, respond, texts_of
from deployment.api.asked import parse_chat
from deployment.engine import TokenScore


async def create(request: HttpRequest) -> HttpResponseBase:
    answers = await open_answers(request, parse_chat, prefix="chatcmpl-")
    return await respond(answers, whole=_whole, chunks=_chunks)


async def _whole(answers: Answers) -> dict[str, Any]:
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": show_scores(end.scores),
            "finish_reason": end.finish_reason,
        }
        for index, (text, end) in enumerate(await texts_of(answers))
    ]
    return {
        "id": answers.key,
        "object": "chat.completion",
        "created": answers.created,
        "model": answers.asked.target,
        "choices": choices,
        "usage": answers.usage(),
        "metadata": answers.asked.metadata,
    }


async def _chunks(answers: Answers) -> AsyncIterator[str]:
    """Yield the role of each choice, the first one first, then text as it comes, one end a choice, usage where asked."""
    head: dict[str, Any] = {
        "id": answers.key,
        "object": "chat.completion.chunk",
        "created": answers.created,
        "model": answers.asked.target,
    }
    tail: dict[str, Any] = {"usage": None} if answers.asked.has_usage else {}

    def choice(index: int, delta: dict[str, Any], finish_reason: str | None = None, logprobs: Any = None) -> Any:
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}

    def chunk(*parts: Any) -> str:
        return sse({**head, "choices": [choice(*parts)], **tail})

    around = []
    for index in range(len(answers.completions)):
        yield chunk(index, {"role": "assistant", "content": ""})
        around.append(sse_around({**head, "choices": [choice(index, {"content": TEXT_HERE})], **tail}))
    async for part in answers.parts():
        if part is None:
            yield KEEP_ALIVE
        elif isinstance(part, Piece):
            before, after = around[part.index]
            yield f"{before}{json.dumps(part.text, ensure_ascii=False)}{after}"
        else:
            yield chunk(part.index, {}, part.finish_reason, show_scores(part.scores))
    if answers.asked.has_usage:
        yield sse({**head, "choices": [], "usage": answers.usage()})
    yield DONE


def show_scores(scores: list[TokenScore] | None) -> dict[str, Any] | None:
    if scores is None:
        return None

    def show(score: TokenScore) -> dict[str, Any]:
        return {"token": score.token, "bytes": score.token_bytes, "logprob": score.logprob}

    content = [{**show(score), "top_logprobs": [show(each) for each in score.likeliest]} for score in scores]
    return {"content": content, "refusal": None}
