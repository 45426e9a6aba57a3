"""What the tests of /v1 share: rows as clients upload them, and a stream read to its end."""

import json
from typing import Any

from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def chat_rows(n: int) -> list[dict[str, Any]]:
    return [
        {"messages": [{"role": "user", "content": f"Question {i}"}, {"role": "assistant", "content": f"Answer {i}"}]}
        for i in range(n)
    ]


def completion_rows(n: int) -> list[dict[str, Any]]:
    return [{"prompt": f"Question {i} ->", "completion": f" answer {i}\n"} for i in range(n)]


def preference_rows(n: int) -> list[dict[str, Any]]:
    return [
        {
            "input": {
                "messages": [{"role": "user", "content": f"Greet {i}"}],
                "tools": [],
                "parallel_tool_calls": True,
            },
            "preferred_output": [{"role": "assistant", "content": "Ahoy!"}],
            "non_preferred_output": [{"role": "assistant", "content": "Hello."}],
        }
        for i in range(n)
    ]


def upload(api: Client, data: bytes, *, name: str = "train.jsonl", purpose: str = "fine-tune", **fields: str) -> Any:
    return api.post("/v1/files", {"purpose": purpose, **fields, "file": SimpleUploadedFile(name, data)})


def post(api: Client, path: str, body: dict[str, Any] | None = None) -> Any:
    return api.post(path, json.dumps(body) if body is not None else "", content_type="application/json")


def read_stream(response: Any) -> bytes:
    """Return the whole body of a streamed answer."""

    async def read() -> bytes:
        return b"".join(
            [part if isinstance(part, bytes) else part.encode() async for part in response.streaming_content]
        )

    return async_to_sync(read)()


def error_of(response: Any) -> dict[str, Any]:
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error
