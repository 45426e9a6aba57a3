"""One thing done to many rows of a list, and taken back."""

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from common.htmx import STOP_POLLING, render_page
from common.states import StateError
from labeling.actions.bulk import run_bulk, stop_bulk, undo_bulk
from labeling.actions.bulk_deeds import DEEDS, ROLES
from labeling.actions.errors import NotAllowed
from labeling.forms.search import SearchForm
from labeling.models import BulkAction, Membership, User
from labeling.queries import current_instructions, require_member
from labeling.queries.search import narrow, rows_of
from labeling.states import BulkState, Role
from labeling.views.case_list import matching_cases

LISTS = {"tasks": "labeling-task-list", "cases": "labeling-case-list", "examples": "labeling-example-list"}


@require_POST
@login_required
def bulk_run(request: HttpRequest, slug: str, kind: str) -> HttpResponse:
    """Do it to the rows that were ticked, or with `all` to those that fit the filters in `query`."""
    if kind not in ROLES:
        raise Http404
    membership = require_member(request, slug, ROLES[kind])
    what = request.POST.get("what", "")
    value = request.POST.get(f"value_{what}", "")
    keys = list(_chosen(request, membership, kind).values_list("pk", flat=True))
    if not keys:
        messages.error(request, _("Tick the rows first."))
        return redirect(LISTS[kind], slug)
    try:
        bulk = run_bulk(project=membership.project, kind=kind, what=what, value=value, keys=keys, by=membership.user)
    except NotAllowed as error:
        messages.error(request, str(error))
        return redirect(LISTS[kind], slug)
    return redirect("labeling-bulk-show", slug, bulk.pk)


def _chosen(request: HttpRequest, membership: Membership, kind: str) -> Any:
    rows = rows_of(kind, membership).order_by("pk")
    if not request.POST.get("all"):
        keys = [int(key) for key in request.POST.getlist("pk") if key.isascii() and key.isdecimal() and len(key) < 19]
        return rows.filter(pk__in=keys)
    query = QueryDict(request.POST.get("query", ""), mutable=True)
    if kind == "cases":
        return matching_cases(membership, query).order_by("pk")
    if kind == "examples":
        rows = rows.filter(retracted_at__isnull=True)
    if kind == "examples" and query.get("version") == "superseded":
        current = current_instructions(membership.project)
        rows = rows.filter(instruction_version__number__lt=current.number if current else 0)
        del query["version"]
    form = SearchForm(query, project=membership.project, kind=kind)
    return narrow(rows, kind, form.criteria()) if form.is_valid() else rows.none()


@require_GET
@login_required
def bulk_show(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """What was done to how many rows, what could not be done and why, and the way back. Polls while it is at work."""
    bulk = _find(request, slug, pk)
    deed = DEEDS[bulk.kind][bulk.what]
    is_over = bulk.state in (BulkState.DONE, BulkState.STOPPED)
    context = {
        "bulk": bulk,
        "label": deed.label,
        "can_undo": bool(deed.undo) and bool(bulk.n_done) and is_over,
        "is_final": deed.undo is None,
        "list_url": LISTS[bulk.kind],
    }
    is_fragment = bool(request.htmx)  # type: ignore[attr-defined]
    status = STOP_POLLING if is_fragment and not bulk.is_at_work else 200
    return render_page(request, "labeling/bulk_show.html", context, fragment="labeling/_bulk.html", status=status)


@require_POST
@login_required
def bulk_stop(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Leave the rest of the rows as they are."""
    bulk = _find(request, slug, pk)
    try:
        stop_bulk(bulk=bulk, by=cast(User, request.user))
    except StateError:
        messages.error(request, _("It was over already."))
    return redirect("labeling-bulk-show", slug, pk)


@require_POST
@login_required
def bulk_undo(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    bulk = _find(request, slug, pk)
    try:
        undo_bulk(bulk=bulk, by=cast(User, request.user))
    except NotAllowed as error:
        messages.error(request, str(error))
    return redirect("labeling-bulk-show", slug, pk)


def _find(request: HttpRequest, slug: str, pk: int) -> BulkAction:
    """Return a bulk action whose rows the person may see."""
    membership = require_member(request, slug, Role.REVIEWER)
    rows = BulkAction.objects.filter(project=membership.project)
    bulk = get_object_or_404(rows.select_related("by", "undone_by"), pk=pk)
    require_member(request, slug, ROLES[bulk.kind])
    return bulk
