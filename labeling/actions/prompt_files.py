"""Reading files of prompts, CSV or JSONL, row by row, whatever they are: no row is lost silently and nothing is read whole."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from django.utils.translation import gettext as _

from common.conversations import ConversationError, Message, clean, digest
from labeling.actions.errors import CONVERSATION_MESSAGES
from labeling.models import Tag

ENCODINGS = ("utf-8", "gb18030")
MAX_CELL = 5_000_000
MAX_TAGS = 20
MAX_PEOPLE = 20
# What a column may be called, in any letter case.
NAMES = {
    "prompt": ("prompt", "question", "text", "input", "instruction"),
    "messages": ("messages", "conversation"),
    "system": ("system", "system_prompt"),
    "tags": ("tags", "tag", "labels"),
    "n_people": ("n_people", "people"),
    "position": ("position", "order"),
}
csv.field_size_limit(MAX_CELL)


class UnreadableFile(Exception):
    """A file that cannot be used at all; the text says why. `needs_encoding`: another encoding may help."""

    def __init__(self, message: str, *, needs_encoding: bool = False) -> None:
        super().__init__(message)
        self.needs_encoding = needs_encoding


class BadRow(Exception):
    """A row that cannot be used; the text says why."""


@dataclass(frozen=True)
class Prompt:
    """A row that becomes a task."""

    messages: list[Message]
    tags: list[str] = field(default_factory=list)
    n_people: int | None = None
    position: int = 0

    @property
    def prompt_hash(self) -> str:
        return digest(self.messages)


@dataclass(frozen=True)
class Line:
    """A row of the file: where it begins, how far the file is read, its start as it stands there, and what it says or why not."""

    number: int
    read_bytes: int
    text: str
    prompt: Prompt | None = None
    problem: str = ""


class PromptFile:
    """An opened file: its `format` and `columns` (as recognised), and its rows by iterating. Raises UnreadableFile."""

    def __init__(self, path: Path, *, encoding: str) -> None:
        self.raw: IO[bytes] = path.open("rb")
        try:
            self._open(encoding)
        except BaseException:
            self.raw.close()
            raise

    def _open(self, encoding: str) -> None:
        start = self.raw.read(4)
        self.raw.seek(0)
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            self.encoding = "utf-16"
        else:
            self.encoding = "utf-8-sig" if encoding == "utf-8" else encoding
        self.file = io.TextIOWrapper(self.raw, encoding=self.encoding, newline="")
        with self._readable():
            first = self._first_line()
        self.format = "jsonl" if first.lstrip().startswith("{") else "csv"
        if first.lstrip().startswith("["):
            raise UnreadableFile(_("This is one JSON list. Write each row on a line of its own (JSONL)."))
        if self.format == "csv":
            self._open_csv(first)
        else:
            self.names: dict[str, str] = {}
            self.unknown: list[str] = []

    def _first_line(self) -> str:
        while line := self.file.readline(MAX_CELL):
            if line.strip():
                if "\x00" in line:
                    raise UnreadableFile(_("This is not a text file. Save the table as CSV first."))
                return line
        raise UnreadableFile(_("The file is empty."))

    def _open_csv(self, first: str) -> None:
        delimiter = max(",\t;", key=first.count)
        self.file.seek(0)
        self.csv = csv.reader(self.file, delimiter=delimiter, strict=True)
        with self._readable():
            header = next(row for row in self.csv if any(cell.strip() for cell in row))
        self.header = [cell.strip().strip("\ufeff") for cell in header]
        self.names = {}
        for name in self.header:
            known = _known(name)
            if known and known not in self.names:
                self.names[known] = name
        self.unknown = [name for name in self.header if name and name not in self.names.values()]
        if not {"prompt", "messages"} & set(self.names):
            shown = ", ".join(self.header[:12])[:300]
            raise UnreadableFile(
                _("No column is called prompt or messages. The first line says: %(names)s") % {"names": shown}
            )

    def close(self) -> None:
        self.raw.close()

    def __enter__(self) -> "PromptFile":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Line]:
        with self._readable():
            yield from self._csv_lines() if self.format == "csv" else self._json_lines()

    def _readable(self) -> "_Readable":
        return _Readable(self)

    def _csv_lines(self) -> Iterator[Line]:
        number = self.csv.line_num + 1
        for cells in self.csv:
            at, number = number, self.csv.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(self.header):
                problem = _("has %(n)d cells, the first line has %(header)d") % {
                    "n": len(cells),
                    "header": len(self.header),
                }
                yield Line(at, self.raw.tell(), _start(",".join(cells)), problem=problem)
                continue
            row: dict[str, Any] = {}
            by_name = dict(zip(self.header, cells, strict=False))
            for known, name in self.names.items():
                if value := by_name.get(name, "").strip():
                    row[known] = value
            yield self._line(at, ",".join(cells), row, is_csv=True)

    def _json_lines(self) -> Iterator[Line]:
        self.file.seek(0)
        for number, text in enumerate(iter(lambda: self.file.readline(), ""), 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
                json.dumps(row, ensure_ascii=False).encode()  # half a surrogate pair is no text
            except (ValueError, RecursionError):
                yield Line(number, self.raw.tell(), _start(text), problem=_("cannot be read as JSON"))
                continue
            if not isinstance(row, dict):
                yield Line(number, self.raw.tell(), _start(text), problem=_("is not a JSON object"))
                continue
            known: dict[str, Any] = {}
            for name, value in row.items():
                column = _known(name)
                if column and value is not None and column not in known:
                    known[column] = value
                    self.names.setdefault(column, name)
                elif not column and name not in self.unknown and len(self.unknown) < 20:
                    self.unknown.append(name)
            yield self._line(number, text, known, is_csv=False)

    def _line(self, number: int, text: str, row: dict[str, Any], *, is_csv: bool) -> Line:
        try:
            return Line(number, self.raw.tell(), _start(text), prompt=_prompt(row, is_csv=is_csv))
        except BadRow as error:
            return Line(number, self.raw.tell(), _start(text), problem=str(error))


class _Readable:
    """Turns what the decoder and the CSV reader raise into UnreadableFile."""

    def __init__(self, file: PromptFile) -> None:
        self.file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, UnicodeError):
            raise UnreadableFile(
                _(
                    "The file is not %(encoding)s. Chinese tables are often saved as GB18030; try that, or save it as UTF-8."
                )
                % {"encoding": self.file.encoding.upper().replace("-SIG", "")},
                needs_encoding=True,
            ) from None
        if isinstance(error, csv.Error):
            raise UnreadableFile(
                _(
                    "The quotation marks of the CSV do not match, up to line %(line)d: %(error)s. "
                    "A text with a quotation mark is put in quotation marks, each of its own written twice."
                )
                % {"line": self.file.csv.line_num, "error": error}
            ) from None


def _known(name: str) -> str:
    plain = name.strip().casefold().replace(" ", "_")
    return next((column for column, names in NAMES.items() if plain in names), "")


def _start(text: str) -> str:
    return " ".join(text[:200].split())[:120]


def _prompt(row: dict[str, Any], *, is_csv: bool) -> Prompt:
    if ("prompt" in row) == ("messages" in row):
        raise BadRow(_("needs either a prompt or messages"))
    messages = row.get("messages")
    if messages is None:
        messages = [{"role": "user", "content": row["prompt"]}]
    elif is_csv:
        try:
            messages = json.loads(messages)
        except (ValueError, RecursionError):
            raise BadRow(_("messages cannot be read as JSON")) from None
    if "system" in row:
        if not isinstance(row["system"], str) or not isinstance(messages, list):
            raise BadRow(_("system is not a text"))
        messages = [{"role": "system", "content": row["system"]}, *messages]
    try:
        cleaned = clean(messages, ends_with="user")
    except ConversationError as error:
        code = "last_user" if error.code == "last_turn" else error.code
        raise BadRow(str(CONVERSATION_MESSAGES.get(code, error))) from None
    return Prompt(
        messages=cleaned,
        tags=_tags(row.get("tags")),
        n_people=_number(row, "n_people", 1, MAX_PEOPLE),
        position=_number(row, "position", -(2**53), 2**53) or 0,
    )


def _number(row: dict[str, Any], name: str, least: int, most: int) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    try:
        number = int(str(value).strip())
    except ValueError:
        number = least - 1
    if isinstance(value, bool) or not least <= number <= most:
        raise BadRow(
            _("%(name)s is no whole number from %(least)d to %(most)d") % {"name": name, "least": least, "most": most}
        )
    return number


def _tags(value: Any) -> list[str]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise BadRow(_("tags cannot be read as JSON")) from None
    if isinstance(value, str):
        value = value.replace(";", ",").split(",")
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BadRow(_("tags is not a list of words"))
    names = list(dict.fromkeys(" ".join(name.replace("\x00", "").split()) for name in value))
    names = [name for name in names if name]
    longest = Tag._meta.get_field("name").max_length or 0
    if len(names) > MAX_TAGS or any(len(name) > longest for name in names):
        raise BadRow(_("has too many tags, or too long ones"))
    return names
