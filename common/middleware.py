"""htmx follows redirects out of sight; a page change has to be said with a header."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.shortcuts import resolve_url
from whitenoise.middleware import WhiteNoiseMiddleware


class CompressMiddleware(GZipMiddleware):
    """Compresses pages and other whole answers. Streams go out piece by piece, as they come.

    Against BREACH: CSRF tokens are masked anew in each answer, and the base class adds a random length.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        return response if response.streaming else super().process_response(request, response)


class StaticMiddleware(WhiteNoiseMiddleware):
    """Answers with static files whole: all of them are small, and an ASGI server can only stream what is asynchronous."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        found = static_file.get_response(request.method, request.META)
        if found.file is None:
            body = b""
        else:
            with found.file as file:
                body = file.read()
        response = HttpResponse(body, status=int(found.status))
        del response["Content-Type"]  # each of its headers comes from WhiteNoise
        for name, value in found.headers:
            response[name] = value
        return response


class HtmxRedirectMiddleware:
    """Turns a redirect that answers an htmx request into HX-Redirect, so that the browser goes there as a whole page.

    An expired session thus shows the sign-in page and not a sign-in form inside a table; after signing in the person
    returns to the page that they were on, not to the fragment's address.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if iscoroutinefunction(self.get_response):
            return self._call_async(request)  # type: ignore[return-value]
        return self._finish(request, self.get_response(request))

    async def _call_async(self, request: HttpRequest) -> HttpResponse:
        return self._finish(request, await self.get_response(request))  # type: ignore[misc]

    def _finish(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if request.headers.get("HX-Request") != "true" or response.status_code not in (301, 302, 303):
            return response
        target = response["Location"]
        sign_in = resolve_url(settings.LOGIN_URL)
        if urlsplit(target).path == sign_in:
            page = urlsplit(request.headers.get("HX-Current-URL", "")).path
            target = f"{sign_in}?next={page}" if page else sign_in
        answer = HttpResponse(status=200, headers={"HX-Redirect": target})
        answer.cookies = response.cookies
        return answer
