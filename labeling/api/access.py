"""Who asks at /api/v1, and how often."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from labeling.actions.api_key import find_key
from labeling.api.key import count_request
from labeling.models import ApiKey, User


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer` with the key of a person; what that person may do in the key's project, it may do."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        kind, _space, text = request.headers.get("Authorization", "").partition(" ")
        if not kind:
            return None
        key = find_key(text=text.strip()) if kind.lower() == "bearer" else None
        if key is None:
            raise exceptions.AuthenticationFailed("This API key does not exist or does not work any more.")
        if key.user is None:
            raise exceptions.AuthenticationFailed("A key without a person cannot be used here.")
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = KeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A project's API key with the scope labeling."}


class KeyThrottle(BaseThrottle):
    """The limit of requests a minute that the key has at /v1 too. People in a browser have none."""

    left_s: float | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        count = count_request(request.auth) if isinstance(request.auth, ApiKey) else None
        if count is None:
            return True
        request._request.rate_headers = count.headers
        self.left_s = count.left_s
        return not count.is_over

    def wait(self) -> float | None:
        return self.left_s
