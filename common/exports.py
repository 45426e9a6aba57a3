"""Files of rows that are sent while they are read."""

import json
import re
import tarfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

BATCH = 500
BLOCK_BYTES = 256 * 1024
_NEEDS_QUOTES = re.compile(r'[",\r\n]').search
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_chunks(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Write rows as CSV, some hundred to a piece. A text that a spreadsheet would take for a formula gets an apostrophe."""
    yield "\ufeff"  # without it, spreadsheets read UTF-8 as something else
    yield from _batched(csv_text([[harmless(cell) for cell in row]]) for row in _with_head(head, rows))


def json_chunks(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Write rows as JSON Lines, some hundred to a piece."""
    yield from _batched(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)


def download(chunks: Iterator[str], *, name: str) -> StreamingHttpResponse:
    """Return the answer that sends `chunks` as a file; the name's ending decides the type."""
    content_type = "text/csv" if name.endswith(".csv") else "application/jsonl"
    response = StreamingHttpResponse(_stream(chunks), content_type=f"{content_type}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def send_file(path: Path, *, name: str) -> StreamingHttpResponse:
    """Return the answer that sends a file of the disk under this name."""
    response = StreamingHttpResponse(_blocks(path), content_type="application/octet-stream")
    response["Content-Length"] = str(path.stat().st_size)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def send_folder(folder: Path, *, name: str) -> StreamingHttpResponse:
    """Return the answer that sends the files of a folder as `name`.tar, without a copy: the same files give the same bytes."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    response = StreamingHttpResponse(_tar(paths, name), content_type="application/x-tar")
    response["Content-Disposition"] = f'attachment; filename="{name}.tar"'
    return response


async def _tar(paths: Sequence[Path], name: str) -> AsyncIterator[bytes]:
    for path in paths:
        entry = tarfile.TarInfo(f"{name}/{path.name}")
        entry.size = await sync_to_async(lambda path=path: path.stat().st_size)()
        yield entry.tobuf()
        async for block in _blocks(path):
            yield block
        yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


async def _blocks(path: Path) -> AsyncIterator[bytes]:
    file = await sync_to_async(lambda: path.open("rb"))()
    try:
        while block := await sync_to_async(file.read)(BLOCK_BYTES):
            yield block
    finally:
        file.close()


async def _stream(chunks: Iterator[str]) -> AsyncIterator[str]:
    while chunk := await sync_to_async(lambda: next(chunks, ""))():
        yield chunk


def _with_head(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    yield head
    yield from rows


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return lines of CSV, as the csv module writes them and several times as fast: it looks at each character in turn."""
    return "".join([",".join(map(_cell, row)) + "\r\n" for row in rows])


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES(text) else text


def harmless(cell: Any) -> Any:
    """Return a cell that no spreadsheet runs; numbers stay numbers."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _batched(lines: Iterable[str]) -> Iterator[str]:
    batch: list[str] = []
    for line in lines:
        batch.append(line)
        if len(batch) == BATCH:
            yield "".join(batch)
            batch.clear()
    if batch:
        yield "".join(batch)
