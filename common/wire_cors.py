"""Pages of other addresses that may call /v1 (CORS): none, unless EMEND_CORS_ORIGINS names them.

The keys of /v1 travel in a header and never in a cookie, so that no page gets in by whom its reader is signed in as.
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase

SHOWN = (
    "x-request-id, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    "retry-after, openai-processing-ms, openai-organization, openai-version, content-disposition"
)
KEPT_S = 86_400


def allow_origin(request: HttpRequest, response: HttpResponseBase) -> None:
    """Say in the headers that the page which asks may read the answer, if it may."""
    origins = settings.CORS_ORIGINS
    if not origins:
        return
    response["Vary"] = "Origin"
    origin = request.headers.get("Origin", "")
    if "*" in origins or origin in origins:
        response["Access-Control-Allow-Origin"] = "*" if "*" in origins else origin
        response["Access-Control-Expose-Headers"] = SHOWN


def preflight(request: HttpRequest, methods: list[str]) -> HttpResponse | None:
    """Return the answer to a browser that asks what it may send to an address of these methods, None for other requests."""
    if request.method != "OPTIONS" or not settings.CORS_ORIGINS:
        return None
    if "Access-Control-Request-Method" not in request.headers:
        return None
    response = HttpResponse(status=204)
    response["Access-Control-Allow-Methods"] = ", ".join(methods)
    # Whatever it wants to send: clients add headers of their own, and a header opens nothing here but the key's.
    response["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "authorization")
    response["Access-Control-Max-Age"] = str(KEPT_S)
    return response
