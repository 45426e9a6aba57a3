"""The ASGI application. A body that is too large, or a stranger's, or does not come, is refused before it fills the disk or holds a place."""

import asyncio
import gc
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from asgiref.sync import sync_to_async  # noqa: E402 - the settings come first
from django.conf import settings  # noqa: E402
from django.contrib.auth import SESSION_KEY  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.core.handlers.asgi import ASGIHandler  # noqa: E402
from django.core.signals import request_started  # noqa: E402
from django.db import close_old_connections, reset_queries  # noqa: E402
from django.http import parse_cookie  # noqa: E402
from django.urls import get_resolver  # noqa: E402

from common.threads import KeptThread  # noqa: E402
from common.wire import SERVED, WireError, new_id  # noqa: E402
from labeling.api.key import read_key  # noqa: E402

# A thread that asks the database may not keep the event loop from passing tokens on for the usual five milliseconds.
sys.setswitchinterval(0.0005)

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Handler(ASGIHandler):
    def load_middleware(self, is_async: bool = False) -> None:
        """Load what stands below WireMiddleware as synchronous: a page goes to its thread once with all of it, not twenty times."""
        super().load_middleware(is_async=False)
        self._middleware_chain = self._middleware_chain.awaitable  # type: ignore[has-type]

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"Emend answers HTTP only, not {scope['type']}.")
        body = Body(scope, receive, send)
        if body.declared > settings.REQUEST_MAX_BYTES:
            await body.refuse(TOO_LARGE)
            return
        async with KeptThread():
            await self.handle(scope, body.receive, send)

    def create_request(self, scope: Mapping[str, Any], body_file: Any) -> Any:
        """Say how long a body in chunks turned out to be: Django takes a form without a length for an empty one."""
        if all(name != b"content-length" for name, _value in scope["headers"]):
            body_file.seek(0, os.SEEK_END)
            length = (b"content-length", str(body_file.tell()).encode())
            body_file.seek(0)
            scope = {**scope, "headers": [*scope["headers"], length]}
        return super().create_request(scope, body_file)


TOO_LARGE = WireError("The request is too large.", status=413, code="request_too_large")
TOO_SLOW = WireError("The request did not come.", status=408, code="request_timeout")


class Body:
    """The body of one request on its way in. A refused one looks to Django as if the client had gone away."""

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._n_bytes = 0
        self._has_more = True
        self._is_known = False
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        self.declared = int(declared) if declared.isdigit() else 0

    async def receive(self) -> Message:
        if not self._has_more:  # only the client's going away is waited for
            return await self._receive()
        try:
            await self._require_known(self.declared)
            async with asyncio.timeout(settings.REQUEST_SILENCE_S):
                message = await self._receive()
            self._n_bytes += len(message.get("body", b""))
            await self._require_known(self._n_bytes)
        except TimeoutError:
            return await self.refuse(TOO_SLOW)
        except WireError as error:
            return await self.refuse(error)
        self._has_more = message.get("more_body", False)
        if self._n_bytes > settings.REQUEST_MAX_BYTES:
            return await self.refuse(TOO_LARGE)
        return message

    async def _require_known(self, n_bytes: int) -> None:
        """Raise WireError where a body that goes to the disk comes from somebody without a key or a session."""
        if not self._is_known and n_bytes > settings.FILE_UPLOAD_MAX_MEMORY_SIZE:
            await sync_to_async(require_known)(self._scope)
            self._is_known = True

    async def refuse(self, error: WireError) -> Message:
        """Answer at once: in the envelope of /v1, or in a line for a person."""
        is_wire = SERVED.match(self._scope["path"])
        content = json.dumps(error.body) if is_wire else str(error)
        headers = {
            "content-type": "application/json" if is_wire else "text/plain; charset=utf-8",
            "x-request-id": new_id("req_"),
            "connection": "close",
            **error.headers,
        }
        wire_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": error.status, "headers": wire_headers})
        await self._send({"type": "http.response.body", "body": content.encode()})
        return {"type": "http.disconnect"}


def require_known(scope: dict[str, Any]) -> None:
    """Raise WireError 401 unless the request has a usable key or, outside /v1, the session of somebody who is signed in."""
    headers = {
        name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"authorization", b"cookie")
    }
    if b"authorization" in headers or SERVED.match(scope["path"]):
        read_key(headers.get(b"authorization", ""))
        return
    session = SessionStore(parse_cookie(headers.get(b"cookie", "")).get(settings.SESSION_COOKIE_NAME))
    if SESSION_KEY not in session:
        raise WireError("Please sign in before you send a file.", status=401)


# A thread's connections are looked after where the thread is taken (common/threads.py), without a turn of its own for that.
request_started.disconnect(reset_queries)
request_started.disconnect(close_old_connections)
application = Handler()

# What is there now stays for good: the collector need not look at it again, nor after every 700 new objects at all.
_patterns = get_resolver().url_patterns  # imports the views
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 20)
