"""The page on which a project chooses its detectors and sees how often they are right."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from common.htmx import render_page
from deployment.actions.detection import change_detectors
from deployment.forms.detector import DetectorForm
from deployment.models import DetectorSettings
from deployment.queries.detection import precisions
from deployment.states import SAMPLERS
from labeling.queries import require_member
from labeling.states import Role


@require_http_methods(["GET", "POST"])
@login_required
def detector_edit(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    settings = DetectorSettings.of(membership.project)
    form = DetectorForm(request.POST or None, instance=settings)
    if request.method == "POST" and form.is_valid():
        change_detectors(project=membership.project, by=membership.user, **form.chosen())
        messages.success(request, _("The detectors are changed. They look at the answers to come."))
        return redirect("deployment-detector-edit", slug)
    found = precisions(membership.project)
    rows = [(each, form[f"on_{each.detector.value}"]) for each in found if each.detector not in SAMPLERS]
    context = {"form": form, "rows": rows, "samples": [each for each in found if each.detector in SAMPLERS]}
    return render_page(request, "deployment/detector_edit.html", context, status=422 if form.errors else 200)
