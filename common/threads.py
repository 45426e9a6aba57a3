"""Threads for the synchronous parts of requests, kept from one to the next, and with them their database connections.

Django gives each request a new thread, so that each would open a connection of its own and read the schema anew.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import close_old_connections, connections

N_KEPT = 16
_idle: list[ThreadPoolExecutor] = []  # taken from by the event loop's thread only


class KeptThread(ThreadSensitiveContext):
    """Runs the synchronous parts of one request in a thread that goes to another request afterwards.

    Work that outlives the request gets a thread of its own, as without this class.
    """

    async def __aenter__(self) -> "KeptThread":
        await super().__aenter__()
        self._thread: ThreadPoolExecutor | None = _take()
        SyncToAsync.context_to_thread_executor[self] = self._thread
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


class _Lender(Executor):
    """Runs each call in an idle thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        thread = _take()
        future = thread.submit(_run, fn, *args, **kwargs)
        future.add_done_callback(lambda _future: _put_back(thread))
        return future


_lender = _Lender()


def _run(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    close_old_connections()  # Django does it in the thread in which the request began
    return fn(*args, **kwargs)


def _take() -> ThreadPoolExecutor:
    return _idle.pop() if _idle else ThreadPoolExecutor(max_workers=1, thread_name_prefix="request")


def _put_back(thread: ThreadPoolExecutor) -> None:
    if len(_idle) < N_KEPT:
        _idle.append(thread)
    else:
        thread.submit(connections.close_all)
        thread.shutdown(wait=False)
