"""Who is asking, at the doors of /v1."""

import time
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest

from common.counters import count_up
from common.wire import WireError
from labeling.actions.api_key import find_key
from labeling.models import ApiKey
from labeling.states import Scope

WINDOW_S = 60
NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY). A project's admin makes one on the page “API keys”."
)


def require_key(request: HttpRequest, *scopes: Scope) -> ApiKey:
    """Return the key of the request, which has to carry one of `scopes`, and count the request against its limit.

    Put it first in every view. The key's `project` and `user` (None for a key of nobody) are fetched. Raises WireError:
    401 without a usable key, 403 without the scope, 429 over the limit.

    A request that a batch sends has no header but the key itself (`sent_by`), which was counted when the batch was made.
    """
    if (key := getattr(request, "sent_by", None)) is not None:
        request.api_key = key  # type: ignore[attr-defined]
        return key
    key = read_key(request.headers.get("Authorization", ""))
    _count(request, key)
    if scopes and not any(key.allows(scope) for scope in scopes):
        needed = " or ".join(scopes)
        raise WireError(
            f"This API key may not do that: it lacks the scope {needed}.", status=403, code="insufficient_permissions"
        )
    request.api_key = key  # type: ignore[attr-defined]
    return key


def read_key(authorization: str) -> ApiKey:
    """Return the usable key of this header. Raises WireError 401."""
    kind, _, text = authorization.partition(" ")
    text = text.strip()
    if kind.lower() != "bearer" or not text:
        raise WireError(NO_KEY, status=401, headers={"WWW-Authenticate": "Bearer"})
    key = find_key(text=text)
    if key is None:
        shown = f"{text[:6]}***{text[-4:]}" if len(text) > 14 else "***"
        raise WireError(
            f"Incorrect API key provided: {shown}. You can find the keys of your project on its page “API keys”.",
            status=401,
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return key


def _count(request: HttpRequest, key: ApiKey) -> None:
    """Count the request in the key's window of a minute and say in the headers what is left of it."""
    count = count_request(key)
    if count is None:
        return
    request.wire_headers.update(count.headers)  # type: ignore[attr-defined]
    if count.is_over:
        raise WireError(
            f"Rate limit reached for this API key: {count.limit} requests a minute. Please try again in {count.left_s}s.",
            status=429,
            kind="rate_limit_error",
            code="rate_limit_exceeded",
            headers={"Retry-After": str(count.left_s)},
        )


@dataclass(frozen=True)
class RequestCount:
    """How many requests a key has made in its present minute, which ends in `left_s` seconds."""

    limit: int
    n_requests: int
    left_s: int

    @property
    def is_over(self) -> bool:
        return self.n_requests > self.limit

    @property
    def headers(self) -> dict[str, str]:
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(max(0, self.limit - self.n_requests)),
            "x-ratelimit-reset-requests": f"{self.left_s}s",
        }


def count_request(key: ApiKey) -> RequestCount | None:
    """Count one request of the key; None where it has no limit."""
    limit = settings.API_REQUESTS_PER_MINUTE if key.requests_per_minute is None else key.requests_per_minute
    if not limit:
        return None
    now = time.time()
    window = int(now // WINDOW_S)
    n_requests = count_up(f"api-key-{key.key_hash[:24]}", window=window, lasts_s=2 * WINDOW_S)
    return RequestCount(limit, n_requests, max(1, int((window + 1) * WINDOW_S - now)))
