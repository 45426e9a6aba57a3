"""The outside of /v1: paths as the known clients send them, the one envelope of all errors, headers, streams.

An address of the interface is a table of methods; a view is a plain function, sync or async:

    path("files", endpoint(GET=file.index, POST=file.create))
    path("models/<path:name>", endpoint(GET=model.show, DELETE=model.delete))

    def create(request: HttpRequest) -> JsonResponse:
        key = require_key(request, Scope.FILES)   # labeling.api
        body = Params(read_json(request))         # common.wire_params
        ...
        raise WireError("No such File object: file-1", status=404, param="id")

Whatever happens in it, the client gets JSON: WireError says what, anything else is logged and answered with 500.
"""

import json
import logging
import math
import re
import secrets
import string
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.urls import Resolver404, resolve
from django.utils import translation
from django.views.decorators.csrf import csrf_exempt

from common.threads import let_go_of_thread
from common.wire_cors import allow_origin, preflight

logger = logging.getLogger(__name__)

ALPHABET = string.ascii_letters + string.digits
SERVED = re.compile(r"/+v1")  # also /v1models, which is what some clients make of a base URL without its last slash
UNREADABLE = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The API expects a JSON payload, but what was sent was not valid JSON.)"
)
TEXT_HERE = "\x00"  # which no text holds
DONE = "data: [DONE]\n\n"
KEEP_ALIVE = ": keep-alive\n\n"

View = Callable[..., Any]


class WireError(Exception):
    """A refusal in the envelope that the clients know. 400 for whatever is wrong with a request, never 409 or 422."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.kind = status, param, code, kind
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, Any]:
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}


def new_id(prefix: str) -> str:
    """Return a random key as the clients know them: the prefix and 24 letters and digits."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(24))


def error_response(error: WireError) -> JsonResponse:
    return JsonResponse(error.body, status=error.status, headers=error.headers)


def sse(value: Any) -> str:
    """Return one event of a stream: a `data:` line and an empty one."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def sse_around(value: Any) -> tuple[str, str]:
    """Return what stands before and after the text TEXT_HERE in an event: of a stream's events only the text differs."""
    before, after = sse(value).split(json.dumps(TEXT_HERE))
    return before, after


def stream_response(events: AsyncIterable[str]) -> StreamingHttpResponse:
    """Return an event stream. Let `events` end with DONE and then end itself: old clients wait for the body's end."""
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(events, content_type="text/event-stream; charset=utf-8", headers=headers)


def read_json(request: HttpRequest) -> dict[str, Any]:
    """Return the body's fields; an empty body has none, whatever type it claims. Raises WireError.

    Every text in it can be stored: neither NUL characters nor halves of surrogate pairs get through.
    """
    raw = request.body
    if not raw.strip():
        return {}
    try:
        values = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise WireError(UNREADABLE) from None
    if not isinstance(values, dict):
        raise WireError("The body has to be a JSON object.")
    if b"\\u" in raw and not _is_storable(values):
        raise WireError("The body holds a character that is no text: NUL or half of a surrogate pair.")
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _is_storable(value: Any) -> bool:
    if isinstance(value, str):
        return not any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, dict):
        return all(_is_storable(key) and _is_storable(each) for key, each in value.items())
    return all(map(_is_storable, value)) if isinstance(value, list) else True


def endpoint(**views: View) -> View:
    """Return the view of one address: a view by method. Unknown methods get 405, all errors the envelope."""

    @csrf_exempt
    async def dispatch(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        view = views.get(request.method or "")
        try:
            if answer := preflight(request, list(views)):
                return answer
            _refuse_encoded(request)
            if view is None:
                raise WireError(
                    f"Not allowed to {request.method} on {request.path}. (HINT: use {' or '.join(views)}.)",
                    status=405,
                    code="method_not_allowed",
                    headers={"Allow": ", ".join(views)},
                )
            if not iscoroutinefunction(view):
                view = sync_to_async(view)
            return await view(request, **kwargs)
        except WireError as error:
            return error_response(error)
        except RequestDataTooBig:
            return error_response(WireError("The body is too large.", status=413, code="request_too_large"))
        except SuspiciousOperation as error:  # a form with too many fields or parts
            return error_response(WireError(f"The request cannot be read: {error}"))
        except Exception:  # the edge of the process: the client gets no traceback, the log does
            logger.exception("%s %s", request.method, request.path)
            return error_response(
                WireError("The server had an error while processing your request.", status=500, kind="server_error")
            )

    dispatch.views = views  # type: ignore[attr-defined]
    return dispatch


def _refuse_encoded(request: HttpRequest) -> None:
    """Refuse a compressed body: it says nothing of how large it is once it is unpacked."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise WireError(
            f"A body with the Content-Encoding {encoding[:40]!r} is not read here; send it as it is.",
            status=415,
            code="unsupported_content_encoding",
        )


class WireMiddleware:
    """Answers everything that begins with /v1 by itself and comes first: sessions, languages and forms are none of its business.

    Paths are taken as they were sent: repeated slashes count once, `%2F` does not divide, a slash at the end is ignored,
    nothing redirects. Unknown paths get the envelope, with an id in every answer's headers.

    It is async only, or the synchronous middleware below it would put streams into threads.
    """

    sync_capable, async_capable = False, True

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if SERVED.match(request.path_info):
            return await self._answer(request)
        return await self.get_response(request)

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        began = time.monotonic()
        request.wire_headers = {}  # type: ignore[attr-defined]
        let_go_of_thread()
        with translation.override(None):  # messages in the language of the settings, whoever asks
            response = await self._call(request)
        for name, value in request.wire_headers.items():  # type: ignore[attr-defined]
            response[name] = value
        if not response.streaming:
            response["Content-Length"] = str(len(response.content))  # type: ignore[attr-defined]
        response["x-request-id"] = new_id("req_")
        response["openai-processing-ms"] = str(math.ceil((time.monotonic() - began) * 1000))
        response["openai-organization"] = settings.ORGANISATION
        response["openai-version"] = "2020-10-01"
        response["X-Content-Type-Options"] = "nosniff"
        allow_origin(request, response)
        return response

    async def _call(self, request: HttpRequest) -> HttpResponseBase:
        path = _clean_path(request)
        try:
            if "\x00" in path:
                raise Resolver404
            match = resolve(path)
        except Resolver404:
            method = f"{request.method} {path}".replace("\x00", "")
            hint = (
                ""
                if f"{path}/".startswith("/v1/")
                else " (HINT: with this client the base URL has to end with a slash: …/v1/)"
            )
            return error_response(WireError(f"Unknown request URL: {method}.{hint}", status=404, code="unknown_url"))
        request.path = request.path_info = path
        request.resolver_match = match
        return await match.func(request, **match.kwargs)


def _clean_path(request: HttpRequest) -> str:
    """Return the decoded path. Slashes are counted before decoding: an encoded one belongs to a name."""
    scope = getattr(request, "scope", None) or {}
    raw = scope.get("raw_path")
    path = raw.decode("latin-1").split("?")[0] if raw else request.path_info
    path = re.sub("/+", "/", path)
    if len(path) > 1:
        path = path.removesuffix("/")
    return unquote(path) if raw else path
