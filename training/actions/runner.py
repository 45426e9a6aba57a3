"""Child processes that work on a run directory (docs/run-directory.md): starting, watching and ending them."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from common.conversations import canonical_json
from training.states import ErrorKind

POLL_S = 0.25
HEARTBEAT_S = 5.0
SILENCE = timedelta(seconds=60)
GRACE_S = 3.0
MAX_ATTEMPTS = 8
EXIT_STOPPED = 143
PID_FILE = "child.pid"
LOG_FILE = "output.log"
# What ml/checkpoints.py deletes from all but the last one.
OF_RESUME = ("optimizer*", "scheduler.pt", "scaler.pt", "rng_state*", "training_args.bin")
RESOURCES_DIR = settings.BASE_DIR / "ml" / "resources"
# Set when this worker is asked to leave: what runs goes back to the queue instead of being waited for.
SHUTDOWN = threading.Event()
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


def worker_name() -> str:
    """Return this process as host:pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


def worker_pid(worker: str) -> int | None:
    """Return the process number in host:pid, None before there is a worker."""
    return int(worker.rpartition(":")[2]) if worker else None


def is_worker_dead(worker: str, heartbeat_at: Any) -> bool:
    """Whether the process host:pid is gone: looked up on the same host, else told by a minute without heartbeat."""
    host, _, pid = worker.rpartition(":")
    if host == socket.gethostname() and not _is_running(int(pid)):
        return True
    return heartbeat_at is None or heartbeat_at < timezone.now() - SILENCE


def n_threads() -> int:
    """Return how many threads a child process may use."""
    return settings.ML_THREADS or os.cpu_count() or 1


def write_json(path: Path, value: Any) -> None:
    """Replace a file in one step: a reader sees the old value or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")
    temporary.replace(path)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_lines(path: Path, rows: Iterable[Any]) -> int:
    """Write rows as JSONL and return how many."""
    n_rows = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(canonical_json(row) + "\n")
            n_rows += 1
    return n_rows


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSONL file, none where there is no file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def read_json(path: Path) -> dict[str, Any]:
    """Return what a child has written to a file, {} where there is none yet."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def read_result(run_dir: Path) -> dict[str, Any]:
    """Return result.json, {} where the run left none."""
    return read_json(run_dir / "result.json")


@dataclass
class Tail:
    """Reads a growing JSONL file: each call of `read` gives the whole lines that came since. `skip` lines are known."""

    path: Path
    skip: int = 0
    offset: int = 0

    def read(self) -> list[dict[str, Any]]:
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]  # the last line may be half written
        self.offset += len(whole)
        lines = whole.splitlines()
        fresh = lines[self.skip :]
        self.skip = max(0, self.skip - len(lines))
        return [json.loads(line) for line in fresh]


class Child:
    """`python -m ml COMMAND RUN_DIR` in a process group of its own, which ends as one."""

    def __init__(self, command: str, run_dir: Path) -> None:
        stop_leftover(run_dir)
        self._forget_failure(run_dir)
        self.log_path = run_dir / LOG_FILE
        threads = dict.fromkeys(THREAD_VARIABLES, str(n_threads()))
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*settings.ML_COMMAND, command, str(run_dir)],
                cwd=settings.BASE_DIR,
                env={**os.environ, **threads, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        (run_dir / PID_FILE).write_text(str(self._process.pid))

    def ticks(self) -> Iterator[None]:
        """Yield a few times a second while the child lives, and once more after it has ended."""
        while self.exit_code is None:
            yield
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(POLL_S)
        yield

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._process.poll()

    def end(self, *, grace_s: float = 0.0) -> None:
        """End the whole group: SIGTERM and `grace_s` to save what can be saved, then SIGKILL. It is gone on return."""
        if grace_s and self.exit_code is None:
            _signal_group(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        _signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def last_output(self, n_chars: int = 2000) -> str:
        """Return the end of what the child wrote to its standard output and error."""
        with contextlib.suppress(OSError):
            return self.log_path.read_text(encoding="utf-8", errors="replace")[-n_chars:].strip()
        return ""

    @staticmethod
    def _forget_failure(run_dir: Path) -> None:
        """Remove a result that is not a success, so that what is read at the end is of this attempt."""
        if read_result(run_dir).get("status") != "succeeded":
            (run_dir / "result.json").unlink(missing_ok=True)


def stop_leftover(run_dir: Path) -> None:
    """End the children of a worker that died and could not: two processes in one run directory would spoil it.

    A child is known by its command line. The file with its number is not enough: a worker can die between the start of a
    child and the writing of its number.
    """
    leftovers = _children_of(run_dir)
    for pid in leftovers:
        _signal_group(pid, signal.SIGKILL)
    deadline = time.monotonic() + GRACE_S
    while any(_is_running(pid) for pid in leftovers) and time.monotonic() < deadline:
        time.sleep(0.02)


def was_stopped(child: Child, *, n_attempts: int) -> bool:
    """Whether the run is to go on later: its worker leaves, or something else ended or killed it, which is borne a few times."""
    if SHUTDOWN.is_set():
        return True
    return child.exit_code in (EXIT_STOPPED, -signal.SIGTERM, -signal.SIGKILL) and n_attempts < MAX_ATTEMPTS


def sort_error(*, child: Child, result: dict[str, Any]) -> tuple[str, str]:
    """Return kind (a word of ErrorKind) and message of a failed run."""
    error = result.get("error") or {}
    output = child.last_output()
    if error:
        return str(error.get("kind", ErrorKind.CODE)), str(error.get("message", ""))
    if child.exit_code == -signal.SIGKILL:
        return ErrorKind.MEMORY, "The system ended the process, most likely because memory ran out."
    if "No space left on device" in output:
        return ErrorKind.DISK, "The disk is full."
    return ErrorKind.CODE, output.splitlines()[-1] if output else f"The process ended with code {child.exit_code}."


def remove_checkpoints(run_dir: Path) -> None:
    """Free the space of a run that will not be resumed."""
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)


def keep_weights(run_dir: Path) -> None:
    """Free what only a resume needs, which will not come: of a checkpoint the weights and its facts stay."""
    for path in (run_dir / "checkpoints").glob("checkpoint-*"):
        if not (path / "complete").is_file():
            shutil.rmtree(path, ignore_errors=True)
            continue
        for pattern in OF_RESUME:
            for part in path.glob(pattern):
                shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)


def _children_of(run_dir: Path) -> list[int]:
    """Return the numbers of the processes that work on a run directory, as the system's table of processes has them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            if words[: len(settings.ML_COMMAND)] == settings.ML_COMMAND and str(run_dir) in words:
                found.append(int(path.parent.name))
    return found


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _is_running(pid: int) -> bool:
    """Whether the process is there and not just a dead entry that nobody has collected."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
