"""A small real HTTP server that speaks docs/engine.md, so that the client, its timeouts and its broken lines are real."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

TOKEN = "stub-token"


class PromptServer(uvicorn.Server):
    """Looks every few milliseconds whether it shall end, not ten times a second."""

    async def main_loop(self) -> None:
        while not self.should_exit:
            await asyncio.sleep(0.005)


class StubEngine:
    """Answers "<model> says hello" in three pieces. What it is asked, loads and loses is kept for the test to look at."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.loads: list[tuple[str, str]] = []
        self.gone: list[str] = []
        self.models: dict[str, str] = {}
        self.refuse_load: tuple[int, str] | None = None
        self.refuse_generate: tuple[int, str] | None = None
        self.refused_models: set[str] = set()  # these cannot be loaded
        self.n_waiting = 0
        self.break_off = False
        self.error_line: dict[str, str] | None = None
        self.held = False  # after the first piece, answers wait for `release` or for the client to go away
        self.held_models: set[str] = set()  # the same for the answers of these
        self.answers: dict[str, list[str]] = {}
        self._released = asyncio.Event()
        self._started = threading.Event()
        self._was_left = threading.Event()
        app = Starlette(
            routes=[
                Route("/health", self._health),
                Route("/load", self._load, methods=["POST"]),
                Route("/unload", self._load, methods=["POST"]),
                Route("/generate", self._generate, methods=["POST"]),
            ]
        )
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        self._server = PromptServer(config)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(10)

    def stop(self) -> None:
        """Stop listening and answering: from now on the engine is away."""
        if self._thread.is_alive():
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(10)
        self._socket.close()

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._released.set)

    def wait_until_left(self) -> bool:
        """Return once a client has gone away in the middle of an answer; False after ten seconds."""
        return self._was_left.wait(10)

    def _run(self) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._started.set()
            await self._server.serve(sockets=[self._socket])

        asyncio.run(main())

    async def _health(self, request: Request) -> Response:
        models = [
            {"name": name, "path": path, "state": "ready", "n_waiting": self.n_waiting}
            for name, path in self.models.items()
        ]
        return JSONResponse({"status": "ok", "models": models, "tokens_per_s": 1.0, "uptime_s": 1.0})

    async def _load(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"error": {"message": "no token"}}, status_code=401)
        body = await request.json()
        if self.refuse_load:
            status, message = self.refuse_load
            return JSONResponse({"error": {"message": message}}, status_code=status)
        self.loads.append((body["model"], body.get("path", "")))
        self.models[body["model"]] = body.get("path", "")
        return JSONResponse({"status": "ok"})

    async def _generate(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"error": {"message": "no token"}}, status_code=401)
        body = await request.json()
        self.requests.append(body)
        if self.refuse_generate:
            status, message = self.refuse_generate
            return JSONResponse({"error": {"message": message}}, status_code=status)
        if body["model"] in self.refused_models:
            return JSONResponse({"error": {"message": "broken weights", "kind": "load"}}, status_code=507)
        return StreamingResponse(self._lines(body), media_type="application/x-ndjson")

    async def _lines(self, body: dict[str, Any]) -> AsyncIterator[str]:
        name = body["model"]
        pieces = self.answers.get(name, [name, " says", " hello"])
        try:
            for number, piece in enumerate(pieces):
                if number == 1 and (self.held or name in self.held_models):
                    await self._released.wait()
                if number == 1 and self.error_line:
                    yield json.dumps({"error": self.error_line}) + "\n"
                    return
                if number == 1 and self.break_off:
                    return
                yield json.dumps({"text": piece}) + "\n"
        except (asyncio.CancelledError, GeneratorExit):
            self.gone.append(name)
            self._was_left.set()
            raise
        scores = [{"token": piece, "bytes": None, "logprob": -0.5, "top": []} for piece in pieces]
        yield (
            json.dumps(
                {
                    **({} if body.get("logprobs") is None else {"logprobs": scores}),
                    "finish_reason": "stop",
                    "mean_logprob": -0.25,
                    "usage": {"prompt_tokens": 7, "completion_tokens": len(pieces)},
                    "time_to_first_token_s": 0.01,
                    "duration_s": 0.05,
                }
            )
            + "\n"
        )
