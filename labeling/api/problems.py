"""What goes wrong at /api/v1, in one shape: {"error": {"code", "message", "fields"}}."""

import re
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler

from common.states import StateError
from labeling.actions import errors

FORBIDDEN = (errors.OwnWork, errors.NeedsAdmin, errors.Paused)
CONFLICTS = (
    errors.NotAllowed,
    errors.StaleInstructions,
    errors.StaleDraft,
    errors.StaleReviewDraft,
    errors.LeaseLost,
    errors.AlreadyMember,
    errors.AlreadyDecided,
    errors.NotCorrectable,
    errors.NotMergeable,
    errors.SendBackLimit,
    errors.DuplicateExample,
    errors.AlreadyGraded,
    errors.InvitationError,
)


class ErrorBody(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField(help_text="for people, in the language of the request")
    fields = serializers.DictField(help_text="what is wrong with which field; of a conflict, both texts")  # type: ignore[assignment]


class Problem(serializers.Serializer):
    error = ErrorBody()


def problem(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the one shape of everything that goes wrong."""
    if isinstance(error, errors.LabelingError | StateError):
        return _refusal(error, context["request"])
    response = exception_handler(error, context)
    if response is None:
        return None
    detail = response.data
    fields = detail if isinstance(error, exceptions.ValidationError) else {}
    if isinstance(error, exceptions.ValidationError):
        response.status_code = 422
        fields = detail if isinstance(detail, Mapping) else {"body": detail}
    code = getattr(error, "default_code", None) or {404: "not_found", 403: "permission_denied"}[response.status_code]
    message = "Some of the fields cannot be used." if fields else str(detail.get("detail", detail))
    response.data = {"error": {"code": code, "message": message, "fields": fields}}
    return response


def _refusal(error: Exception, request: Request) -> Response:
    status = 422
    if isinstance(error, FORBIDDEN):
        status = 403
    elif isinstance(error, (*CONFLICTS, StateError)):
        status = 409
    message = (
        "Somebody else was faster: it is in another state by now." if isinstance(error, StateError) else str(error)
    )
    code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
    return Response({"error": {"code": code, "message": message, "fields": _both_texts(error, request)}}, status)


def _both_texts(error: Exception, request: Request) -> dict[str, Any]:
    """Return what stands and what was sent, so that nothing has to be typed again."""
    theirs: Any
    if isinstance(error, errors.StaleDraft | errors.StaleReviewDraft):
        theirs = {"content": error.draft.content, "revision": error.draft.revision}
    elif isinstance(error, errors.StaleInstructions):
        theirs = {"text": error.current.text, "number": error.current.number}
    elif isinstance(error, errors.NotCorrectable):
        last = error.case.corrections.order_by("-pk").first()
        theirs = {"state": error.case.state, "text": last.text if last else None, "correction": last and last.pk}
    elif isinstance(error, errors.AlreadyDecided):
        review = error.review
        theirs = review and {"verdict": review.verdict, "comment": review.comment, "messages": review.messages}
    elif isinstance(error, errors.HasFindings):
        return {"findings": [{"kind": each.kind, "message": each.message} for each in error.findings]}
    else:
        return {}
    return {"theirs": theirs, "yours": request.data}


@csrf_exempt
def unknown(_request: HttpRequest, rest: str) -> JsonResponse:
    """Answer for an address that the interface does not have, in the shape of all refusals."""
    message = f"There is no address /api/v1/{rest[:200]}. The addresses are in /api/v1/schema/."
    return JsonResponse({"error": {"code": "not_found", "message": message, "fields": {}}}, status=404)
