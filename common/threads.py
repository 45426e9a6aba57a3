"""Threads for the synchronous parts of requests, kept from one to the next, and with them their database connections.

Django gives each request a new thread, so that each would open a connection of its own and read the schema anew. What it
does to connections at the begin of a request is done here, where a thread is taken: not in one that does nothing else.
"""

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import close_old_connections, connections, reset_queries

N_KEPT = 16
TRUSTED_S = 5.0  # so long after its last use a connection is taken for alive without asking
_idle: list[ThreadPoolExecutor] = []  # taken from by the event loop's thread only


class KeptThread(ThreadSensitiveContext):
    """Runs the synchronous parts of one request in a thread that goes to another request afterwards.

    Work that outlives the request gets a thread of its own, as without this class.
    """

    async def __aenter__(self) -> "KeptThread":
        await super().__aenter__()
        self._thread: ThreadPoolExecutor | None = _take()
        SyncToAsync.context_to_thread_executor[self] = _Kept(self._thread)  # type: ignore[assignment]
        return self

    async def __aexit__(
        self, exc: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.let_go()
        SyncToAsync.context_to_thread_executor.pop(self, None)
        await super().__aexit__(exc, value, tb)

    def let_go(self) -> None:
        """Give the thread back before the request's end; what comes is done in whichever is free."""
        if self._thread is not None:
            _put_back(self._thread)
            self._thread = None
            SyncToAsync.context_to_thread_executor[self] = _lender  # type: ignore[assignment]


def let_go_of_thread() -> None:
    """Let the request that is being answered hold no thread while it waits: a stream would keep one to its end.

    From then on each of its synchronous parts may run in another thread, so that no cursor may stay open between two.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    if isinstance(context, KeptThread):
        context.let_go()


class _Kept(Executor):
    """Runs all calls in one thread."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread, self._has_begun = thread, False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        if self._has_begun:
            return self._thread.submit(fn, *args, **kwargs)
        self._has_begun = True
        return self._thread.submit(_run, fn, *args, **kwargs)


class _Lender(Executor):
    """Runs each call in an idle thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        thread = _take()
        future = thread.submit(_run, fn, *args, **kwargs)
        future.add_done_callback(lambda _future: _put_back(thread))
        return future


_lender = _Lender()


def _run(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    look_after_connections()
    return fn(*args, **kwargs)


def look_after_connections() -> None:
    """Close this thread's connections that are old or broken. A fresh one is not asked with `SELECT 1` whether it lives."""
    reset_queries()
    close_old_connections()
    now = time.monotonic()
    for connection in connections.all(initialized_only=True):
        if now - getattr(connection, "used_at", 0.0) < TRUSTED_S:
            connection.health_check_done = True  # type: ignore[attr-defined]
        connection.used_at = now  # type: ignore[attr-defined]


def _take() -> ThreadPoolExecutor:
    return _idle.pop() if _idle else ThreadPoolExecutor(max_workers=1, thread_name_prefix="request")


def _put_back(thread: ThreadPoolExecutor) -> None:
    if len(_idle) < N_KEPT:
        _idle.append(thread)
    else:
        thread.submit(connections.close_all)
        thread.shutdown(wait=False)
