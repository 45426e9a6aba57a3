"""The page on which a project sets what a candidate must keep to."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from common.htmx import render_page
from labeling.queries import require_member
from labeling.states import Role
from training.actions.gate import set_gate_limits
from training.forms.gate import GateForm
from training.queries.gate import gate_limits


@require_http_methods(["GET", "POST"])
@login_required
def gate_edit(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    form = GateForm(request.POST or None, limits=gate_limits(membership.project))
    if request.method == "POST" and form.is_valid():
        set_gate_limits(project=membership.project, limits=form.limits(), by=membership.user)
        messages.success(request, _("The gate is changed. It judges the next evaluation."))
        return redirect("training-gate-edit", slug)
    status = 422 if form.errors else 200
    return render_page(
        request, "training/gate_edit.html", {"form": form}, fragment="training/_gate_form.html", status=status
    )
