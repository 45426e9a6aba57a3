"""Answering a batch: each line goes through the same door as a request that comes by itself.

1. Every line is checked; one that is no request fails the batch and says why.
2. A few lines at a time are answered; each answer is a line of `output.jsonl`, each refusal one of `errors.jsonl`, written
   before it counts. Killed at any moment, a batch goes on after the lines that are there.
3. The two become files of the API.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db.models import F
from django.http import HttpRequest
from django.urls import resolve
from django.utils import timezone

from common.states import StateError, move
from common.wire import new_id
from deployment.actions.batch import INPUT, next_batch, remove_folder
from deployment.models import Batch
from deployment.states import BATCH_MOVES, BatchState
from labeling.models import ApiKey
from training.actions import runner
from training.actions.errors import FileRefused
from training.actions.file import create_file
from training.actions.file_rows import read_values
from training.models import File
from training.states import FilePurpose

logger = logging.getLogger(__name__)

OUTPUT, ERRORS = "output.jsonl", "errors.jsonl"
MAX_LINES, MAX_ERRORS = 50_000, 100
N_AT_ONCE = 8
LOOK_S = 1.0
BUSY_TRIES, BUSY_S = 30, 2.0  # an engine that is away or busy is waited for this often and this long


@dataclass(frozen=True)
class Line:
    number: int
    custom_id: str
    body: dict[str, Any]


class BadRequestLine(Exception):
    """A line that is no request of the batch. Fields: `code`, `param`."""

    def __init__(self, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.param = code, param


def run_batches() -> None:
    """Answer what waits, until nothing does, another worker is at it, or this one has to leave."""
    while not runner.SHUTDOWN.is_set() and (batch := next_batch()) is not None:
        claimed = Batch.objects.filter(pk=batch.pk, worker=batch.worker, heartbeat_at=batch.heartbeat_at)
        if not claimed.update(worker=runner.worker_name(), heartbeat_at=timezone.now()):
            return
        try:
            _run(Batch.objects.select_related("project", "api_key", "input_file").get(pk=batch.pk))
        finally:
            Batch.objects.filter(pk=batch.pk).update(worker="", heartbeat_at=None)


def _run(batch: Batch) -> None:
    with contextlib.suppress(StateError):  # cancelled in this very moment: the next look at it ends it
        if batch.state == BatchState.VALIDATING:
            _check(batch)
        if batch.state == BatchState.IN_PROGRESS:
            after = async_to_sync(_answer_all)(batch)
            if after is None:
                return
            fields = {"finalizing_at": timezone.now()} if after == BatchState.FINALIZING else {}
            _finish(batch, after, **fields)
        if batch.state == BatchState.FINALIZING:
            _finish(batch, BatchState.COMPLETED)
        elif batch.state == BatchState.CANCELLING:
            _finish(batch, BatchState.CANCELLED)


def _check(batch: Batch) -> None:
    errors: list[dict[str, Any]] = []
    seen: set[str] = set()
    n_lines = 0
    try:
        for number, value in read_values(batch.folder / INPUT):
            n_lines += 1
            try:
                line = read_line(number, value, endpoint=batch.endpoint)
                if line.custom_id in seen:
                    raise BadRequestLine(
                        "This custom_id was used before.", code="duplicate_custom_id", param="custom_id"
                    )
                if n_lines > MAX_LINES:
                    raise BadRequestLine(f"More than {MAX_LINES} requests.", code="too_many_requests")
                seen.add(line.custom_id)
            except BadRequestLine as error:
                errors.append({"code": error.code, "line": number, "message": str(error), "param": error.param})
                if len(errors) == MAX_ERRORS:
                    break
    except (FileRefused, OSError) as error:
        errors.append({"code": "invalid_file", "line": None, "message": str(error), "param": "input_file_id"})
    now = timezone.now()
    if errors:
        move(batch, BatchState.FAILED, moves=BATCH_MOVES, errors=errors, ended_at=now)
        remove_folder(batch)
    else:
        move(batch, BatchState.IN_PROGRESS, moves=BATCH_MOVES, n_total=n_lines, in_progress_at=now)


def read_line(number: int, value: Any, *, endpoint: str) -> Line:
    """Return the request in a line. Raises BadRequestLine."""
    custom_id, body = value.get("custom_id"), value.get("body")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= 512:
        raise BadRequestLine("A text of 512 characters at most is needed.", code="invalid_custom_id", param="custom_id")
    if value.get("method") != "POST":
        raise BadRequestLine("The method has to be POST.", code="invalid_method", param="method")
    if value.get("url") != endpoint:
        raise BadRequestLine(f"The address has to be that of the batch, {endpoint}.", code="invalid_url", param="url")
    if not isinstance(body, dict):
        raise BadRequestLine("An object is needed.", code="invalid_body", param="body")
    if body.get("stream"):
        raise BadRequestLine("Streams are not served in a batch.", code="invalid_body", param="body.stream")
    return Line(number, custom_id, body)


async def _answer_all(batch: Batch) -> BatchState | None:
    """Answer what is left. Returns the state that follows; None where this worker leaves or somebody else has the batch."""
    key = await sync_to_async(_usable_key)(batch)
    answered = _read_answered(batch.folder)
    await sync_to_async(_set_counts)(batch, answered)
    lines = _lines(batch, set(answered))

    async def work() -> None:
        for line in lines:
            result = await _answer(line, key, batch.endpoint)
            is_right = result["response"] is not None and result["response"]["status_code"] == 200
            with (batch.folder / (OUTPUT if is_right else ERRORS)).open("a", encoding="utf-8") as file:
                file.write(json.dumps(result, ensure_ascii=False) + "\n")
            await sync_to_async(_count)(batch, is_right)

    async def answer() -> None:
        async with asyncio.TaskGroup() as group:
            for _n in range(N_AT_ONCE):
                group.create_task(work())

    answering = asyncio.create_task(answer())
    after: BatchState | None = BatchState.FINALIZING
    while not answering.done():
        state = await sync_to_async(_look)(batch)
        if state != BatchState.IN_PROGRESS:  # what is being written is left: the engine need not go on
            after = state
            answering.cancel()
        await asyncio.wait([answering], timeout=LOOK_S)
    with contextlib.suppress(asyncio.CancelledError):
        await answering
    await sync_to_async(_set_counts)(batch, _read_answered(batch.folder))
    return after


async def _answer(line: Line, key: ApiKey | None, endpoint: str) -> dict[str, Any]:
    """Return the line's result, as it stands in a file of answers or of refusals."""
    result: dict[str, Any] = {"id": new_id("batch_req_"), "custom_id": line.custom_id, "response": None, "error": None}
    if key is None:
        return {**result, "error": {"code": "invalid_api_key", "message": "The key of the batch is no longer usable."}}
    match = resolve(endpoint)
    for attempt in range(BUSY_TRIES):
        request = HttpRequest()
        request.method, request.path, request.path_info = "POST", endpoint, endpoint
        request._body = json.dumps(line.body).encode()  # type: ignore[attr-defined]
        request.sent_by = key  # type: ignore[attr-defined]
        response = await match.func(request, **match.kwargs)
        if response.status_code != 503 or attempt == BUSY_TRIES - 1:
            break
        await asyncio.sleep(BUSY_S)
    answer = {"status_code": response.status_code, "request_id": new_id("req_"), "body": json.loads(response.content)}
    return {**result, "response": answer}


def _lines(batch: Batch, answered: set[str]) -> Iterator[Line]:
    for number, value in read_values(batch.folder / INPUT):
        line = read_line(number, value, endpoint=batch.endpoint)
        if line.custom_id not in answered:
            yield line


def _read_answered(folder: Path) -> dict[str, bool]:
    """Return whose answers lie there: custom_id to whether it is an answer. A line that a crash cut off is taken away."""
    found: dict[str, bool] = {}
    for name in (OUTPUT, ERRORS):
        path = folder / name
        if not path.is_file():
            continue
        whole = 0
        with path.open("rb+") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                found[json.loads(line)["custom_id"]] = name == OUTPUT
            file.truncate(whole)
    return found


def _usable_key(batch: Batch) -> ApiKey | None:
    if batch.api_key_id is None:
        return None
    return ApiKey.objects.usable().filter(pk=batch.api_key_id).select_related("project", "user").first()


def _set_counts(batch: Batch, answered: dict[str, bool]) -> None:
    n_completed = sum(answered.values())
    Batch.objects.filter(pk=batch.pk).update(n_completed=n_completed, n_failed=len(answered) - n_completed)


def _count(batch: Batch, is_right: bool) -> None:
    name = "n_completed" if is_right else "n_failed"
    Batch.objects.filter(pk=batch.pk).update(**{name: F(name) + 1})


def _look(batch: Batch) -> BatchState | None:
    """Give a sign of life and return the state that the batch is in, or has to go to; None where it is not ours to go on with."""
    if runner.SHUTDOWN.is_set():
        return None
    now = timezone.now()
    ours = Batch.objects.filter(pk=batch.pk, worker=runner.worker_name())
    if not ours.update(heartbeat_at=now):
        return None
    batch.refresh_from_db(fields=["state"])
    if batch.state == BatchState.IN_PROGRESS and now >= batch.expires_at:
        return BatchState.EXPIRED
    return BatchState(batch.state)


def _finish(batch: Batch, after: BatchState, **fields: Any) -> None:
    """Move the batch on; where that is its end, what was answered becomes files and the folder goes."""
    if after == batch.state:  # cancelled meanwhile: its end comes next
        return
    if after not in (BatchState.COMPLETED, BatchState.CANCELLED, BatchState.EXPIRED):
        move(batch, after, moves=BATCH_MOVES, **fields)
        return
    output, errors = _keep(batch, OUTPUT), _keep(batch, ERRORS)
    move(batch, after, moves=BATCH_MOVES, ended_at=timezone.now(), output_file=output, error_file=errors)
    remove_folder(batch)


def _keep(batch: Batch, name: str) -> File | None:
    path = batch.folder / name
    if not path.is_file() or not path.stat().st_size:
        return None
    with path.open("rb") as file:
        return create_file(
            project=batch.project,
            name=f"{batch.key}_{name}",
            purpose=FilePurpose.BATCH_OUTPUT,
            chunks=iter(lambda: file.read(256 * 1024), b""),
            by=batch.api_key.user if batch.api_key else None,
        )
