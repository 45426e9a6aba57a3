from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from common.htmx import render_page
from labeling.actions.errors import LabelingError
from labeling.actions.retraction import retract_example
from labeling.forms.example import RetractForm
from labeling.forms.search import SearchForm
from labeling.models import Example
from labeling.queries import current_instructions, require_member
from labeling.queries.search import key_page, narrow
from labeling.states import ExampleKind, Role
from labeling.views.search import key_of


@require_GET
@login_required
def example_list(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    own = Example.objects.filter(project=membership.project)
    trained = Q(retracted_at__isnull=True)
    counts = own.aggregate(
        demonstration=Count("pk", filter=trained & Q(kind=ExampleKind.DEMONSTRATION)),
        correction=Count("pk", filter=trained & Q(kind=ExampleKind.CORRECTION)),
        retracted=Count("pk", filter=~trained),
    )
    kind = request.GET.get("kind", "")
    kind = kind if kind in counts else ""
    rows = own.exclude(trained) if kind == "retracted" else own.filter(trained)
    if kind in ExampleKind.values:
        rows = rows.filter(kind=kind)
    version = request.GET.get("version", "")
    current = current_instructions(membership.project)
    if version == "superseded":
        rows = rows.filter(instruction_version__number__lt=current.number if current else 0)
    elif version.isdecimal():
        rows = rows.filter(instruction_version__number=int(version))
    form = SearchForm(request.GET, project=membership.project, kind="examples", without=("state", "version"))
    rows = narrow(rows, "examples", form.criteria())
    rows = rows.select_related(
        "author", "accepted_by", "instruction_version", "correction", "example_import"
    ).prefetch_related("tags")
    tabs = [
        {"name": "", "label": _("All"), "n": counts["demonstration"] + counts["correction"]},
        {"name": "demonstration", "label": _("Demonstrations"), "n": counts["demonstration"]},
        {"name": "correction", "label": _("Corrections"), "n": counts["correction"]},
        {"name": "retracted", "label": _("Retracted"), "n": counts["retracted"]},
    ]
    context = {
        "page": key_page(rows, before=key_of(request, "before"), after=key_of(request, "after")),
        "form": form,
        "query": form.query(),
        "bulk_query": f"state={kind}&version={version}{form.query()}",
        "is_filtered": form.is_filtered(),
        "tabs": tabs,
        "kind": kind,
        "n_all": tabs[0]["n"],
        "version": version,
        "current": current,
    }
    return render_page(request, "labeling/example_list.html", context, fragment="labeling/_example_rows.html")


@require_http_methods(["GET", "POST"])
@login_required
def example_retract(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Ask for the reason and say what will be lost, then take the example out."""
    membership = require_member(request, slug, Role.ADMIN)
    rows = Example.objects.filter(project=membership.project).select_related("correction", "author", "example_import")
    example = get_object_or_404(rows, pk=pk)
    form = RetractForm(request.POST if request.method == "POST" else None)
    if request.method == "GET" or not form.is_valid():
        context = {"example": example, "form": form}
        status = 422 if form.is_bound else 200
        return render_page(request, "labeling/example_retract.html", context, status=status)
    try:
        done = retract_example(example=example, by=membership.user, reason=form.cleaned_data["reason"])
    except LabelingError as error:
        messages.error(request, str(error))
        return redirect("labeling-example-list", slug)
    messages.success(request, _("The example is taken out of all later dataset versions."))
    return redirect("deployment-retraction-show", slug, done.pk)
