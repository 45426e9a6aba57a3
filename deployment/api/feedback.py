"""/v1/feedback, an extension: rate, report or correct an answer by its id, from any product.

POST /v1/feedback  {"completion_id": "chatcmpl-...", "rating": "down", "reason": "wrong",
                    "comment": "...", "correction": "the right answer"}
GET  /v1/feedback/chatcmpl-...
"""

from typing import Any

from django.http import HttpRequest, JsonResponse

from common.wire import WireError, read_json
from common.wire_params import Params
from deployment.actions.chat import rate_completion, report_completion
from deployment.actions.errors import NotAnswered
from deployment.api.answers import completion_key
from deployment.models import Completion
from labeling.actions.errors import LabelingError
from labeling.api.key import require_key
from labeling.models import ApiKey
from labeling.queries.case import reasons_known
from labeling.states import Reason, Scope, Source

RATINGS: dict[Any, int] = {"up": 1, "down": -1, 1: 1, -1: -1}
MAX_TEXT = 100_000


def create(request: HttpRequest) -> JsonResponse:
    """A thumbs-up is kept; a thumbs-down, and every correction, is a report: it opens a case or joins one."""
    key = require_key(request, Scope.FEEDBACK)
    params = Params(read_json(request))
    completion = _find(key, params.text("completion_id", most=60), params.whole("index", 0, least=0, most=1000) or 0)
    correction = params.text("correction", "", most=MAX_TEXT)
    rating = _rating(params, has_correction=bool(correction.strip()))
    usual = Reason.OTHER if rating < 0 and not correction else Reason.WRONG
    reason = params.choice("reason", usual, sorted(reasons_known(key.project)))
    comment = params.text("comment", "", most=MAX_TEXT)
    try:
        if rating > 0:
            rate_completion(completion=completion, rating=rating)
        else:
            report_completion(
                completion=completion,
                reason=reason,
                by=key.user,
                comment=comment,
                source=Source.API,
                proposal=correction,
            )
    except (NotAnswered, LabelingError) as error:
        raise WireError(str(error), param="completion_id") from error
    return JsonResponse(_show(completion))


def show(request: HttpRequest, completion_id: str) -> JsonResponse:
    """What was said of an answer and what has become of its case, up to "fixed" and the model that fixed it."""
    key = require_key(request, Scope.FEEDBACK)
    return JsonResponse(_show(_find(key, completion_id, 0)))


def _find(key: ApiKey, name: str, index: int) -> Completion:
    rows = Completion.objects.filter(project=key.project).select_related("case", "project")
    completion = rows.filter(key=completion_key(name, index)).first()
    if completion is None:
        raise WireError(f"No such completion: {name[:60]}", status=404, param="completion_id")
    return completion


def _rating(params: Params, *, has_correction: bool) -> int:
    value = params.raw("rating")
    if value is None and has_correction:
        return -1
    if isinstance(value, bool | float | list | dict) or value not in RATINGS:
        raise params.refuse("rating", 'expected "up" or "down"')
    if RATINGS[value] > 0 and has_correction:
        raise params.refuse("correction", "a right answer needs none: leave it out or rate the answer down")
    return RATINGS[value]


def _show(completion: Completion) -> dict[str, Any]:
    case = completion.case and completion.case.standing
    return {
        "object": "feedback",
        "completion_id": completion.key,
        "model": completion.model_name,
        "rating": {1: "up", -1: "down"}.get(completion.rating),
        "case": case and {"number": case.pk, "state": case.state, "fixed_in": case.fixed_in or None},
    }
