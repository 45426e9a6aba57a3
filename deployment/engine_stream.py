"""One streamed answer over a connection of its own, read line by line.

With eight streams that step together, what is spent on each piece is what the readers wait for. This knows only what
`/generate` needs, and httptools parses it.
"""

import asyncio
import json
import ssl
from collections import deque
from typing import Any
from urllib.parse import urlsplit

import httptools


class Broken(Exception):
    """The engine went away, fell silent, or sent something that is no HTTP."""


class Unreachable(Broken):
    """Nobody listens at the address."""


class AnswerStream(asyncio.Protocol):
    """The response to one request: `await head()`, then `await line()` until None, then `close()`, whatever happened."""

    def __init__(self, *, silence_s: float) -> None:
        self.status = 0
        self._silence_s = silence_s
        self._parser = httptools.HttpResponseParser(self)
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._is_whole = self._is_lost = False
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._timer = self._loop.call_later(silence_s, self._watch)
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    async def head(self) -> int:
        """Return the status, once there is one. Raises Broken."""
        while not self.status:
            if self._is_lost:
                raise Broken
            await self._wait()
        return self.status

    async def line(self) -> bytes | None:
        """Return the next line without its end, None after the last one. Raises Broken."""
        while not self._lines:
            if self._is_whole:
                return None
            if self._is_lost:
                raise Broken
            await self._wait()
        return self._lines.popleft()

    def close(self) -> None:
        """Let go of the connection. In the middle of an answer this ends the generation."""
        self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _watch(self) -> None:
        """Give up after a long silence: one timer for the answer, not one for each line."""
        silent_s = self._loop.time() - self._heard_at
        if silent_s < self._silence_s:
            self._timer = self._loop.call_later(self._silence_s - silent_s, self._watch)
        else:
            self._is_lost = True
            self.close()
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvloop has a class of its own
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._is_lost = True
            self.close()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._wake()

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        *lines, self._rest = (self._rest + body).split(b"\n")
        self._lines.extend(lines)

    def on_message_complete(self) -> None:
        self._is_whole = True
        if self._rest:
            self._lines.append(self._rest)


async def post(
    address: str,
    body: dict[str, Any],
    headers: dict[str, str],
    *,
    connect_s: float,
    silence_s: float,
    context: ssl.SSLContext,
) -> AnswerStream:
    """Send the request and return its answer, of which nothing may be there yet. Raises Unreachable."""
    url = urlsplit(address)
    is_secure = url.scheme == "https"
    data = json.dumps(body).encode()
    lines = [
        f"POST {url.path or '/'} HTTP/1.1",
        f"Host: {url.netloc.rpartition('@')[2]}",
        "Content-Type: application/json",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(data)}", "Connection: close", "", ""]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_s):
            transport, stream = await loop.create_connection(
                lambda: AnswerStream(silence_s=silence_s),
                url.hostname or "",
                url.port or (443 if is_secure else 80),
                ssl=context if is_secure else None,
            )
    except (OSError, TimeoutError) as error:
        raise Unreachable from error
    transport.write("\r\n".join(lines).encode() + data)
    return stream
