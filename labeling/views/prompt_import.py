"""Files of prompts on their way into the queue, for admins."""

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
from labeling.actions.prompt_import import cancel_import, read_again, start_import, undo_import, upload_prompts
from labeling.forms.prompt_import import ImportChangeForm, UploadForm
from labeling.queries import require_member
from labeling.states import Role


@require_http_methods(["GET", "POST"])
@login_required
def import_list(request: HttpRequest, slug: str) -> HttpResponse:
    """The files so far, and a new one."""
    membership = require_member(request, slug, Role.ADMIN)
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    if form.is_valid():
        file = form.cleaned_data["file"]
        try:
            row = upload_prompts(
                project=membership.project,
                name=file.name or "",
                chunks=file.chunks(),
                tags=form.cleaned_data["tags"],
                by=membership.user,
            )
        except FileRefused as error:
            form.add_error("file", str(error))
        else:
            return redirect("labeling-prompt-import-show", slug, row.pk)
    rows = membership.project.prompt_imports.select_related("created_by").order_by("-pk")
    context = {"form": form, "page": paginate(request, rows)}
    return render_page(request, "labeling/prompt_import_list.html", context, status=422 if form.is_bound else 200)


@require_GET
@login_required
def import_show(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """What the file says, how far it is, what is to be decided. The piece with all of that polls while somebody is at work."""
    membership = require_member(request, slug, Role.ADMIN)
    row = get_object_or_404(membership.project.prompt_imports.select_related("created_by"), pk=pk)
    is_fragment = bool(request.htmx)  # type: ignore[attr-defined]
    return render_page(
        request,
        "labeling/prompt_import_show.html",
        {"row": row},
        fragment="labeling/_prompt_import.html",
        status=STOP_POLLING if is_fragment and not row.is_at_work else 200,
    )


@require_POST
@login_required
def import_change(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Start, cancel or undo it, or have it read in another encoding."""
    membership = require_member(request, slug, Role.ADMIN)
    row = get_object_or_404(membership.project.prompt_imports, pk=pk)
    form = ImportChangeForm(request.POST)
    if not form.is_valid():
        return HttpResponseBadRequest()
    try:
        match form.cleaned_data["change"]:
            case "start":
                start_import(prompt_import=row, by=membership.user)
            case "cancel":
                cancel_import(prompt_import=row, by=membership.user)
            case "undo":
                undo_import(prompt_import=row, by=membership.user)
            case _read:
                read_again(prompt_import=row, encoding=form.cleaned_data["encoding"], by=membership.user)
    except (StateError, FileRefused):
        messages.error(request, _("The import has moved on meanwhile. This is how it stands now."))
    return redirect("labeling-prompt-import-show", slug, pk)
