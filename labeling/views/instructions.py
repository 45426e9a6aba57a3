from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import render_page
from labeling.actions.errors import MissingChangeNote, StaleInstructions, UnchangedInstructions
from labeling.actions.instructions import acknowledge, publish_instructions
from labeling.forms.instructions import InstructionsForm
from labeling.queries import current_instructions, needs_acknowledgement, require_member
from labeling.states import Role


@require_GET
@login_required
def instructions_show(request: HttpRequest, slug: str) -> HttpResponse:
    """The version in force, or the one that ?version= names, beside the list of all."""
    membership = require_member(request, slug)
    versions = list(membership.project.instruction_versions.select_related("published_by").order_by("-number"))
    shown = versions[0] if versions else None
    if wanted := request.GET.get("version"):
        shown = next((version for version in versions if str(version.number) == wanted), None)
        if shown is None:
            raise Http404
    context = {
        "versions": versions,
        "shown": shown,
        "current": versions[0] if versions else None,
        "unread": needs_acknowledgement(membership),
        "goes_on": request.GET.get("next") == "write",
    }
    return render_page(request, "labeling/instructions_show.html", context)


@require_POST
@login_required
def instructions_acknowledge(request: HttpRequest, slug: str) -> HttpResponse:
    """The person has read the version that the form names, and goes on to write if that is where they came from."""
    membership = require_member(request, slug)
    number = request.POST.get("version", "")
    version = get_object_or_404(membership.project.instruction_versions, number=number if number.isdecimal() else 0)
    acknowledge(version=version, user=membership.user)
    goes_on = request.POST.get("next") == "write"
    return redirect("labeling-task-next" if goes_on else "labeling-instructions-show", slug=slug)


@require_http_methods(["GET", "POST"])
@login_required
def instructions_publish(request: HttpRequest, slug: str) -> HttpResponse:
    """Write the next version, beginning with the text of the current one."""
    membership = require_member(request, slug, Role.ADMIN)
    current = current_instructions(membership.project)
    initial = {"text": current.text if current else "", "based_on": current.number if current else 0}
    form = InstructionsForm(request.POST or None, initial=initial)
    context: dict[str, object] = {"form": form, "current": current}
    if form.is_valid():
        try:
            version = publish_instructions(project=membership.project, by=membership.user, **form.cleaned_data)
        except StaleInstructions as error:
            data = request.POST.copy()
            data["based_on"] = str(error.current.number)
            form.data = data
            form.add_error(None, str(error))
            context["newer"] = error.current
        except UnchangedInstructions as error:
            form.add_error("text", str(error))
        except MissingChangeNote as error:
            form.add_error("change_note", str(error))
        else:
            messages.success(request, _("Version %(number)d is in force.") % {"number": version.number})
            return redirect("labeling-instructions-show", slug=slug)
    status = 422 if request.method == "POST" else 200
    return render_page(
        request,
        "labeling/instructions_publish.html",
        context,
        fragment="labeling/_instructions_form.html",
        status=status,
    )
