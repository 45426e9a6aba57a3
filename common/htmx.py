"""One URL answers with the whole page or, to htmx, with the piece that it asked for."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

STOP_POLLING = 286


def render_page(
    request: HttpRequest,
    template: str,
    context: dict[str, Any] | None = None,
    *,
    fragment: str = "",
    status: int = 200,
) -> HttpResponse:
    """Render `template`; when htmx asks (and the page is not boosted or restored), render the file `fragment` instead.

    The answer varies by the htmx headers, so that the browser's Back never shows a bare fragment.
    """
    htmx = request.htmx  # type: ignore[attr-defined]
    wants_fragment = bool(fragment) and bool(htmx) and not htmx.boosted and not htmx.history_restore_request
    response = render(request, fragment if wants_fragment else template, context, status=status)
    patch_vary_headers(response, ["HX-Request", "HX-Boosted", "HX-History-Restore-Request"])
    return response
