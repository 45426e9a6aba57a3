"""Handing out and handing in over HTTP, at 100,000 tasks, on both databases, with 1, 8 and 32 people; and the export.

The server is the one that `make run` starts, on a throw-away database that waits for its disk; the load generator is
this process, on the same machine. A cycle is what a contractor's browser does: hand in, which answers with the next
task. The same is measured in two requests, as without JavaScript: GET the next task, POST the answer. CPU is user and
system time of the server and of PostgreSQL, from /proc. The answers are words of the documentation at random: the
checks for near-duplicates run, and find none.

EMEND_BENCH_ROWS=5000 makes a small one.
"""

import contextlib
import http.client
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import psutil

from scripts.serve import programs
from scripts.servers import free_port, postgres_bin, postgresql

ROOT = Path(__file__).resolve().parent.parent
N_ROWS = int(os.environ.get("EMEND_BENCH_ROWS") or 100_000)
CYCLES = {1: 150, 8: 480, 32: 640}  # people to cycles of all of them together
CSRF = "c" * 32
WORDS = sorted({word for page in ROOT.glob("docs/*.md") for word in re.findall("[a-z]{3,12}", page.read_text())})
KEY = re.compile(r'name="idempotency_key" value="([^"]+)"')


def rows(environment: dict[str, str], *arguments: str) -> dict[str, object]:
    command = [sys.executable, "-m", "benchmarks.labeling_rows", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


@dataclass
class Browser:
    """One signed-in person on one kept connection."""

    port: int
    session: str
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(
        self, path: str, data: dict[str, object] | None = None, *, header: str = "Location", **headers: str
    ) -> tuple[int, str, bytes]:
        """Return status, the header (by default Location) and body."""
        headers = {"Cookie": f"emend_session={self.session}; emend_csrf={CSRF}", **headers}
        if data is not None:
            headers |= {"X-CSRFToken": CSRF, "Content-Type": "application/x-www-form-urlencoded"}
        body = None if data is None else urlencode(data, doseq=True)
        self.connection.request("GET" if data is None else "POST", path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers.get(header, ""), answer.read()

    def next_task(self) -> tuple[str, str]:
        """Return the address of the task's page and the key that its form carries."""
        return self._opened(*self.ask("/p/queue/write/", header="Content-Location"))

    def _opened(self, status: int, address: str, page: bytes) -> tuple[str, str]:
        found = KEY.search(page.decode())
        assert status == 200, f"no page of a task: {status} {page.decode()[:2000]}"
        assert address, "no address of a task"
        assert found, "no form of a task"
        return address, found[1]

    def submit(self, address: str, key: str) -> None:
        """Hand in as without JavaScript. The same key says the same."""
        status, _location, page = self.ask(f"{address}submit/", typed(key))
        assert status == 302, f"not handed in: {status} {page.decode()[:2000]}"

    def submit_for_next(self, address: str, key: str) -> tuple[str, str]:
        """Hand in as the page does; return address and key of the task that comes with the answer."""
        return self._opened(*self.ask(f"{address}submit/", typed(key), header="HX-Push-Url", **{"HX-Request": "true"}))


def typed(key: str) -> dict[str, object]:
    """What the page sends: a text that follows from the key."""
    text = " ".join(random.Random(key).choices(WORDS, k=40)) + "."
    page = {"writer": key, "step": 0, "instructions": 1}
    return {"turn": [text], "idempotency_key": key, "revision": 0, **page}


@dataclass
class Tally:
    """What the threads of one run saw. Appending to a list needs no lock."""

    next_s: list[float] = field(default_factory=list)
    submit_s: list[float] = field(default_factory=list)
    both_s: list[float] = field(default_factory=list)
    served: list[str] = field(default_factory=list)
    handed_in: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def drive(browsers: list[Browser], n_cycles: int, *, spare: list[Browser] | None = None) -> tuple[Tally, float]:
    """Let each browser work in a thread of its own; return what they saw and how long it took, in seconds.

    With `spare` every tenth client dies after being served, and another person takes its place; every tenth hands in twice.
    """
    tally, counter, lock = Tally(), iter(range(n_cycles)), threading.Lock()

    def work(browser: Browser) -> None:
        try:
            browser.connection.close()  # the server has closed what lay idle; the first request opens it anew
            while True:
                with lock:
                    number = next(counter, None)
                if number is None:
                    return
                began = time.perf_counter()
                address, key = browser.next_task()
                middle = time.perf_counter()
                tally.served.append(address)
                if spare and number % 10 == 3:
                    browser = spare.pop()
                    browser.connection.close()
                    continue
                browser.submit(address, key)
                tally.next_s.append(middle - began)
                tally.submit_s.append(time.perf_counter() - middle)
                tally.handed_in.append(address)
                if spare is not None and number % 10 == 6:
                    browser.submit(address, key)
        except Exception as error:  # noqa: BLE001 - told by the main thread
            tally.errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, args=[browser]) for browser in browsers]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if tally.errors:
        sys.exit(f"{len(tally.errors)} of {len(browsers)} people could not work: {tally.errors[0]}")
    return tally, time.perf_counter() - began


def drive_pages(browsers: list[Browser], n_cycles: int) -> tuple[Tally, float]:
    """The same on the pages as they are: each person opens Write once and from then on hands in."""
    tally, counter, lock = Tally(), iter(range(n_cycles)), threading.Lock()

    def work(browser: Browser) -> None:
        try:
            browser.connection.close()
            address, key = browser.next_task()
            tally.served.append(address)
            barrier.wait()
            while True:
                with lock:
                    if next(counter, None) is None:
                        return
                began = time.perf_counter()
                handed_in = address
                address, key = browser.submit_for_next(address, key)
                tally.both_s.append(time.perf_counter() - began)
                tally.handed_in.append(handed_in)
                tally.served.append(address)
        except Exception as error:  # noqa: BLE001 - told by the main thread
            barrier.abort()
            tally.errors.append(f"{type(error).__name__}: {error}")

    barrier = threading.Barrier(len(browsers) + 1)
    threads = [threading.Thread(target=work, args=[browser]) for browser in browsers]
    for thread in threads:
        thread.start()
    with contextlib.suppress(threading.BrokenBarrierError):
        barrier.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if tally.errors:
        sys.exit(f"{len(tally.errors)} of {len(browsers)} people could not work: {tally.errors[0]}")
    return tally, time.perf_counter() - began


def cpu_s(process: psutil.Process) -> float:
    """Seconds of CPU of a process, its children, and those that ended."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
            if each == process:
                total += times.children_user + times.children_system
    return total


def in_ms(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {f"p{n}_ms": round(cuts[n - 1] * 1000, 1) for n in (50, 95, 99)}


def n_doubled(served: list[str]) -> int:
    return sum(n - 1 for n in Counter(served).values())


@contextlib.contextmanager
def serving(environment: dict[str, str], port: int) -> Iterator[list[psutil.Process]]:
    """Run the web processes of `make run` and yield them."""
    commands = [command.split() for name, (command, _s) in programs(port, free_port()).items() if "web" in name]
    with (Path(environment["EMEND_VAR_DIR"]) / "web.log").open("w") as log:
        web = [psutil.Popen(words, cwd=ROOT, env=environment, stdout=log, stderr=log) for words in commands]
    try:
        browser = Browser(port, "")
        for _attempt in range(200):
            with contextlib.suppress(OSError):
                browser.connection.close()
                if browser.ask("/accounts/login/")[0] == 200:
                    break
            time.sleep(0.1)
        yield web
    except BaseException:
        print((Path(environment["EMEND_VAR_DIR"]) / "web.log").read_text()[-3000:], file=sys.stderr)
        raise
    finally:
        for process in web:
            process.terminate()
        psutil.wait_procs(web, 10)


def measure(browsers: list[Browser], web: list[psutil.Process], database: list[psutil.Process]) -> dict[str, object]:
    n = len(browsers)
    figures: dict[str, object] = {"people": n}
    for name, work in (("page", drive_pages), ("plain", drive)):
        before = [sum(map(cpu_s, processes)) for processes in (web, database)]
        tally, took_s = work(browsers, CYCLES[n])
        used = [sum(map(cpu_s, processes)) - start for processes, start in zip((web, database), before, strict=True)]
        n_cycles = len(tally.handed_in)
        both_s = tally.both_s or [a + b for a, b in zip(tally.next_s, tally.submit_s, strict=True)]
        figures[name] = {
            "per_s": round(n_cycles / took_s, 1),
            "cpu_ms": round(sum(used) / n_cycles * 1000, 1),
            "cpu_server_ms": round(used[0] / n_cycles * 1000, 1),
            "doubled": n_doubled(tally.served),
            **({"next": in_ms(tally.next_s), "submit": in_ms(tally.submit_s)} if tally.next_s else {}),
            "both": in_ms(both_s),
        }
    print(f"  {n:>2} people: {json.dumps(figures)}", file=sys.stderr, flush=True)
    return figures


def export(browser: Browser, web: list[psutil.Process]) -> dict[str, object]:
    """Seconds for the whole download, and the peak memory so far of the largest web process in MB."""
    figures: dict[str, object] = {}
    for kind in ("csv", "jsonl"):
        began = time.perf_counter()
        status, _location, body = browser.ask(f"/p/archive/submissions/export/?format={kind}")
        assert status == 200, f"no export: {status}"
        figures[f"{kind}_s"] = round(time.perf_counter() - began, 2)
        figures[f"{kind}_mb"] = round(len(body) / 1e6, 1)
    assert body.count(b"\n") == N_ROWS
    figures["peak_mb"] = round(max(peak_kb(process) for process in web) / 1024)
    print(f"  export: {json.dumps(figures)}", file=sys.stderr, flush=True)
    return figures


def peak_kb(process: psutil.Process) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found
    return int(found[1])


def bench(name: str, database_url: str) -> dict[str, object]:
    print(f"> Labeling on {name}, {N_ROWS:,} tasks", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="emend-bench-") as folder:
        environment = {**os.environ, "EMEND_VAR_DIR": folder, "EMEND_BROKER_URL": "memory://"}
        environment["DATABASE_URL"] = os.environ["DATABASE_URL"] = database_url or f"sqlite:///{folder}/emend.sqlite3"
        for command in (("migrate", "-v0"), ("collectstatic", "--noinput", "-v0")):
            subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True)
        seeded = rows(environment, "seed", str(N_ROWS))
        port = free_port()
        with serving(environment, port) as web:
            database = [database_server(database_url)] if database_url else []
            people = [Browser(port, session) for session in seeded["sessions"]]  # type: ignore[attr-defined]
            drive(people[:8], 40)
            figures: dict[str, object] = {"load": [measure(people[:n], web, database) for n in CYCLES]}
            n_threads = 32 if database_url else 8
            rough, _took_s = drive(people[:n_threads], 400, spare=people[32:])
            expired = rows(environment, "expire")
            calm, _took_s = drive(people[:n_threads], 400)
            counted = rows(environment, "count")
            figures["rough"] = {
                "threads": n_threads,
                "doubled": n_doubled(rough.served) + n_doubled(calm.served),
                "taken_up_again": len(set(rough.served) & set(calm.served)),
                **expired,
                **counted,
            }
            print(f"  with deaths and double clicks: {json.dumps(figures['rough'])}", file=sys.stderr, flush=True)
            figures["export"] = export(Browser(port, str(seeded["admin"])), web)
    return figures


def database_server(url: str) -> psutil.Process:
    """Return PostgreSQL's first process, by the port that it listens on."""
    port = url.rsplit(":", 1)[1].split("/")[0]
    return next(
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "postgres"
        and f"-p {port}" in " ".join(process.info["cmdline"] or []).replace("  ", " ")
    )


def main() -> None:
    wanted = os.environ.get("EMEND_BENCH_DATABASES") or "sqlite,postgresql"
    figures: dict[str, object] = {"tasks": N_ROWS}
    if "sqlite" in wanted:
        figures["sqlite"] = bench("SQLite", "")
    if "postgresql" in wanted:
        if postgres_bin() is None:
            sys.exit("PostgreSQL is not installed; `make test` installs it where that is allowed.")
        with postgresql(is_durable=True) as url:
            figures["postgresql"] = bench("PostgreSQL", url)
    print(json.dumps(figures))
