"""The frame of /api/v1: who asks, what may go wrong, lists by key. An address is a table of operations:

    path("p/<slug:slug>/tasks/", address(GET=task.task_list, POST=task.task_add), name="api-task-list")

    @operation(Role.ADMIN, body=PromptsAsked, answer=PromptsAdded, status=201)
    def task_add(call: Call) -> AddedPrompts: ...

The role, the query and the body are checked before; the view calls one action and returns rows for `answer`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from django.db.models import QuerySet
from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import exceptions, serializers
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling.api.problems import Problem
from labeling.models import ApiKey, Membership, Project, User
from labeling.queries import require_member
from labeling.states import Role, Scope

LARGEST_KEY = 2**63 - 1


@dataclass(frozen=True)
class Call:
    """One request that may be answered: the person's membership, and the valid body and query."""

    request: Request
    membership: Membership
    body: dict[str, Any] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)

    @property
    def user(self) -> User:
        return self.membership.user

    @property
    def project(self) -> Project:
        return self.membership.project

    def require(self, role: Role) -> None:
        """Refuse those who hold a lower role, where the body says which one it takes."""
        if not self.membership.has_role(role):
            raise exceptions.PermissionDenied

    def find(self, rows: "QuerySet[Any]", **by: Any) -> Any:
        """Return one row of the project; what another project has is not there."""
        return get_object_or_404(rows, **by)

    def page(self, rows: "QuerySet[Any]") -> dict[str, Any]:
        """Return the rows after the key `after`, newest first; `next` is the key to go on from, None at the end."""
        limit, after = self.query["limit"], self.query.get("after")
        rows = rows.filter(pk__lt=after) if after else rows
        found = list(rows.order_by("-pk")[: limit + 1])
        return {"items": found[:limit], "next": found[limit - 1].pk if len(found) > limit else None}


class PageAsked(serializers.Serializer):
    """The part of a list that is wanted."""

    after = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_KEY, help_text="`next` of a page")
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=200)


View = Callable[..., Any]
Shape = type[serializers.BaseSerializer]


@dataclass(frozen=True)
class Operation:
    """One method of an address."""

    view: View
    role: Role | None
    body: Shape | None
    query: Shape | None
    answer: Shape | None
    status: int
    is_list: bool
    allows_paused: bool
    media: Sequence[str]

    def answer_to(self, request: Request, slug: str | None, keys: dict[str, Any]) -> HttpResponseBase:
        membership = self._membership(request, slug)
        call = Call(
            request, membership, self._valid(self.body, request.data), self._valid(self.query, request.query_params)
        )
        found = self.view(call, **keys)
        if isinstance(found, HttpResponseBase):
            return found
        if self.answer is None:
            return Response(status=204)
        if self.is_list:
            page = found if isinstance(found, dict) else {"items": found, "next": None}
            items = self.answer(page["items"], many=True, context={"membership": membership}).data
            return Response({"items": items, "next": page["next"]}, self.status)
        return Response(self.answer(found, context={"membership": membership}).data, self.status)

    def _membership(self, request: Request, slug: str | None) -> Membership:
        key = request.auth
        if isinstance(key, ApiKey):
            if slug is not None and key.project.slug != slug:
                raise Http404
            if not key.allows(Scope.LABELING):
                raise exceptions.PermissionDenied("This API key lacks the scope labeling.")
        if slug is None or self.role is None:
            return Membership(user=request.user)  # of no project: for lists that begin with the person
        return require_member(request, slug, self.role, allows_paused=self.allows_paused)

    def _valid(self, shape: Shape | None, data: Any) -> dict[str, Any]:
        if shape is None:
            return {}
        serializer = shape(data=data)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def described(self, method: str, name: str) -> dict[str, Any]:
        """Return what the OpenAPI document says of it."""
        failures = [401, 403, 404, 406, 409, 422, 429]
        if self.body is not None:
            failures += [400, 413, 415]
        answer: Any = self.answer
        if self.is_list and answer is not None:
            rows = answer(many=True)
            after = serializers.IntegerField(allow_null=True, help_text="the key to go on from, null at the end")
            answer = inline_serializer(f"{answer.__name__}Page", {"items": rows, "next": after})
        success: dict[Any, Any] = {self.status: answer} if answer is not None else {204: None}
        if self.media:
            success = {(self.status, media): OpenApiTypes.STR for media in self.media}
        return {
            "operation_id": name,
            "summary": (self.view.__doc__ or "").split("\n")[0].rstrip("."),
            "description": self.view.__doc__ or "",
            "tags": [self.view.__module__.rpartition(".")[2]],
            "request": self.body,
            "parameters": [self.query] if self.query else [],
            "responses": {**success, **dict.fromkeys(failures, Problem)},
        }


def operation(
    role: Role | None = Role.CONTRACTOR,
    *,
    body: Shape | None = None,
    query: Shape | None = None,
    answer: Shape | None = None,
    status: int = 200,
    is_list: bool = False,
    allows_paused: bool = False,
    media: Sequence[str] = (),
) -> Callable[[View], Operation]:
    """Make a view an operation of the interface. `role` is the least one; None asks for no project."""
    asked = query or (PageAsked if is_list else None)

    def wrap(view: View) -> Operation:
        return Operation(view, role, body, asked, answer, status, is_list, allows_paused, media)

    return wrap


class Endpoint(APIView):
    """The view of one address."""

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        http = getattr(request, "_request", request)
        for name, value in getattr(http, "rate_headers", {}).items():
            answer[name] = value
        answer["Cache-Control"] = "no-store"
        return answer

    def permission_denied(self, request: Request, message: str | None = None, code: str | None = None) -> NoReturn:
        if not request.successful_authenticator:
            raise exceptions.NotAuthenticated
        raise exceptions.PermissionDenied(message, code)


def address(**operations: Operation) -> View:
    """Return the view of one address: an operation by method."""

    def handler(method: str, each: Operation) -> View:
        def answer(self: Endpoint, request: Request, slug: str | None = None, **keys: Any) -> HttpResponseBase:
            return each.answer_to(request, slug, keys)

        described = each.described(method, each.view.__name__)
        return extend_schema(**described)(answer)

    members: dict[str, Any] = {method.lower(): handler(method, each) for method, each in operations.items()}
    if any(_takes_file(each.body) for each in operations.values()):
        members["parser_classes"] = [MultiPartParser, JSONParser]
    view = type("Address", (Endpoint,), {"operations": operations, **members})
    return view.as_view()  # type: ignore[attr-defined,no-any-return]


def _takes_file(body: Shape | None) -> bool:
    fields = getattr(body, "_declared_fields", {})
    return any(isinstance(field, serializers.FileField) for field in fields.values())


def only_own(endpoints: list[Any], **_more: Any) -> list[Any]:
    """Leave everything out of the OpenAPI document that is not an address of this interface."""
    return [entry for entry in endpoints if hasattr(getattr(entry[3], "cls", None), "operations")]
