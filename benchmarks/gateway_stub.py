"""An engine that only counts, for measuring what stands in front of it: docs/engine.md's `/generate`, without a model.

    python -m benchmarks.gateway_stub PORT STEP_MS

All answers take their steps together, as in the embedded engine's batch, a token each STEP_MS (0: without a break). A
token is its time on the machine's monotonic clock, in nanoseconds, so that a reader knows how long it was on its way.
"""

import asyncio
import json
import sys
import time

import uvloop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"


class Stub(asyncio.Protocol):
    """One connection. Requests come with a Content-Length, as httpx sends them."""

    answering: "dict[Stub, int]" = {}  # to the tokens that are left
    n_asked = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvloop has a class of its own
        self.transport, self.got = transport, b""

    def connection_lost(self, error: Exception | None) -> None:
        self.answering.pop(self, None)

    def data_received(self, data: bytes) -> None:
        self.got += data
        head, found, body = self.got.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        if not found or len(body) < length:
            return
        self.got = b""
        asked = json.loads(body)
        self.n_asked = asked["max_tokens"]
        self.transport.write(HEAD)
        self.write_token()
        self.answering[self] = self.n_asked - 1

    def write_token(self) -> None:
        self.write_line({"text": f"{time.monotonic_ns()} "})

    def step(self, n_left: int) -> None:
        if n_left:
            self.write_token()
            self.answering[self] = n_left - 1
            return
        usage = {"prompt_tokens": 9, "completion_tokens": self.n_asked}
        self.write_line(
            {"finish_reason": "length", "usage": usage, "time_to_first_token_s": 0.0, "duration_s": 0.0},
            end=b"0\r\n\r\n",
        )
        del self.answering[self]

    def write_line(self, line: dict[str, object], *, end: bytes = b"") -> None:
        data = json.dumps(line).encode() + b"\n"
        self.transport.write(b"%x\r\n%s\r\n%s" % (len(data), data, end))


async def serve(port: int, step_s: float) -> None:
    await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port, backlog=1024)
    while True:
        await asyncio.sleep(step_s or 0.0005)
        for connection, n_left in list(Stub.answering.items()):
            connection.step(n_left)


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
