"""The rows of a file of conversations, prepared for an import by the batch.

Preparing is Python's work, as is half of writing to a database. So a file of several batches is read by a process of its own,
which sends them through a pipe.
"""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.utils import translation

from common.ahead import ahead
from labeling.actions.example_incoming import Incoming, TwinFinder, prepare
from labeling.actions.prompt_files import UnreadableFile
from training.formats.source import ExampleFile

_READER = "import django; django.setup(); from training.actions.example_batches import main; main()"


@dataclass(frozen=True)
class Order:
    """What is to be read, from which item on, and in batches of how many rows or characters.

    Twins are looked for in the batch itself and in `n_before` batches before it, unless that is None.
    """

    path: Path
    name: str
    asked: str
    encoding: str
    language: str
    n_handled: int
    project_pk: int
    n_before: int | None
    most_rows: int
    most_characters: int


Batch = tuple[int, list[Incoming]]  # a number of items of the file, and their rows


def read_ahead(order: Order, *, n_rows: int) -> Iterator[Batch]:
    """Yield the batches, of which the next ones are made meanwhile. Raises UnreadableFile and OSError, as the file does."""
    yield from ahead(_read_apart(order) if n_rows > order.most_rows else _read(order))


def _read(order: Order) -> Iterator[Batch]:
    file = ExampleFile(order.path, name=order.name, asked=order.asked, encoding=order.encoding)
    n_items = length = 0
    batch: list[Incoming] = []
    twins = None if order.n_before is None else TwinFinder(n_before=order.n_before)
    for item in islice(iter(file), order.n_handled, None):
        n_items += 1
        for each in item.rows:
            batch.append(
                prepare(
                    place=item.place,
                    messages=each.messages,
                    rejected=each.rejected,
                    project_pk=order.project_pk,
                )
            )
            length += sum(len(turn["content"]) for turn in each.messages)
        if n_items >= order.most_rows or length >= order.most_characters:
            yield n_items, _finished(batch, twins)
            batch, n_items, length = [], 0, 0
    if n_items:
        yield n_items, _finished(batch, twins)


def _finished(batch: list[Incoming], twins: TwinFinder | None) -> list[Incoming]:
    if twins is not None:
        twins.look(batch)
    return batch


def _read_apart(order: Order) -> Iterator[Batch]:
    with subprocess.Popen(
        [sys.executable, "-c", _READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=settings.BASE_DIR
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        try:
            with suppress(BrokenPipeError):
                pickle.dump(order, reader.stdin)
                reader.stdin.close()
            while (part := pickle.load(reader.stdout)) is not None:
                if isinstance(part, Exception):
                    raise part
                yield part
        except (EOFError, pickle.UnpicklingError) as error:
            raise RuntimeError("The process that reads the file has died.") from error
        finally:
            reader.kill()


def main() -> None:
    """Read the order from the standard input; write the batches, then None or what went wrong, to the standard output."""
    order: Order = pickle.load(sys.stdin.buffer)
    with suppress(BrokenPipeError), translation.override(order.language or None):
        try:
            for part in _read(order):
                pickle.dump(part, sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
            pickle.dump(None, sys.stdout.buffer)
        except (UnreadableFile, OSError) as error:
            pickle.dump(error, sys.stdout.buffer)
        sys.stdout.flush()
