"""Transactions whose work overlaps and that are committed one after the other."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from django.db import connection, transaction

T = TypeVar("T")


class InOrder:
    """Work and its conclusion, each pair in a transaction. Conclusions come in the order of `run`, and each sees what was committed before.

    With `n_threads` of 0 it happens in the caller's thread and connection; else in threads with connections of their own,
    which see nothing of a transaction that the caller has open. When one fails, those behind it are rolled back too.
    """

    def __init__(self, *, n_threads: int):
        self._n_threads = n_threads
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="in-order") if n_threads else None
        self._running: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for all; raise what one raised."""
        if self._pool is not None:
            self._pool.shutdown()
        if error is None:
            self._wait(0)

    def run(self, work: Callable[[], T], conclude: Callable[[T], None]) -> None:
        """Begin the work, once a thread is free. Raises what work or conclusion of an earlier call raised."""
        if self._pool is None:
            _transact(work, conclude, None)
            return
        self._wait(self._n_threads - 1)
        before = self._running[-1] if self._running else None
        self._running.append(self._pool.submit(_transact_apart, work, conclude, before))

    def _wait(self, n_left: int) -> None:
        while len(self._running) > n_left:
            self._running.popleft().result()


def _transact(work: Callable[[], T], conclude: Callable[[T], None], before: Future[None] | None) -> None:
    with transaction.atomic():
        done = work()
        if before is not None:
            before.result()
        conclude(done)


def _transact_apart(work: Callable[[], T], conclude: Callable[[T], None], before: Future[None] | None) -> None:
    try:
        _transact(work, conclude, before)
    finally:
        connection.close()
