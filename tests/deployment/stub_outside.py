"""A small real HTTP server that speaks the OpenAI wire format as vLLM does."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.deployment.stub_engine import PromptServer

KEY = "sk-of-the-outside"


class StubOutside:
    """Answers "<model> here" in two pieces, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.names = ["release-1", "release-2"]
        self.refuse: tuple[int, dict[str, str]] | None = None
        self.break_off = False
        self.held = False  # after the first piece the answer waits until the client goes away
        self.n_written = 100.0
        self.says: Callable[[str], str] | None = None  # the whole answer to a prompt, in place of the two pieces
        self._was_left = threading.Event()
        self._started = threading.Event()
        app = Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/metrics", self._metrics),
            ]
        )
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._server = PromptServer(uvicorn.Config(app, log_level="critical", lifespan="off"))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(10)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(10)
        self._socket.close()

    def wait_until_left(self) -> bool:
        """Return once a client has gone away in the middle of an answer; False after ten seconds."""
        return self._was_left.wait(10)

    def _run(self) -> None:
        async def main() -> None:
            self._started.set()
            await self._server.serve(sockets=[self._socket])

        asyncio.run(main())

    def _is_let_in(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {KEY}"

    async def _models(self, request: Request) -> Response:
        if not self._is_let_in(request):
            return JSONResponse({"error": {"message": "bad key", "code": "invalid_api_key"}}, status_code=401)
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in self.names]})

    async def _metrics(self, request: Request) -> Response:
        lines = ['vllm:num_requests_running{model_name="release-1"} 3.0', "vllm:num_requests_waiting 2.0"]
        return PlainTextResponse("\n".join([*lines, f"vllm:generation_tokens_total {self.n_written}", "# end"]))

    async def _chat(self, request: Request) -> Response:
        if not self._is_let_in(request):
            return JSONResponse({"error": {"message": "bad key"}}, status_code=401)
        body = await request.json()
        self.requests.append(body)
        if self.refuse:
            status, error = self.refuse
            return JSONResponse({"error": error}, status_code=status)
        return StreamingResponse(self._events(body), media_type="text/event-stream")

    async def _events(self, body: dict[str, Any]) -> AsyncIterator[str]:
        def event(**fields: Any) -> str:
            return f"data: {json.dumps({'id': 'chatcmpl-x', 'model': body['model'], **fields})}\n\n"

        score = {"token": "here", "bytes": [104], "logprob": -0.25, "top_logprobs": []}
        try:
            yield event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])
            if not self.says:
                yield event(choices=[{"index": 0, "delta": {"content": body["model"]}}])
            if self.says:
                yield event(choices=[{"index": 0, "delta": {"content": self.says(body["messages"][-1]["content"])}}])
            if self.break_off:
                return
            while self.held:
                await asyncio.sleep(0.005)
                if self._server.should_exit:
                    return
                yield ": still there\n\n"
            logprobs = {"logprobs": {"content": [score]}} if body.get("logprobs") else {}
            if not self.says:
                yield event(choices=[{"index": 0, "delta": {"content": " here"}, **logprobs}])
            yield event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
            yield event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 2})
            yield "data: [DONE]\n\n"
        except (asyncio.CancelledError, GeneratorExit):
            self._was_left.set()
            raise
