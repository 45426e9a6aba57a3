"""The lines of an uploaded file: what is accepted, and what is said of the first line that is not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from labeling.states import ExampleKind
from training.actions.dataset import FrozenRow
from training.actions.errors import BadLine, EmptyFile
from training.states import FileFormat, FilePurpose, Split

MAX_LINE_BYTES = 32 * 1024 * 1024
HINT_CHARS = 5
ROLES = ("system", "developer", "user", "assistant")
PREFERRED = ("preferred_output", "preferred_completion")
NON_PREFERRED = ("non_preferred_output", "non_preferred_completion")
EXPECTED = (
    'expected the keys "messages", or "prompt" and "completion", or "input", "preferred_output" and '
    '"non_preferred_output"'
)


def inspect_file(path: Path, *, purpose: str) -> tuple[str, int]:
    """Read every line and return the format (empty for files that are not trained on) and the number of rows.

    Raises BadLine at the first line that cannot be used, EmptyFile where there is none. What we have
    written ourselves is taken as it is.
    """
    file_format, n_rows = "", 0
    if purpose in (FilePurpose.RESULTS, FilePurpose.BATCH_OUTPUT):
        return file_format, n_rows
    for number, value in read_values(path):
        if purpose == FilePurpose.FINE_TUNE:
            file_format = file_format or _find_format(number, value)
            read_row(number, value, file_format)
        n_rows += 1
    if not n_rows:
        raise EmptyFile
    return file_format, n_rows


def read_rows(path: Path, file_format: str, *, split: Split) -> Iterator[FrozenRow]:
    """Yield the rows of a file that has been inspected."""
    for number, value in read_values(path):
        row = read_row(number, value, file_format)
        yield FrozenRow(example_pk=None, kind=row.kind, messages=row.messages, rejected=row.rejected, split=split)


def read_values(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line numbers and objects. A byte order mark, CRLF and blank lines are borne. Raises BadLine."""
    with path.open("rb") as file:
        yield from ((number, _parse(number, line)) for number, line in _lines(file))


def read_row(number: int, value: dict[str, Any], file_format: str) -> FrozenRow:
    """Return the row that a line stands for. Raises BadLine naming the line and the field.

    A prompt becomes the user's turn and its completion the assistant's, as /v1/completions asks the model.
    """
    if file_format == FileFormat.CHAT:
        return _chat_row(number, value)
    if file_format == FileFormat.PREFERENCE:
        return _preference_row(number, value)
    messages: list[Any] = [
        {"role": "user", "content": _text(number, "prompt", value.get("prompt"))},
        {"role": "assistant", "content": _text(number, "completion", value.get("completion"))},
    ]
    return FrozenRow(example_pk=None, kind=ExampleKind.DEMONSTRATION, messages=messages, rejected=None)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise BadLine(number, "", f"longer than {MAX_LINE_BYTES // 2**20} MB")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield number, line


def _parse(number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except UnicodeDecodeError:
        raise BadLine(number, "", "not valid UTF-8") from None
    except (ValueError, RecursionError):  # ValueError: also a number of more digits than Python reads
        value = None
    if not isinstance(value, dict):
        start = line[:40].decode("utf-8", "replace").lstrip()[:HINT_CHARS]
        raise BadLine.not_a_dictionary(number, start)
    return value


def _find_format(number: int, value: dict[str, Any]) -> str:
    if "messages" in value:
        return FileFormat.CHAT
    if "prompt" in value or "completion" in value:
        return FileFormat.COMPLETION
    if "input" in value:
        return FileFormat.PREFERENCE
    raise BadLine(number, "", EXPECTED)


def _chat_row(number: int, value: dict[str, Any]) -> FrozenRow:
    _refuse_tools(number, "", value)
    messages = _messages(number, "messages", value.get("messages"))
    learnt = [i for i, turn in enumerate(messages) if turn["role"] == "assistant" and turn.get("weight") != 0]
    if not learnt:
        raise BadLine(number, "messages", "there is no message from the assistant to learn from")
    kept = messages[: learnt[-1] + 1]  # nothing is learnt from what follows
    return FrozenRow(example_pk=None, kind=ExampleKind.DEMONSTRATION, messages=kept, rejected=None)


def _preference_row(number: int, value: dict[str, Any]) -> FrozenRow:
    given = value.get("input")
    if not isinstance(given, dict):
        raise BadLine(number, "input", "expected an object with the key messages")
    _refuse_tools(number, "input.", given)
    messages = _messages(number, "input.messages", given.get("messages"))
    for turn in messages:
        turn.pop("weight", None)
    preferred, rejected = (_output(number, value, names) for names in (PREFERRED, NON_PREFERRED))
    chosen: Any = {"role": "assistant", "content": preferred}
    return FrozenRow(example_pk=None, kind=ExampleKind.CORRECTION, messages=[*messages, chosen], rejected=rejected)


def _output(number: int, value: dict[str, Any], names: tuple[str, ...]) -> str:
    name = next((name for name in names if name in value), names[0])
    turns = _messages(number, name, value.get(name))
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise BadLine(number, name, "expected one message from the assistant")
    return turns[0]["content"]


def _messages(number: int, name: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise BadLine(number, name, "expected a list with at least one message")
    return [_message(number, f"{name}[{index}]", message) for index, message in enumerate(value)]


def _message(number: int, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadLine(number, name, "expected an object with role and content")
    role = value.get("role")
    if role not in ROLES:
        raise BadLine(number, f"{name}.role", f"expected one of {', '.join(ROLES)}, got {json.dumps(role)[:40]}")
    for key in ("tool_calls", "function_call"):
        if value.get(key):
            raise BadLine(number, f"{name}.{key}", "calls of tools are not trained on here")
    turn: dict[str, Any] = {"role": "system" if role == "developer" else role}
    turn["content"] = _content(number, f"{name}.content", value.get("content"))
    weight = value.get("weight")
    if weight is None:
        return turn
    if isinstance(weight, bool) or weight not in (0, 1) or not isinstance(weight, int):
        raise BadLine(number, f"{name}.weight", "expected the integer 0 or 1")
    if role != "assistant":
        raise BadLine(number, f"{name}.weight", "only messages of the assistant have a weight")
    return turn if weight else {**turn, "weight": 0}


def _content(number: int, name: str, value: Any) -> str:
    """Return a message's text, which may come as a list of parts."""
    if not isinstance(value, list):
        return _text(number, name, value)
    for index, part in enumerate(value):
        if not isinstance(part, dict) or part.get("type") != "text":
            raise BadLine(number, f"{name}[{index}]", 'expected a part of the type "text"')
    return "".join(_text(number, f"{name}[{index}].text", part.get("text")) for index, part in enumerate(value))


def _text(number: int, name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadLine(number, name, "missing" if value is None else "expected a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadLine(number, name, "half of a surrogate pair is no text") from None
    return value.replace("\x00", "")


def _refuse_tools(number: int, prefix: str, value: dict[str, Any]) -> None:
    for key in ("tools", "functions"):
        if value.get(key):
            raise BadLine(number, f"{prefix}{key}", "tools are not trained on here")
