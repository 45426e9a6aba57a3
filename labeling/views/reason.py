from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from common.htmx import render_page
from labeling.actions.errors import BadReason
from labeling.actions.reason import add_reason, change_reason, write_standard_reasons
from labeling.forms.case import ReasonChangeForm, ReasonForm
from labeling.models import CaseReason, Project
from labeling.queries import require_member
from labeling.queries.case import case_reasons
from labeling.states import Role


@require_http_methods(["GET", "POST"])
@login_required
def reason_list(request: HttpRequest, slug: str) -> HttpResponse:
    """The reasons for which an answer can be reported; POST adds one."""
    membership = require_member(request, slug, Role.ADMIN)
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        try:
            reason = add_reason(project=membership.project, by=membership.user, **form.cleaned_data)
        except BadReason as error:
            form.add_error("label", str(error))
        else:
            messages.success(request, _("“%(reason)s” can be chosen from now on.") % {"reason": reason})
            return redirect("labeling-reason-list", slug)
    status = 422 if request.method == "POST" else 200
    return _page(request, membership.project, form, status=status)


@require_POST
@login_required
def reason_change(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    """Rename, rate or switch a reason off."""
    membership = require_member(request, slug, Role.ADMIN)
    if key not in {row.key for row in case_reasons(membership.project)}:
        raise Http404
    write_standard_reasons(project=membership.project)
    reason = CaseReason.objects.get(project=membership.project, key=key)
    form = ReasonChangeForm(request.POST, auto_id=f"id_{key}_%s")
    if form.is_valid():
        try:
            change_reason(reason=reason, by=membership.user, **form.cleaned_data)
        except BadReason as error:
            form.add_error("label", str(error))
        else:
            messages.success(request, _("“%(reason)s” is saved.") % {"reason": reason})
            return redirect("labeling-reason-list", slug)
    return _page(request, membership.project, None, bad={key: form}, status=422)


def _page(
    request: HttpRequest,
    project: Project,
    form: ReasonForm | None,
    *,
    bad: dict[str, ReasonChangeForm] | None = None,
    status: int = 200,
) -> HttpResponse:
    rows = [
        (
            row,
            (bad or {}).get(row.key)
            or ReasonChangeForm(
                initial={"label": str(row), "severity": row.severity, "is_active": row.is_active},
                auto_id=f"id_{row.key}_%s",
            ),
        )
        for row in case_reasons(project)
    ]
    context = {"rows": rows, "form": form or ReasonForm()}
    return render_page(request, "labeling/reason_list.html", context, status=status)
