"""One JSON list of any length, element by element."""

import json
from collections.abc import Iterator
from typing import IO, Any

from django.utils.translation import gettext as _

from labeling.actions.prompt_files import UnreadableFile

BLOCK = 1024 * 1024
MAX_ELEMENT = 16 * 1024 * 1024
BLANK = " \t\r\n"


def read_list(stream: IO[bytes]) -> Iterator[tuple[int, Any]]:
    """Yield (number of the line on which it begins, element). Raises UnreadableFile at the first thing that is no JSON.

    Elements behind that cannot be found: unlike lines, they have no mark of their own.
    """
    decoder = json.JSONDecoder()
    text = _Text(stream)
    text.fill()
    text.skip(BLANK + "\ufeff")
    text.take("[")
    while True:
        text.skip(BLANK)
        if text.peek() == "]":
            return
        wanted = BLOCK
        while True:
            try:
                value, end = decoder.raw_decode(text.buffer, text.at)
                if end == len(text.buffer) and not text.is_over:
                    raise ValueError  # a number may go on behind the buffer
                break
            except (ValueError, RecursionError) as error:
                if isinstance(error, RecursionError) or text.is_over or len(text.buffer) - text.at > MAX_ELEMENT:
                    raise UnreadableFile(
                        _("The JSON list cannot be read from line %(line)d on.") % {"line": text.line}
                    ) from None
                text.fill(wanted)
                wanted *= 2
        yield text.line, value
        text.move_to(end)
        text.skip(BLANK)
        if text.peek() == ",":
            text.take(",")
        elif text.peek() != "]":
            raise UnreadableFile(_("The JSON list cannot be read from line %(line)d on.") % {"line": text.line})


class _Text:
    """A window on the stream: `buffer` from `at` on is not used up yet; `line` is where `at` stands."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.buffer, self.at, self.line, self.is_over = stream, "", 0, 1, False
        self.rest = b""

    def fill(self, n: int = BLOCK) -> None:
        block = self.rest + self.stream.read(n)
        self.is_over = len(block) - len(self.rest) < n
        try:
            fresh, self.rest = block.decode(), b""
        except UnicodeDecodeError as error:
            if self.is_over or error.end < len(block):
                raise UnreadableFile(_("The file is not UTF-8. Save it as UTF-8.")) from None
            fresh, self.rest = block[: error.start].decode(), block[error.start :]
        self.buffer, self.at = self.buffer[self.at :] + fresh, 0

    def move_to(self, at: int) -> None:
        self.line += self.buffer.count("\n", self.at, at)
        self.at = at

    def peek(self) -> str:
        if self.at == len(self.buffer) and not self.is_over:
            self.fill()
        return self.buffer[self.at : self.at + 1]

    def take(self, letter: str) -> None:
        if self.peek() != letter:
            raise UnreadableFile(_("The JSON list cannot be read from line %(line)d on.") % {"line": self.line})
        self.at += 1

    def skip(self, letters: str) -> None:
        while (letter := self.peek()) and letter in letters:
            self.move_to(self.at + 1)
