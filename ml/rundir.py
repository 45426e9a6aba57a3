"""The run directory as a child process sees it: config and rows in, events and a result out, and when to stop.

docs/run-directory.md is the contract.
"""

import contextlib
import errno
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from ml.errors import DataError, DiskError, MlError, NoMemoryError
from ml.tensorboard import Scalars

LAST_CODES = ("finished", "stopped", "failed")
EXIT_DATA, EXIT_FAILED, EXIT_STOPPED = 2, 1, 143
SUPERVISOR = "EMEND_SUPERVISOR"  # in launched processes: the process that started their launcher
PARENT_CHECK_S = 1.0


def process_index() -> int:
    """Which of several processes this is that train together, as `accelerate launch` says; 0 for a single one."""
    return int(os.environ.get("RANK", "0"))


def is_launched() -> bool:
    """Whether `accelerate launch` started this process."""
    return "RANK" in os.environ


def is_there(pid: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Stopped(BaseException):
    """Raised in the main thread when the process is to stop; not an Exception, so that no library swallows it."""


class Stop:
    """Whether the process is to stop: SIGTERM asks for it, and so does the death of the parent.

    A request interrupts the work at once by raising Stopped, except inside `held`, where the work looks at
    `is_requested` at moments of its own choice.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._is_held = False

    def install(self, *, parent_pid: int | None) -> None:
        signal.signal(signal.SIGTERM, self._on_signal)
        if parent_pid is not None:
            supervisor_pid = int(os.environ.get(SUPERVISOR, "0")) if is_launched() else 0
            threading.Thread(target=self._watch_parent, args=(parent_pid, supervisor_pid), daemon=True).start()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let the block end by itself; Stopped is raised on the way out if a request came meanwhile."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self.is_requested:
            raise Stopped

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.is_requested = True
        if not self._is_held:
            raise Stopped

    @staticmethod
    def _watch_parent(parent_pid: int, supervisor_pid: int) -> None:
        while os.getppid() == parent_pid and (not supervisor_pid or is_there(supervisor_pid)):
            threading.Event().wait(PARENT_CHECK_S)
        os.kill(os.getpid(), signal.SIGTERM)


class Events:
    """The append-only log `events.jsonl`; the numbers go on where an earlier process left off. Figures also go to `tensorboard/`.

    Of several processes that train together the first one alone writes (`is_ours`).
    """

    def __init__(self, path: Path, *, is_ours: bool = True) -> None:
        self._path = path
        self._is_ours = is_ours
        self._number = len(read_whole_lines(path)) if is_ours else 0
        self._scalars = Scalars(path.parent / "tensorboard")

    def emit(self, code: str, **data: Any) -> None:
        """Append one event; it is in the file when this returns."""
        if not self._is_ours:
            return
        self._number += 1
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        append_line(self._path, {"number": self._number, "at": at, "code": code, "data": data})
        if code == "metrics":
            self._scalars.add(data)
        elif code in LAST_CODES:
            self._scalars.close()


class RunDirectory:
    """One run: `config`, rows by file name, `events`, and the result.

    `is_main` is false in all but the first of several processes that train together.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_main = process_index() == 0
        self.stop = Stop()
        try:
            self.config: dict[str, Any] = json.loads((path / "config.json").read_text())
        except (OSError, ValueError) as error:
            raise DataError(f"config.json cannot be read: {error}") from error
        self.events = Events(path / "events.jsonl", is_ours=self.is_main)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a JSONL file; a file that is not there has none. Raises DataError with the line at fault."""
        return list(self.each_row(name))

    def each_row(self, name: str) -> Iterator[dict[str, Any]]:
        """As `rows`, one at a time."""
        path = self.path / name
        if not path.exists():
            return
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise DataError(f"{name}, line {number}: not JSON ({error}).") from error
                if not isinstance(row, dict):
                    raise DataError(f"{name}, line {number}: not an object.")
                yield row

    def n_rows(self, name: str) -> int:
        """How many lines a file has, without reading what is in them."""
        path = self.path / name
        if not path.exists():
            return 0
        with path.open("rb") as lines:
            return sum(1 for _ in lines)

    def result(self) -> dict[str, Any] | None:
        path = self.path / "result.json"
        return json.loads(path.read_text()) if path.exists() else None

    def write_result(self, result: dict[str, Any]) -> None:
        if self.is_main:
            write_json(self.path / "result.json", result)


def append_line(path: Path, row: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_whole_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a log; a last line that a killed process left half written is cut off the file."""
    if not path.exists():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) != len(text):
        os.truncate(path, len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a file in one step: a reader sees the old value or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def classify(error: Exception) -> MlError:
    """The error as one of ours: full disk and full memory are recognised, anything else is of kind `code`."""
    if isinstance(error, MlError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return DiskError(f"The disk is full or cannot be written: {error}")
    is_memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    if is_memory:
        return NoMemoryError("There is not enough memory for this model and batch size.")
    return MlError(f"{type(error).__name__}: {error}")


def run(argv: list[str], *, command: str, work: Callable[[RunDirectory], dict[str, Any]]) -> int:
    """Do the work of one run directory and return the exit code; `work` returns what result.json says beside status.

    A run that has already succeeded is left as it is.
    """
    if len(argv) != 1:
        print(f"usage: python -m ml {command} RUN_DIR", file=sys.stderr)
        return 64
    path = Path(argv[0]).absolute()
    if not path.is_dir():
        print(f"There is no run directory {path}.", file=sys.stderr)
        return EXIT_DATA
    try:
        directory = RunDirectory(path)
    except DataError as error:
        print(error, file=sys.stderr)
        write_json(path / "result.json", {"status": "failed", "error": {"kind": error.kind, "message": str(error)}})
        return EXIT_DATA
    earlier = directory.result()
    if earlier and earlier["status"] == "succeeded":
        return 0
    try:
        # A launched process belongs to its launcher, which watches the worker (ml/launch.py).
        parent_pid = os.getppid() if is_launched() else directory.config.get("parent_pid")
        directory.stop.install(parent_pid=parent_pid)
        result = work(directory)
        directory.events.emit("finished")
        directory.write_result({"status": "succeeded", **result})
        return 0
    except Stopped:
        directory.events.emit("stopped")
        return EXIT_STOPPED
    except Exception as error:  # noqa: BLE001  the edge of the process: whatever went wrong is told in result.json
        traceback.print_exc()
        failure = classify(error)
        with contextlib.suppress(OSError):  # a full disk must not hide why the run failed
            directory.events.emit("failed", kind=failure.kind, message=str(failure))
            failed = {"status": "failed", "error": {"kind": failure.kind, "message": str(failure)}}
            write_json(path / "result.json", failed)  # whichever process it is
        return EXIT_DATA if isinstance(failure, DataError) else EXIT_FAILED
