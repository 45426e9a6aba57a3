"""`python -m ml tables`: Parquet files of rows, written from JSON lines on stdin, and read as JSON lines on stdout.

    python -m ml tables write FILE      one file of all rows
    python -m ml tables split FOLDER    a file for each split, as the Hub names them
    python -m ml tables read FILE       every row of any Parquet file, one JSON object a line

A row is {"split", "kind", "messages", "rejected"}. The same rows always give the same bytes with one version of pyarrow.
"""

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 10_000
BATCH_ROWS = 500
MAX_GROUP_BYTES = 1024**3
SPLITS = {"train": "train", "valid": "validation", "test": "test"}
MESSAGE = pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())])
SCHEMA = pa.schema(
    [
        pa.field("split", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("messages", pa.list_(MESSAGE)),
        pa.field("rejected", pa.string()),
    ]
)
SETTINGS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "use_dictionary": ["split", "kind"],
    "version": "2.6",
    "data_page_version": "1.0",
}


def main(argv: list[str]) -> int:
    """Do one of the three; 65 for input that cannot be read, with the reason on stderr."""
    action, path = argv[0], Path(argv[1])
    try:
        if action == "write":
            write_file(sys.stdin, path)
        elif action == "split":
            write_splits(sys.stdin, path)
        else:
            read_file(path, sys.stdout)
    except (pa.ArrowException, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 65
    return 0


def _groups(lines: TextIO) -> Iterator[list[dict[str, Any]]]:
    while group := [json.loads(line) for line in islice(lines, GROUP_ROWS)]:
        yield group


def write_file(lines: TextIO, path: Path) -> None:
    with pq.ParquetWriter(path, SCHEMA, **SETTINGS) as writer:
        for group in _groups(lines):
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA), row_group_size=GROUP_ROWS)


def write_splits(lines: TextIO, folder: Path) -> None:
    """Write `<split>-00000-of-00001.parquet` for each split that has rows. Groups are cut by split, not by their arrival."""
    writers: dict[str, pq.ParquetWriter] = {}
    waiting: dict[str, list[dict[str, Any]]] = {}

    def flush(split: str) -> None:
        writers[split].write_table(pa.Table.from_pylist(waiting[split], schema=SCHEMA), row_group_size=GROUP_ROWS)
        waiting[split] = []

    for group in _groups(lines):
        for row in group:
            split = SPLITS.get(row["split"], row["split"])
            if split not in writers:
                path = folder / f"{split}-00000-of-00001.parquet"
                writers[split], waiting[split] = pq.ParquetWriter(path, SCHEMA, **SETTINGS), []
            waiting[split].append(row)
            if len(waiting[split]) == GROUP_ROWS:
                flush(split)
    for split, writer in writers.items():
        if waiting[split]:
            flush(split)
        writer.close()


def read_file(path: Path, out: TextIO) -> None:
    """Write the rows. Raises ValueError for a group that unpacks to more than a gigabyte."""
    file = pq.ParquetFile(path)
    for number in range(file.num_row_groups):
        if file.metadata.row_group(number).total_byte_size > MAX_GROUP_BYTES:
            raise ValueError("a row group is larger than 1 GB")
    for batch in file.iter_batches(batch_size=BATCH_ROWS):
        for row in batch.to_pylist():
            out.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
