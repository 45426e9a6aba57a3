"""Files of finished conversations on their way to becoming examples, for admins."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import STOP_POLLING, render_page
from common.pagination import paginate
from common.states import StateError
from labeling.actions.errors import FileRefused
from labeling.queries import require_member
from labeling.states import Role
from training.actions.example_import import cancel_import, read_again, start_import, undo_import, upload_examples
from training.formats import FORMATS
from training.forms.example_import import ExampleImportChangeForm, ExampleUploadForm


@require_http_methods(["GET", "POST"])
@login_required
def import_list(request: HttpRequest, slug: str) -> HttpResponse:
    """The files so far, and a new one."""
    membership = require_member(request, slug, Role.ADMIN)
    form = ExampleUploadForm(request.POST, request.FILES) if request.method == "POST" else ExampleUploadForm()
    if form.is_valid():
        data = form.cleaned_data
        try:
            row = upload_examples(
                project=membership.project,
                name=data["file"].name or "",
                chunks=data["file"].chunks(),
                tags=data["tags"],
                asked_format=data["asked_format"],
                skips_near=data["skips_near"],
                by=membership.user,
            )
        except FileRefused as error:
            form.add_error("file", str(error))
        else:
            return redirect("training-example-import-show", slug, row.pk)
    rows = membership.project.example_imports.select_related("created_by").order_by("-pk")
    context = {"form": form, "page": paginate(request, rows)}
    return render_page(request, "training/example_import_list.html", context, status=422 if form.is_bound else 200)


@require_GET
@login_required
def import_show(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """What the file says, how far it is, what is to be decided. The piece with all of that polls while somebody is at work."""
    membership = require_member(request, slug, Role.ADMIN)
    row = get_object_or_404(membership.project.example_imports.select_related("created_by"), pk=pk)
    is_fragment = bool(request.htmx)  # type: ignore[attr-defined]
    names = {each.key: each.name for each in FORMATS}
    return render_page(
        request,
        "training/example_import_show.html",
        {"row": row, "formats": [names[key] for key in row.columns.get("formats", []) if key in names]},
        fragment="training/_example_import.html",
        status=STOP_POLLING if is_fragment and not row.is_at_work else 200,
    )


@require_POST
@login_required
def import_change(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Start, cancel or undo it, or have it read in another encoding."""
    membership = require_member(request, slug, Role.ADMIN)
    row = get_object_or_404(membership.project.example_imports, pk=pk)
    form = ExampleImportChangeForm(request.POST)
    if not form.is_valid():
        return HttpResponseBadRequest()
    try:
        match form.cleaned_data["change"]:
            case "start":
                start_import(example_import=row, by=membership.user)
            case "cancel":
                cancel_import(example_import=row, by=membership.user)
            case "undo":
                undo_import(example_import=row, by=membership.user)
            case _read:
                read_again(example_import=row, encoding=form.cleaned_data["encoding"], by=membership.user)
    except (StateError, FileRefused):
        messages.error(request, _("The import has moved on meanwhile. This is how it stands now."))
    return redirect("training-example-import-show", slug, pk)
