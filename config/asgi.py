"""The ASGI application. Threads are kept from request to request, and with them their database connections.

Django gives each request a new thread, so that each would open a connection of its own and read the schema anew.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import django
from asgiref.sync import SyncToAsync, ThreadSensitiveContext

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from django.core.handlers.asgi import ASGIHandler  # noqa: E402 - the settings come first
from django.db import connections  # noqa: E402

N_KEPT = 16
_idle: list[ThreadPoolExecutor] = []  # touched by the event loop's thread only


class KeptThread(ThreadSensitiveContext):
    """Runs the synchronous parts of one request in a thread that goes to another request afterwards.

    Work that outlives the request gets a thread of its own, as without this class.
    """

    async def __aenter__(self) -> "KeptThread":
        await super().__aenter__()
        self._thread = _idle.pop() if _idle else ThreadPoolExecutor(max_workers=1, thread_name_prefix="request")
        SyncToAsync.context_to_thread_executor[self] = self._thread
        return self

    async def __aexit__(
        self, exc: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        SyncToAsync.context_to_thread_executor.pop(self, None)
        if len(_idle) < N_KEPT:
            _idle.append(self._thread)
        else:
            self._thread.submit(connections.close_all)
            self._thread.shutdown(wait=False)
        await super().__aexit__(exc, value, tb)


class Handler(ASGIHandler):
    def load_middleware(self, is_async: bool = False) -> None:
        """Load what stands below WireMiddleware as synchronous: a page goes to its thread once with all of it, not twenty times."""
        super().load_middleware(is_async=False)
        self._middleware_chain = self._middleware_chain.awaitable  # type: ignore[has-type]

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ValueError(f"Emend answers HTTP only, not {scope['type']}.")
        async with KeptThread():
            await self.handle(scope, receive, send)


application = Handler()
