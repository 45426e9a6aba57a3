"""Files of finished conversations as people have them: JSON Lines, one JSON list, CSV, Parquet, a zip or a folder of these.

Nothing is read whole and nothing is unpacked to a name that the file gives. A bad line costs that line alone.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson
from django.utils.translation import gettext as _

from labeling.actions.prompt_files import UnreadableFile
from training.formats import BadValue, Format, Row, find_format, recognise, tables
from training.formats.archives import Member, open_members
from training.formats.json_lists import read_list
from training.formats.parquet import read_parquet

MAX_LINE = 8 * 1024 * 1024
MAX_CELL = 5_000_000
PEEK = 65_536


@dataclass(slots=True)
class Item:
    """One value of a file: where it stands, how it begins, and the rows that it gives or what is wrong with it."""

    place: str
    read_bytes: int
    text: str
    rows: list[Row] = field(default_factory=list)
    problem: str = ""


@dataclass(slots=True)
class Value:
    """What stands at a place, or why it cannot be read."""

    number: int
    text: str
    value: dict[str, Any] | None = None
    problem: str = ""


class ExampleFile:
    """An opened file, or folder. Iterating gives its items; `format` and `containers` are known from the first on.

    `asked` is the format that somebody chose, "" to recognise it. Raises UnreadableFile where nothing can be read.
    """

    def __init__(self, path: Path, *, name: str = "", asked: str = "", encoding: str = "utf-8") -> None:
        self.path, self.name, self.encoding = path, name or path.name, encoding
        self.asked = find_format(asked)
        self.formats: list[str] = []
        self.containers: list[str] = []
        self.ignored: list[str] = []
        self._read_before = 0

    def __iter__(self) -> Iterator[Item]:
        for member in open_members(self.path, self.name, self.ignored):
            with member.open() as raw:
                yield from self._items(member, raw)
            self._read_before += member.size_bytes

    def _items(self, member: Member, raw: io.RawIOBase) -> Iterator[Item]:
        stream = io.BufferedReader(raw, PEEK)
        container, values = self._values(member, stream)
        if container not in self.containers:
            self.containers.append(container)
        wanted = self.asked
        for each in values:
            item = Item(
                place=f"{member.label}, {each.number}" if member.label else str(each.number),
                read_bytes=self._read_before + member.tell(),
                text=" ".join(each.text[:200].split())[:120],
                problem=each.problem,
            )
            if each.value is not None:
                wanted = wanted or recognise(each.value)
                if wanted is None:
                    item.problem = _("fits no format; its fields are: %(names)s") % {
                        "names": ", ".join(map(str, each.value))[:200]
                    }
                else:
                    self._note(wanted)
                    item.rows, item.problem = _rows(wanted, each.value)
            yield item

    def _note(self, wanted: Format) -> None:
        if wanted.key not in self.formats:
            self.formats.append(wanted.key)

    def _values(self, member: Member, stream: "io.BufferedReader[Any]") -> tuple[str, Iterator[Value]]:
        start = stream.peek(PEEK)[:PEEK]
        if start[:4] == b"PAR1":
            return "parquet", _parquet_values(member, stream)
        if start[:2] == b"\x1f\x8b" or start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            raise UnreadableFile(_("%(name)s is packed. Unpack it first.") % {"name": member.label or self.name})
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return "csv", self._csv_values(stream, "utf-16")
        text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
        if not text:
            raise UnreadableFile(_("The file is empty."))
        if text[:1] == b"{":
            return "jsonl", _lines(stream)
        if text[:1] == b"[":
            return "json", (Value(number, _shown(value), *_checked(value)) for number, value in read_list(stream))
        if b"\x00" in start:
            raise UnreadableFile(_("This is not a text file. Save the table as CSV first."))
        return "csv", self._csv_values(stream, "utf-8-sig" if self.encoding == "utf-8" else self.encoding)

    def _csv_values(self, stream: "io.BufferedReader[Any]", encoding: str) -> Iterator[Value]:
        csv.field_size_limit(MAX_CELL)
        text = io.TextIOWrapper(stream, encoding=encoding, newline="")
        try:
            first = text.readline(MAX_CELL)
            delimiter = max(",\t;", key=first.count)
            header = [cell.strip().casefold() for cell in next(csv.reader([first], delimiter=delimiter))]
            rows = csv.reader(text, delimiter=delimiter)
            at = 2
            for cells in rows:
                number, at = at, rows.line_num + 2
                if any(cell.strip() for cell in cells):
                    yield _table_line(number, header, cells)
        except UnicodeError:
            message = _("The file is not %(encoding)s. Try GB18030, or save it as UTF-8.") % {
                "encoding": encoding.upper().replace("-SIG", "")
            }
            raise UnreadableFile(message, needs_encoding=True) from None
        except csv.Error as error:
            message = _("The quotation marks of the CSV do not match, at line %(line)d: %(error)s.")
            raise UnreadableFile(message % {"line": at, "error": error}) from None


def _rows(wanted: Format, value: dict[str, Any]) -> tuple[list[Row], str]:
    try:
        return wanted.read(value), ""
    except BadValue as error:
        return [], str(error)
    except RecursionError:
        return [], _("is nested too deeply")


def _lines(stream: "io.BufferedReader[Any]") -> Iterator[Value]:
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            start = line[:200].decode("utf-8", "replace")
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE)
            yield Value(number, start, problem=_("is longer than %(n)d MB") % {"n": MAX_LINE // 1024**2})
            continue
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        try:  # whatever orjson reads is JSON in UTF-8 without half a character; what it does not is looked into
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            pass
        else:
            yield Value(number, line[:800].decode("utf-8", "ignore"), *_checked(value, ""))
            continue
        try:
            text = line.decode()
        except UnicodeDecodeError:
            yield Value(number, line[:200].decode("utf-8", "replace"), problem=_("is not UTF-8"))
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            yield Value(number, text, problem=_("cannot be read as JSON"))
            continue
        yield Value(number, text, *_checked(value, text))


def _checked(value: Any, text: str = "\\ud") -> tuple[dict[str, Any] | None, str]:
    """Return the value, or what is wrong with it. Half of a surrogate pair, which only an escape can spell, is no text."""
    if not isinstance(value, dict):
        return None, _("is not a JSON object")
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return None, _("holds half of a character, which is no text")
    return value, ""


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, default=str)[:200]


def _table_line(number: int, header: list[str], cells: list[str]) -> Value:
    text = ",".join(cells)
    if len(cells) > len(header):
        problem = _("has %(n)d cells, the first line has %(header)d") % {"n": len(cells), "header": len(header)}
        return Value(number, text, problem=problem)
    try:
        return Value(number, text, tables.from_cells(dict(zip(header, cells, strict=False))))
    except BadValue as error:
        return Value(number, text, problem=str(error))


def _parquet_values(member: Member, stream: IO[bytes]) -> Iterator[Value]:
    for number, text in enumerate(read_parquet(member.on_disk(stream)), 1):
        value = json.loads(text)
        yield Value(number, text, {name: each for name, each in value.items() if each is not None})
