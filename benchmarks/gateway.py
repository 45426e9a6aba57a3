"""What the gateway (/v1/chat/completions, streamed) adds to the engine's own time, on both databases.

The web process is the one that `make run` starts, in front of an engine that only counts (benchmarks.gateway_stub), and
the same load is put on that engine alone. All of it shares this machine's cores. Figures:

  first_token_added_ms   from the request to the first piece of text, less the same at the engine alone
  token_added_ms         how long a token is on its way from the engine to the reader, less the same at the engine alone
  token_cpu_ms           the web process's CPU time a token, the opening of the streams included
  many                   200 streams at once: those that came whole, what the web process grew by for each
"""

import asyncio
import contextlib
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvloop

from benchmarks.labeling import cpu_s, serving
from scripts.servers import free_port, postgres_bin, postgresql

ROOT = Path(__file__).resolve().parent.parent
N_STREAMS, N_ANSWERS, N_TOKENS = 8, 20, 30
MOST_PAUSE_S = 0.5
N_MANY, N_MANY_TOKENS = 200, 60
STEP_MS = 30.0  # a step of the bundled model in the embedded engine
MANY_STEP_MS = 100.0
AIMS = {"first_token_added_ms": 8.0, "token_added_ms": 0.5, "lost": 0}
MESSAGES = [{"role": "user", "content": "Tell me a long story about a small engine."}]
STAMP = re.compile(rb'"(?:content|text)": ?"(\d+) "')


@dataclass
class Seen:
    """What readers saw: seconds to the first token, each token's way in seconds, whole and broken answers."""

    first_s: list[float] = field(default_factory=list)
    way_s: list[float] = field(default_factory=list)
    n_whole: int = 0
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Door:
    """Where to ask for an answer, and how it ends."""

    port: int
    path: str
    headers: str
    fields: dict[str, object]
    end: bytes


async def read_answers(door: Door, n_answers: int, n_tokens: int, seen: Seen, most_pause_s: float, number: int) -> None:
    """Ask one time after another on one connection, each time after a pause, as people do who read."""
    pause = random.Random(number)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=2**20)
    body = json.dumps({**door.fields, "messages": MESSAGES, "max_tokens": n_tokens}).encode()
    head = f"POST {door.path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{door.headers}content-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    for _ in range(n_answers):
        await asyncio.sleep(pause.random() * most_pause_s)
        began = time.monotonic_ns()
        writer.write(request)
        n_seen, rest, tail = 0, b"", b""
        while not tail.endswith(b"0\r\n\r\n"):
            data = await reader.read(65536)
            now = time.monotonic_ns()
            if not data or (not tail and not data.startswith(b"HTTP/1.1 200")):
                tail += data
                break
            lines, newline, rest = (rest + data).rpartition(b"\n")
            for stamp in STAMP.findall(lines + newline):
                if not n_seen:
                    seen.first_s.append((now - began) / 1e9)
                else:
                    seen.way_s.append((now - int(stamp)) / 1e9)
                n_seen += 1
            tail = (tail + data)[-400:]
        if n_seen == n_tokens and door.end in tail:
            seen.n_whole += 1
        else:
            seen.broken.append(f"{n_seen} of {n_tokens} tokens, then {tail[-160:]!r}")
            return
    writer.close()


async def read_many(door: Door, n_streams: int, n_answers: int, n_tokens: int, most_pause_s: float = 0.0) -> Seen:
    seen = Seen()
    await asyncio.gather(
        *(read_answers(door, n_answers, n_tokens, seen, most_pause_s, number) for number in range(n_streams))
    )
    return seen


@contextlib.contextmanager
def engine(port: int, step_ms: float) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.gateway_stub", str(port), str(step_ms)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def bench(name: str, database_url: str) -> dict[str, object]:
    print(f"> The gateway on {name}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="emend-bench-") as folder:
        engine_port, port = free_port(), free_port()
        environment = {
            **os.environ,
            "EMEND_VAR_DIR": folder,
            "EMEND_BROKER_URL": "memory://",
            "EMEND_ENGINE_URL": f"http://127.0.0.1:{engine_port}",
            "DATABASE_URL": database_url or f"sqlite:///{folder}/emend.sqlite3",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        os.environ["DATABASE_URL"] = environment["DATABASE_URL"]  # which decides on the number of web processes
        for command in (("manage.py", "migrate", "-v0"), ("manage.py", "collectstatic", "--noinput", "-v0")):
            subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=True)
        made = subprocess.run(
            [sys.executable, "-m", "benchmarks.gateway", "rows"],
            cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        key = made.stdout.split()[-1]
        path = "models/smollm2-135m-instruct"
        doors = {
            "engine": Door(engine_port, "/generate", "", {"model": "base", "path": path}, b'"finish_reason"'),
            "gateway": Door(
                port,
                "/v1/chat/completions",
                f"authorization: Bearer {key}\r\n",
                {"model": "assistant", "stream": True},
                b"data: [DONE]",
            ),
        }
        with serving(environment, port) as web:
            figures: dict[str, object] = {"web_processes": len(web)}
            with engine(engine_port, STEP_MS):
                figures |= added(doors, web)
            with engine(engine_port, MANY_STEP_MS):
                figures["many"] = many(doors["gateway"], web)
    return figures


def added(doors: dict[str, Door], web: list[psutil.Process]) -> dict[str, object]:
    """The same load on both doors, in turns, so that what else the machine does is spread over both."""
    seen = {name: Seen() for name in doors}
    uvloop.run(read_many(doors["gateway"], N_STREAMS, 3, N_TOKENS))
    cpu, wall_s = 0.0, 0.0
    for _round in range(5):
        for name, door in doors.items():
            before, began = sum(map(cpu_s, web)), time.monotonic()
            found = uvloop.run(read_many(door, N_STREAMS, N_ANSWERS // 5, N_TOKENS, MOST_PAUSE_S))
            if name == "gateway":
                cpu, wall_s = cpu + sum(map(cpu_s, web)) - before, wall_s + time.monotonic() - began
            seen[name].first_s += found.first_s
            seen[name].way_s += found.way_s
            seen[name].n_whole += found.n_whole
            seen[name].broken += found.broken
    if broken := [text for each in seen.values() for text in each.broken]:
        sys.exit(f"{len(broken)} answers broke off: {broken[0]}")

    def less(what: str, percent: int) -> float:
        cuts = [statistics.quantiles(getattr(seen[name], what), n=100)[percent - 1] for name in ("gateway", "engine")]
        return round((cuts[0] - cuts[1]) * 1000, 2)

    figures: dict[str, object] = {
        "streams": N_STREAMS,
        "answers": seen["gateway"].n_whole,
        "first_token_added_ms": {"p50": less("first_s", 50), "p95": less("first_s", 95)},
        "token_added_ms": {"p50": less("way_s", 50), "p95": less("way_s", 95)},
        "token_cpu_ms": round(cpu * 1000 / (seen["gateway"].n_whole * N_TOKENS), 3),
        "web_cpu_percent": round(100 * cpu / wall_s),
    }
    print(f"  {json.dumps(figures)}", file=sys.stderr, flush=True)
    return figures


def many(door: Door, web: list[psutil.Process]) -> dict[str, object]:
    """N_MANY streams at once, and the memory of the web processes in the middle of them."""

    def used() -> int:
        return sum(process.memory_full_info().uss for process in web)

    async def read() -> tuple[Seen, int, int]:
        reading = asyncio.create_task(read_many(door, N_MANY, 1, N_MANY_TOKENS))
        await asyncio.sleep(N_MANY_TOKENS * MANY_STEP_MS / 2000)
        memory, threads = used(), sum(process.num_threads() for process in web)
        return await reading, memory, threads

    before, began = used(), time.monotonic()
    seen, during, n_threads = uvloop.run(read())
    if seen.broken:
        print(f"  broke off: {seen.broken[0]}", file=sys.stderr)
    figures: dict[str, object] = {
        "streams": N_MANY,
        "tokens": N_MANY_TOKENS,
        "whole": seen.n_whole,
        "lost": N_MANY - seen.n_whole,
        "kb_a_stream": round((during - before) / 1024 / N_MANY),
        "threads": n_threads,
        "first_token_p50_ms": round(statistics.median(seen.first_s) * 1000),
        "token_way_p95_ms": round(statistics.quantiles(seen.way_s, n=20)[-1] * 1000, 1),
        "took_s": round(time.monotonic() - began, 2),
        "engine_took_s": N_MANY_TOKENS * MANY_STEP_MS / 1000,
    }
    print(f"  {json.dumps(figures)}", file=sys.stderr, flush=True)
    return figures


def make_rows() -> None:
    """A project with a base model and a key whose limit is counted but never reached; print the key."""
    import django

    django.setup()
    from deployment.actions.release import ensure_deployment
    from labeling.actions.api_key import create_key
    from labeling.models import Project
    from training.models import BaseModel

    project = Project.objects.create(slug="bench", name="Bench")
    model = BaseModel.objects.create(
        slug="smollm2-135m-instruct", name="SmolLM2 135M", location="smollm2-135m-instruct", is_default=True
    )
    model.folder.mkdir(parents=True)
    ensure_deployment(project=project)
    print(create_key(project=project, name="bench", requests_per_minute=1_000_000)[1])


def main() -> None:
    figures: dict[str, object] = {"aims": AIMS, "sqlite": bench("SQLite", "")}
    if postgres_bin():
        with postgresql(is_durable=True) as url:
            figures["postgresql"] = bench("PostgreSQL", url)
    print(json.dumps({"gateway": figures}))


if __name__ == "__main__":
    make_rows()
