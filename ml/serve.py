"""The embedded engine over HTTP; docs/engine.md is the protocol."""

import argparse
import asyncio
import contextlib
import hmac
import json
import logging
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ml.engine import Engine
from ml.engine_model import EngineError, Generation, Line
from ml.engine_sampling import Sampling
from ml.errors import MlError

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 * 1024**2
MAX_STOPS = 16
MAX_WHOLE = 2**31
ROLES = ("system", "user", "assistant")
STATUSES = {
    "request": 400,
    "context": 400,
    "load": 400,
    "auth": 401,
    "not_found": 404,
    "conflict": 409,
    "size": 413,
    "engine": 500,
    "stopping": 503,
    "memory": 507,
}
DTYPES = {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16}
PARENT_POLL_S = 2


@dataclass(frozen=True)
class GenerateBody:
    name: str
    path: str | None
    messages: list[dict[str, str]]
    max_tokens: int
    sampling: Sampling
    stop: list[str]


class Fields:
    """The fields of a JSON body, each checked as it is taken; EngineError of kind "request" names the field."""

    def __init__(self, body: bytes):
        try:
            values = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise EngineError(f"The body is not JSON: {error}", kind="request") from error
        if not isinstance(values, dict):
            raise EngineError("The body must be a JSON object.", kind="request")
        self._values: dict[str, Any] = values

    def text(self, name: str) -> str:
        value = self.optional_text(name)
        if value is None:
            raise EngineError(f"{name} is missing.", kind="request")
        return value

    def optional_text(self, name: str) -> str | None:
        value = self._values.pop(name, None)
        if value is not None and (not isinstance(value, str) or not value):
            raise EngineError(f"{name} must be a text.", kind="request")
        return value

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        value = self._values.pop(name, None)
        if value is None:
            return default
        # The comparison also refuses NaN.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise EngineError(f"{name} must be a number from {least:g} to {most:g}.", kind="request")
        return value

    def whole(self, name: str, *, least: int, most: int) -> int | None:
        value = self._values.pop(name, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise EngineError(f"{name} must be a whole number from {least} to {most}.", kind="request")
        return value

    def stops(self) -> list[str]:
        value = self._values.pop("stop", None)
        if value is None:
            return []
        if (
            not isinstance(value, list)
            or len(value) > MAX_STOPS
            or not all(isinstance(stop, str) and 0 < len(stop) <= 1000 for stop in value)
        ):
            raise EngineError(f"stop must be a list of at most {MAX_STOPS} texts.", kind="request")
        return value

    def messages(self) -> list[dict[str, str]]:
        value = self._values.pop("messages", None)
        if not isinstance(value, list) or not value:
            raise EngineError("messages must be a list with at least one message.", kind="request")
        for i, message in enumerate(value):
            if (
                not isinstance(message, dict)
                or message.get("role") not in ROLES
                or not isinstance(message.get("content"), str)
            ):
                raise EngineError(
                    f"messages[{i}] must have a role ({', '.join(ROLES)}) and a content that is text.", kind="request"
                )
        return [{"role": message["role"], "content": message["content"]} for message in value]

    def end(self) -> None:
        """Refuse what nobody took: a misspelt field must not pass for its default."""
        if self._values:
            raise EngineError(f"Unknown field: {', '.join(sorted(self._values))}.", kind="request")


def parse_generate(body: bytes) -> GenerateBody:
    """The body of POST /generate. Raises EngineError of kind "request"."""
    fields = Fields(body)
    max_tokens = fields.whole("max_tokens", least=1, most=MAX_WHOLE)
    parsed = GenerateBody(
        name=fields.text("model"),
        path=fields.optional_text("path"),
        messages=fields.messages(),
        max_tokens=512 if max_tokens is None else max_tokens,
        sampling=Sampling(
            temperature=fields.number("temperature", 1.0, least=0, most=100),
            top_p=fields.number("top_p", 1.0, least=0, most=1),
            top_k=fields.whole("top_k", least=0, most=MAX_WHOLE) or 0,
            seed=fields.whole("seed", least=-(2**63), most=2**63 - 1),
            frequency_penalty=fields.number("frequency_penalty", 0.0, least=-2, most=2),
            presence_penalty=fields.number("presence_penalty", 0.0, least=-2, most=2),
            n_logprobs=fields.whole("logprobs", least=0, most=20),
        ),
        stop=fields.stops(),
    )
    fields.end()
    return parsed


def encode_line(line: Line) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


class GenerationResponse(Response):
    """Streams a generation's lines; what fails before the first line has its own HTTP status.

    The client is listened to from the start: when it goes away, in the queue or in the middle, the generation ends.
    """

    media_type = "application/x-ndjson"

    def __init__(self, *, engine: Engine, body: GenerateBody):
        super().__init__()
        self._engine = engine
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        lines: asyncio.Queue[Line] = asyncio.Queue()

        def on_line(line: Line) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server is gone
                loop.call_soon_threadsafe(lines.put_nowait, line)

        generation = Generation(
            messages=self._body.messages,
            on_line=on_line,
            sampling=self._body.sampling,
            max_tokens=self._body.max_tokens,
            stop=self._body.stop,
        )
        # Off the loop, because it looks at folders; the loop must stay free for those who stream.
        await asyncio.to_thread(
            self._engine.generate, name=self._body.name, path=self._body.path, generation=generation
        )
        try:
            sending = asyncio.create_task(self._send(lines, send))
            leaving = asyncio.create_task(wait_for_disconnect(receive))
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        finally:
            if not generation.is_ended:
                self._engine.cancel(generation)

    async def _send(self, lines: asyncio.Queue[Line], send: Send) -> None:
        line = await lines.get()
        status = STATUSES.get(line["error"]["kind"], 500) if "error" in line else 200
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        while "text" in line:
            await send({"type": "http.response.body", "body": encode_line(line), "more_body": True})
            line = await lines.get()
        await send({"type": "http.response.body", "body": encode_line(line), "more_body": False})


async def wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Authorize:
    """Lets a request through that carries the token, and `/health` always."""

    def __init__(self, app: ASGIApp, token: str):
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/health":
            got = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(got, self._expected):
                response = error_response(EngineError("The token is missing or wrong.", kind="auth"))
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def error_response(error: MlError) -> JSONResponse:
    return JSONResponse(
        {"error": {"message": str(error), "kind": error.kind}}, status_code=STATUSES.get(error.kind, 500)
    )


async def handle_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MlError)
    return error_response(error)


async def handle_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(
        {"error": {"message": error.detail, "kind": "request"}}, status_code=error.status_code, headers=error.headers
    )


async def handle_gone(request: Request, error: Exception) -> Response:
    """The client left in the middle of its own request: nobody reads this."""
    return Response(status_code=400)


async def read_body(request: Request) -> bytes:
    """The body, of at most MAX_BODY_BYTES: whoever sends more is told before it fills the memory."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise EngineError(f"The body is larger than {MAX_BODY_BYTES // 1024**2} MB.", kind="size")
    return bytes(body)


def create_app(*, engine: Engine, token: str | None) -> ASGIApp:
    async def health(request: Request) -> Response:
        return JSONResponse(engine.health())

    async def load(request: Request) -> Response:
        fields = Fields(await read_body(request))
        name, path = fields.text("model"), fields.text("path")
        fields.end()
        await asyncio.wrap_future(await asyncio.to_thread(engine.load, name=name, path=path))
        return JSONResponse({"model": name, "state": "ready"})

    async def unload(request: Request) -> Response:
        fields = Fields(await read_body(request))
        name = fields.text("model")
        fields.end()
        await asyncio.wrap_future(engine.unload(name=name))
        return JSONResponse({"model": name})

    async def generate(request: Request) -> Response:
        return GenerationResponse(engine=engine, body=parse_generate(await read_body(request)))

    app: ASGIApp = Starlette(
        routes=[
            Route("/health", health),
            Route("/load", load, methods=["POST"]),
            Route("/unload", unload, methods=["POST"]),
            Route("/generate", generate, methods=["POST"]),
        ],
        exception_handlers={
            MlError: handle_error,
            HTTPException: handle_http_error,
            ClientDisconnect: handle_gone,
        },
    )
    return Authorize(app, token) if token else app


class Server(uvicorn.Server):
    """Uvicorn, but asleep while nothing comes in: its own main loop wakes up ten times a second."""

    def __init__(self, config: uvicorn.Config, *, engine: Engine, parent_pid: int | None):
        super().__init__(config)
        self._engine = engine
        self._parent_pid = parent_pid
        self._stop = asyncio.Event()

    async def main_loop(self) -> None:
        loop = asyncio.get_running_loop()
        watcher = asyncio.create_task(self._watch_parent()) if self._parent_pid else None
        # Uvicorn's handler is a plain one; it sets should_exit and cannot wake the loop, which this one does.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        if not self.should_exit:
            await self._stop.wait()
        self._engine.close()
        if watcher:
            watcher.cancel()

    async def _watch_parent(self) -> None:
        """Stop when the parent's process is gone."""
        assert self._parent_pid is not None
        try:
            handle = os.pidfd_open(self._parent_pid)
        except ProcessLookupError:
            self._stop.set()
            return
        except (AttributeError, OSError):  # not on this system: look now and then
            while is_alive(self._parent_pid):
                await asyncio.sleep(PARENT_POLL_S)
            self._stop.set()
            return
        try:
            asyncio.get_running_loop().add_reader(handle, self._stop.set)
            await self._stop.wait()
        finally:
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ml serve", description="Answers requests with several models.")
    parser.add_argument("--root", type=Path, required=True, help="the folder below which all models lie")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8101, help="0 takes a free one; the log says which")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="cores to compute with (all)")
    parser.add_argument("--max-models", type=int, default=4, help="models kept in memory (4)")
    parser.add_argument("--max-batch", type=int, default=32, help="requests that one model answers at once (32)")
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help="numbers to compute in (what is fastest here)")
    parser.add_argument("--token-file", type=Path, help="its contents are the token that requests must carry")
    parser.add_argument("--parent-pid", type=int, help="stop when this process is gone")
    return parser


def main(argv: list[str]) -> int:
    """Serve until a signal comes or the parent is gone. Leaves the process: nothing of it outlives the server."""
    parser = create_parser()
    options = parser.parse_args(argv)
    for name in ("threads", "max_models", "max_batch"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if not options.root.is_dir():
        parser.error(f"--root {options.root} is not a folder")
    token = None
    if options.token_file:
        try:
            token = options.token_file.read_text().strip()
        except OSError as error:
            parser.error(f"--token-file cannot be read: {error}")
        if not token:
            parser.error(f"--token-file {options.token_file} is empty")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        listener = socket.create_server((options.host, options.port), backlog=1024)
    except OSError as error:
        print(f"Cannot listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1
    torch.set_num_threads(options.threads)
    engine = Engine(
        root=options.root, max_models=options.max_models, max_batch=options.max_batch, dtype=DTYPES[options.dtype]
    )
    config = uvicorn.Config(
        create_app(engine=engine, token=token),
        log_config=None,
        access_log=False,
        lifespan="off",
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    server = Server(config, engine=engine, parent_pid=options.parent_pid)
    logger.info("The engine listens on %s:%s", *listener.getsockname()[:2])
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # A load or a step may be under way in a thread; waiting for it, as the interpreter's end does, would take long.
    os._exit(0)
