"""The ASGI application."""

from asgiref.sync import iscoroutinefunction

from config.asgi import Handler


def test_a_page_goes_to_its_thread_once_with_all_its_middleware() -> None:
    handler = Handler()
    assert iscoroutinefunction(handler._middleware_chain)  # WireMiddleware, which answers /v1 in the event loop
    assert handler._view_middleware
    assert not any(map(iscoroutinefunction, handler._view_middleware))
