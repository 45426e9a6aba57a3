"""The piece of an answer's page that says which rows of the training are nearest to it."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from common.htmx import STOP_POLLING
from deployment.actions.explanation import ask_why, version_of
from deployment.models import Completion, Explanation
from deployment.queries.explanation import near_rows
from deployment.states import ExplanationState
from labeling.queries import require_member
from labeling.states import Role


@require_http_methods(["GET", "POST"])
@login_required
def why(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    """POST asks for the rows; GET is polled until they are there."""
    membership = require_member(request, slug, Role.REVIEWER)
    rows = Completion.objects.visible_to(membership).select_related("tuned_model__job__dataset_version")
    completion = get_object_or_404(rows, key=key)
    if request.method == "POST":
        ask_why(completion=completion)
        if not request.htmx:  # type: ignore[attr-defined]
            return redirect("deployment-completion-show", slug, key)
    found = Explanation.objects.select_related("version").filter(completion=completion).first()
    is_over = found is not None and found.state != ExplanationState.WAITING
    context = {
        "answer": completion,
        "version": version_of(completion),
        "explanation": found,
        "near": near_rows(found) if found and is_over else [],
    }
    status = STOP_POLLING if is_over and request.method == "GET" else 200
    return render(request, "deployment/_why.html", context, status=status)
