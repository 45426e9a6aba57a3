from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from common.htmx import render_page
from labeling.actions.activity import record_activity
from labeling.actions.case import reopen_case
from labeling.actions.case_triage import assign_case, merge_cases, set_severity, unmerge_case
from labeling.actions.errors import LabelingError
from labeling.forms.case import AssignForm, MergeForm, SeverityForm
from labeling.models import Case
from labeling.queries import require_member
from labeling.states import Role
from labeling.views.case import case_page, find_case


@require_POST
@login_required
def case_severity(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    case = find_case(membership, pk)
    form = SeverityForm(request.POST)
    if not form.is_valid():
        return render_page(request, "labeling/case_show.html", case_page(membership, case), status=422)
    set_severity(case=case, severity=form.cleaned_data["severity"], by=membership.user)
    messages.success(request, _("Severity: %(severity)s.") % {"severity": case.get_severity_display()})
    return redirect("labeling-case-show", slug, pk)


@require_POST
@login_required
def case_assign(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    case = find_case(membership, pk)
    form = AssignForm(request.POST, project=membership.project)
    if not form.is_valid():
        return render_page(request, "labeling/case_show.html", case_page(membership, case), status=422)
    try:
        assign_case(case=case, assignee=form.person(), by=membership.user)
    except LabelingError as error:
        messages.error(request, str(error))
    return redirect("labeling-case-show", slug, pk)


@require_POST
@login_required
def case_reopen(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    case = find_case(membership, pk)
    try:
        reopen_case(case=case, by=membership.user)
    except LabelingError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Case %(case)s waits for a correction again.") % {"case": case})
    return redirect("labeling-case-show", slug, pk)


@require_POST
@login_required
def case_merge(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Merge this case into another and go there."""
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    source = find_case(membership, pk)
    form = MergeForm(request.POST)
    if not form.is_valid():
        return render_page(request, "labeling/case_show.html", case_page(membership, source), status=422)
    target = get_object_or_404(Case.objects.visible_to(membership), pk=form.cleaned_data["into"])
    try:
        merge_cases(source=source, target=target, by=membership.user)
    except LabelingError as error:
        messages.error(request, str(error))
        return redirect("labeling-case-show", slug, pk)
    messages.success(request, _("%(source)s is merged into %(target)s.") % {"source": source, "target": target})
    return redirect("labeling-case-show", slug, target.pk)


@require_POST
@login_required
def case_unmerge(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    case = find_case(membership, pk)
    try:
        unmerge_case(case=case, by=membership.user)
    except LabelingError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Case %(case)s is a case of its own again.") % {"case": case})
    return redirect("labeling-case-show", slug, pk)
