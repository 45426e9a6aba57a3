"""What models have answered before: a file of JSON lines per model, known by the content of its files.

A second evaluation of the same weights finds its answers there, whatever the model is called and wherever it lies.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml import rundir

CHUNK_BYTES = 1 << 22


def model_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of all files that decide what the model says."""
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".safetensors", ".json", ".jinja", ".txt", ".model") and path.is_file():
            total.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    total.update(chunk)
    return total.hexdigest()


def row_key(*parts: Any) -> str:
    """The key of one measurement: prompt, answers and sampling, in a few characters."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


class AnswerCache:
    """Measurements by key; `folder` None keeps nothing. Each line is written whole, so that a killed process loses one at most."""

    def __init__(self, folder: Path | None, digest: str) -> None:
        self._path = folder / f"{digest}.jsonl" if folder else None
        self._known: dict[str, Any] = {}
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._known = {line["key"]: line["value"] for line in rundir.read_whole_lines(self._path)}

    def get(self, key: str) -> Any:
        return self._known.get(key)

    def add(self, keys: Sequence[str], values: Sequence[Any]) -> None:
        for key, value in zip(keys, values, strict=True):
            self._known[key] = value
            if self._path is not None:
                rundir.append_line(self._path, {"key": key, "value": value})
