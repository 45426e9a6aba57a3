"""A dataset version in the formats of other programs, for admins."""

from django.contrib.auth.decorators import login_required
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseBase,
)
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from common.exports import download, send_file
from common.htmx import render_page
from labeling.models import User
from labeling.queries import require_member
from labeling.states import Role
from training.actions.export import request_export
from training.formats import FORMATS, find_format
from training.models import DatasetVersion
from training.queries.exporting import export_text, file_name, find_losses, find_made, read_shapes
from training.states import Split


@require_GET
@login_required
def export_list(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Every format with what it would lose of this version. The piece polls while a worker makes a file."""
    version, _by = _version(request, slug, number)
    split = asked_split(request)
    shapes = read_shapes(version, split=split)
    made = {row.format: row for row in version.exports.filter(split=split)}
    lines = [{"format": each, "losses": find_losses(shapes, each), "made": made.get(each.key)} for each in FORMATS]
    context = {
        "version": version,
        "lines": lines,
        "split": split,
        "splits": Split.choices,
        "is_at_work": any(row.is_at_work for row in made.values()),
    }
    return render_page(request, "training/export_list.html", context, fragment="training/_dataset_exports.html")


@require_http_methods(["GET", "POST"])
@login_required
def export_file(request: HttpRequest, slug: str, number: int) -> HttpResponseBase:
    """GET: the file in `format`; POST: have a worker make it, where it has to."""
    version, by = _version(request, slug, number)
    data = request.POST if request.method == "POST" else request.GET
    wanted, split = find_format(data.get("format", "")), asked_split(request)
    if wanted is None:
        return HttpResponseBadRequest()
    address = reverse("training-export-list", args=[slug, number]) + (f"?split={split}" if split else "")
    if request.method == "POST":
        if wanted.is_made_ahead:
            request_export(version=version, wanted=wanted, split=split, by=by)
        return redirect(address)
    name = file_name(version, wanted, split)
    if not wanted.is_made_ahead:
        return download(export_text(version, wanted, split=split), name=name)
    made = find_made(version, wanted, split)
    return send_file(made.path, name=name) if made else redirect(address)


def asked_split(request: HttpRequest) -> str:
    asked = (request.POST if request.method == "POST" else request.GET).get("split", "")
    return asked if asked in Split.values else ""


def _version(request: HttpRequest, slug: str, number: int) -> tuple[DatasetVersion, User]:
    membership = require_member(request, slug, Role.ADMIN)
    versions = DatasetVersion.objects.visible_to(membership).select_related("project")
    return get_object_or_404(versions, number=number), membership.user
