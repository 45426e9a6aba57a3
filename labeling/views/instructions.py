from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import render_page
from labeling.actions.errors import BadHints, MissingChangeNote, StaleInstructions, UnchangedInstructions
from labeling.actions.instructions import acknowledge, publish_instructions
from labeling.forms.instructions import InstructionsForm, languages
from labeling.models import InstructionVersion, Membership
from labeling.queries import current_instructions, needs_acknowledgement, require_member
from labeling.queries.instructions import diff_versions, examples_by_version, last_read
from labeling.states import Role


@require_GET
@login_required
def instructions_show(request: HttpRequest, slug: str) -> HttpResponse:
    """The version in force, or the one that ?version= names, beside the list of all."""
    membership = require_member(request, slug)
    versions = list(membership.project.instruction_versions.select_related("published_by").order_by("-number"))
    shown = versions[0] if versions else None
    if wanted := request.GET.get("version"):
        shown = _named(versions, wanted)
    unread = needs_acknowledgement(membership)
    context: dict[str, Any] = {
        "versions": versions,
        "shown": shown,
        "current": versions[0] if versions else None,
        "unread": unread,
        "goes_on": request.GET.get("next") == "write",
        "language": dict(languages()).get(shown.language, shown.language) if shown and shown.language else "",
    }
    if unread is not None and shown == unread:
        context |= _news(membership, versions)
    if membership.is_reviewer:
        counts = examples_by_version(membership.project)
        for version in versions:
            version.n_examples = counts.pop(version.number, 0)  # type: ignore[attr-defined]
        context["n_superseded"] = sum(version.n_examples for version in versions[1:])  # type: ignore[attr-defined]
    return render_page(request, "labeling/instructions_show.html", context)


def _named(versions: list[InstructionVersion], number: str) -> InstructionVersion:
    version = next((version for version in versions if str(version.number) == number), None)
    if version is None:
        raise Http404
    return version


def _news(membership: Membership, versions: list[InstructionVersion]) -> dict[str, Any]:
    """Return what changed in the version in force since the one that the person read last; nothing for a newcomer."""
    read = last_read(membership, versions[0])
    if read is None:
        return {}
    since = [version for version in versions if version.number > read.number]
    return {"last_read": read, "since": since, "diff": diff_versions(read, versions[0])}


@require_GET
@login_required
def instructions_diff(request: HttpRequest, slug: str) -> HttpResponse:
    """Compare two versions, `from` and `to`; without them the version in force with the one before."""
    membership = require_member(request, slug)
    versions = list(membership.project.instruction_versions.select_related("published_by").order_by("-number"))
    if not versions:
        raise Http404
    after = _named(versions, request.GET.get("to") or str(versions[0].number))
    before = _named(versions, request.GET.get("from") or str(max(1, after.number - 1)))
    context = {"versions": versions, "before": before, "after": after, "diff": diff_versions(before, after)}
    return render_page(request, "labeling/instructions_diff.html", context)


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
    """Write the next version, beginning with the current one."""
    membership = require_member(request, slug, Role.ADMIN)
    current = current_instructions(membership.project)
    form = InstructionsForm(request.POST or None, initial=InstructionsForm.initial_from(current))
    context: dict[str, object] = {"form": form, "current": current}
    if form.is_valid():
        try:
            version = publish_instructions(project=membership.project, by=membership.user, **form.cleaned_data)
        except StaleInstructions as error:
            data = request.POST.copy()
            data["based_on"] = str(error.current.number)
            form.data = data
            form.add_error(None, str(error))
            base = membership.project.instruction_versions.filter(number=error.based_on).first()
            context["newer"] = error.current
            context["diff"] = diff_versions(base, error.current) if base else None
        except UnchangedInstructions as error:
            form.add_error("text", str(error))
        except MissingChangeNote as error:
            form.add_error("change_note", str(error))
        except BadHints as error:
            form.add_error("max_words", str(error))
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
