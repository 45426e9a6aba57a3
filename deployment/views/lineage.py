"""Where a text went: the dataset versions, models and deployments that hold it. A page, and a piece of other pages."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from common.htmx import render_page
from deployment.queries.lineage import deployments_with
from labeling.models import Case, Example, Membership, Submission
from labeling.queries import require_member
from labeling.states import Role
from training.queries.lineage import texts_of_examples, uses_of


@require_GET
@login_required
def show(request: HttpRequest, slug: str) -> HttpResponse:
    """What `?example=`, `?submission=` or `?case=` became part of."""
    membership = require_member(request, slug, Role.REVIEWER)
    kind, pk = _subject(request)
    examples = _examples(membership, kind, pk)
    uses = uses_of(membership.project, texts_of_examples(examples))
    context = {
        "kind": kind,
        "pk": pk,
        "examples": list(examples.select_related("retraction").order_by("-pk")),
        "uses": uses,
        "deployments": deployments_with(uses.models),
    }
    return render_page(request, "deployment/lineage_show.html", context, fragment="deployment/_lineage.html")


def _subject(request: HttpRequest) -> tuple[str, int]:
    for kind in ("example", "submission", "case"):
        value = request.GET.get(kind, "")
        if value.isascii() and value.isdecimal() and len(value) < 19:
            return kind, int(value)
    return "", 0


def _examples(membership: Membership, kind: str, pk: int) -> "QuerySet[Example]":
    """Return the examples that were made of the subject; Http404 where the person may not see it."""
    subjects: QuerySet[Any]
    own = Example.objects.filter(project_id=membership.project_id)
    if kind == "submission":
        subjects = Submission.objects.visible_to(membership).filter(pk=pk)
        found = own.filter(submission=pk)
    elif kind == "case":
        subjects = Case.objects.visible_to(membership).filter(pk=pk)
        found = own.filter(correction__case=pk)
    elif kind == "example":
        subjects = found = own.filter(pk=pk)
    else:
        return own.none()
    if not subjects.exists():
        raise Http404
    return found
