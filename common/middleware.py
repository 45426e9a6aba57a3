"""htmx follows redirects out of sight; a page change has to be said with a header."""

from collections.abc import Callable
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.shortcuts import resolve_url


class CompressMiddleware(GZipMiddleware):
    """Compresses pages and other whole answers. Streams go out piece by piece, as they come.

    Against BREACH: CSRF tokens are masked anew in each answer, and the base class adds a random length.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        return response if response.streaming else super().process_response(request, response)


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
