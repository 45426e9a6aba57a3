"""The result files of lm-evaluation-harness and Inspect, read as rows of one shape. Tried with lm-eval 0.4.13 and Inspect 0.3.285."""

import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import zstandard

from training.states import BenchmarkTool

MOST_BYTES = 50_000_000  # of a result file, and of what a log's header unpacks to
ZSTANDARD = 93  # the number of this compression in zip files
HEADERS = ("header.json", "_journal/start.json")
LOCAL = ("openai/", "openai-api/")  # how Inspect names who is asked


class UnreadableBenchmark(ValueError):
    """The file is no result of either tool. `code`: not_json, unknown, unfinished, no_result or too_large."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Measured:
    """One metric of one task. `model` is the name that was asked for; "" where the file does not tell it."""

    tool: BenchmarkTool
    model: str
    task: str
    metric: str
    value: float
    stderr: float | None
    n: int | None
    ran_at: datetime
    settings: dict[str, Any] = field(default_factory=dict)


def read_benchmark(content: bytes) -> list[Measured]:
    """Return what a file says: results_*.json of lm-evaluation-harness, an .eval or .json log of Inspect.

    Raises UnreadableBenchmark.
    """
    if len(content) > MOST_BYTES:
        raise UnreadableBenchmark("too_large")
    found = _from_zip(content) if content[:2] == b"PK" else _parsed(content)
    if not isinstance(found, dict):
        raise UnreadableBenchmark("unknown")
    try:
        if isinstance(found.get("eval"), dict):
            rows = list(_of_inspect(found))
        elif isinstance(found.get("results"), dict) and isinstance(found.get("config"), dict):
            rows = list(_of_lm_eval(found))
        else:
            raise UnreadableBenchmark("unknown")
    except UnreadableBenchmark:
        raise
    except (AttributeError, LookupError, OSError, OverflowError, TypeError, ValueError) as error:
        raise UnreadableBenchmark("unknown") from error
    if not rows:
        raise UnreadableBenchmark("no_result")
    return rows


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableBenchmark("not_json") from error


def _from_zip(content: bytes) -> Any:
    """Read the header of an .eval log, which has the results and none of the samples."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            names = archive.namelist()
            if HEADERS[0] not in names:
                raise UnreadableBenchmark("unfinished" if HEADERS[1] in names else "unknown")
            header = archive.getinfo(HEADERS[0])
            if header.file_size > MOST_BYTES:
                raise UnreadableBenchmark("too_large")
            if header.compress_type == ZSTANDARD:
                return _parsed(_unpack(content, header))
            return _parsed(archive.read(header))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise UnreadableBenchmark("unknown") from error


def _unpack(content: bytes, entry: zipfile.ZipInfo) -> bytes:
    """Read an entry that the standard library cannot unpack: its local header is 30 bytes, a name and an extra field long."""
    lengths = content[entry.header_offset + 26 : entry.header_offset + 30]
    start = entry.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    packed = content[start : start + entry.compress_size]
    with zstandard.ZstdDecompressor().stream_reader(packed) as reader:
        return reader.read(MOST_BYTES)


def _of_lm_eval(found: Mapping[str, Any]) -> Iterator[Measured]:
    """Metrics are named "metric,filter"; what ends in _stderr belongs to the metric of the same filter."""
    ran_at = datetime.fromtimestamp(float(found["date"]), UTC)
    groups = found.get("group_subtasks") or {}
    for task, values in found["results"].items():
        if groups.get(task):  # a group repeats what its tasks say
            continue
        samples = (found.get("n-samples") or {}).get(task) or {}
        settings = {
            "shots": (found.get("n-shot") or {}).get(task),
            "version": (found.get("versions") or {}).get(task),
            "limit": found["config"].get("limit"),
        }
        kept = {key: each for key, each in settings.items() if each is not None}
        for name, value in values.items():
            metric, _comma, filtered = name.partition(",")
            if metric.endswith("_stderr") or not filtered or not _is_number(value):  # no filter: alias, sample_len
                continue
            yield Measured(
                tool=BenchmarkTool.LM_EVAL,
                model=_lm_eval_model(found),
                task=str(task),
                metric=metric if filtered == "none" else f"{metric} ({filtered})",
                value=float(value),
                stderr=_number(values.get(f"{metric}_stderr,{filtered}")),
                n=_whole(samples.get("effective", values.get("sample_len"))),
                ran_at=ran_at,
                settings=kept,
            )


def _lm_eval_model(found: Mapping[str, Any]) -> str:
    given = found["config"].get("model_args") or ""
    if isinstance(given, dict):
        return str(given.get("model") or given.get("pretrained") or "")
    pairs = dict(part.split("=", 1) for part in str(given).split(",") if "=" in part)
    return str(pairs.get("model") or pairs.get("pretrained") or found.get("model_name") or "")


def _of_inspect(found: Mapping[str, Any]) -> Iterator[Measured]:
    if found.get("status") != "success":
        raise UnreadableBenchmark("unfinished")
    about = found["eval"]
    results = found.get("results") or {}
    ran_at = datetime.fromisoformat(str(about["created"]).replace("Z", "+00:00"))
    for score in results.get("scores") or ():
        metrics = score.get("metrics") or {}
        stderr = _number((metrics.get("stderr") or {}).get("value"))
        for name, metric in metrics.items():
            value = _number(metric.get("value"))
            if value is None or name in ("stderr", "std", "var"):
                continue
            yield Measured(
                tool=BenchmarkTool.INSPECT,
                model=_inspect_model(str(about.get("model") or "")),
                task=str(about["task"]),
                metric=f"{name} ({score.get('name') or score.get('scorer')})",
                value=value,
                stderr=stderr if name in ("accuracy", "mean") else None,
                n=_whole(score.get("scored_samples") or results.get("completed_samples")),
                ran_at=ran_at if ran_at.tzinfo else ran_at.replace(tzinfo=UTC),
                settings={"epochs": (about.get("config") or {}).get("epochs") or 1},
            )


def _inspect_model(name: str) -> str:
    """Return the name that was asked for: "openai/<name>", "openai-api/<service>/<name>"."""
    if name.startswith(LOCAL[0]):
        return name.removeprefix(LOCAL[0])
    return name.removeprefix(LOCAL[1]).partition("/")[2] if name.startswith(LOCAL[1]) else name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: Any) -> float | None:
    return float(value) if _is_number(value) else None


def _whole(value: Any) -> int | None:
    return int(value) if _is_number(value) and value >= 0 else None
