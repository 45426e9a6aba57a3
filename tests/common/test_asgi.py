"""The ASGI application."""

import asyncio
import io
import json
from threading import get_ident
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.test import Client

from common import threads
from common.wire import WireError
from config.asgi import Handler, require_known
from labeling.actions.api_key import create_key
from labeling.models import Project, User


def test_a_page_goes_to_its_thread_once_with_all_its_middleware() -> None:
    handler = Handler()
    assert iscoroutinefunction(handler._middleware_chain)  # WireMiddleware, which answers /v1 in the event loop
    assert handler._view_middleware
    assert not any(map(iscoroutinefunction, handler._view_middleware))


class Connection:
    """A client that sends these messages, then nothing, and hears what is answered."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)
        self.heard: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if not self.messages:
            await asyncio.Event().wait()
        return self.messages.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.heard.append(message)

    async def ask(self, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
        wire_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": wire_headers}
        await Handler()(scope, self.receive, self.send)
        return self.heard[0]["status"], json.loads(self.heard[1]["body"])["error"]


def piece(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_that_is_said_to_be_too_large_is_not_read(settings) -> None:
    settings.REQUEST_MAX_BYTES = 10
    connection = Connection(piece(b"x"))
    status, error = await connection.ask("/v1/files", **{"content-length": "11"})
    assert (status, error["code"]) == (413, "request_too_large")
    assert connection.messages


async def test_a_body_that_grows_too_large_is_read_no_further(settings) -> None:
    settings.REQUEST_MAX_BYTES = 10
    connection = Connection(piece(b"x" * 6), piece(b"x" * 6), piece(b"x" * 6))
    assert (await connection.ask("/v1/files"))[0] == 413
    assert len(connection.messages) == 1


def test_a_form_in_chunks_is_no_empty_form() -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x--\r\n'
    scope = {"method": "POST", "path": "/v1/files", "headers": [(b"content-type", b"multipart/form-data; boundary=x")]}
    request, _refused = Handler().create_request(scope, io.BytesIO(form))
    assert request.POST.dict() == {"purpose": "batch"}


async def test_a_strangers_body_goes_to_no_disk(settings) -> None:
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 10
    declared, grown = Connection(piece(b"x")), Connection(piece(b"x" * 6), piece(b"x" * 6), piece(b"x" * 6))
    assert (await declared.ask("/v1/files", **{"content-length": "11"}))[0] == 401
    assert len(declared.messages) == 1
    status, error = await grown.ask("/v1/files")
    assert (status, len(grown.messages)) == (401, 1)
    assert "API key" in error["message"]


def scope_of(path: str, **headers: str) -> dict[str, Any]:
    return {"path": path, "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}


def test_whoever_has_a_key_or_is_signed_in_may_send_much(client: Client, alice: User, project: Project) -> None:
    _row, key = create_key(project=project, name="k")
    client.force_login(alice)
    cookie = f"emend_session={client.cookies['emend_session'].value}"
    require_known(scope_of("/v1/files", authorization=f"Bearer {key}"))
    require_known(scope_of("/api/v1/imports", authorization=f"Bearer {key}"))
    require_known(scope_of("/projects/kitchen/import/", cookie=cookie))
    for path, headers in [
        ("/v1/files", {"authorization": f"Bearer {key}x"}),
        ("/v1/files", {"cookie": cookie}),
        ("/projects/kitchen/import/", {"cookie": cookie[:-1] + "."}),
        ("/projects/kitchen/import/", {}),
    ]:
        with pytest.raises(WireError) as refused:
            require_known(scope_of(path, **headers))
        assert refused.value.status == 401


async def test_a_body_that_does_not_come_holds_no_place(settings) -> None:
    settings.REQUEST_SILENCE_S = 0.01
    status, error = await Connection(piece(b"x")).ask("/v1/files")
    assert (status, error["code"]) == (408, "request_timeout")


async def test_a_waiting_request_can_let_go_of_its_thread(monkeypatch) -> None:
    monkeypatch.setattr(threads, "_idle", [])
    async with threads.KeptThread():
        first = await sync_to_async(get_ident)()
        assert await sync_to_async(get_ident)() == first
        threads.let_go_of_thread()
        other = threads._take()
        assert other.submit(get_ident).result() == first
        assert await sync_to_async(get_ident)() != first
        threads._idle.insert(0, other)
        threads._idle.pop().shutdown()
        assert await sync_to_async(get_ident)() == first
    assert threads._idle == [other]
    other.shutdown()
