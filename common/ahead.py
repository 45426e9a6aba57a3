"""Making the next part of something while the last one is being dealt with."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.utils import translation

T = TypeVar("T")


def ahead(parts: Iterable[T]) -> Iterator[T]:
    """Yield the parts; a thread makes the next one meanwhile, in the caller's language.

    Worth it where the caller waits for something else than Python, a database for example. Making a part must not touch the
    database: the thread would have a connection of its own. What it raises is raised here, in its turn.
    """
    source, end = iter(parts), object()
    language = translation.get_language()

    def make() -> T | object:
        with translation.override(language):
            return next(source, end)

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as hand:
        coming = hand.submit(make)
        while (part := coming.result()) is not end:
            coming = hand.submit(make)
            yield part  # type: ignore[misc]
