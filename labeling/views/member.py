"""One member of a project, for its admins: figures over time, role, rate, languages, access, history."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from common.charts import bar_chart
from common.htmx import render_page
from common.models import Transition
from labeling.actions.errors import LabelingError
from labeling.actions.pay import set_languages, set_rate
from labeling.actions.people import change_role, remove_member
from labeling.forms.member import LanguagesForm, RateForm
from labeling.forms.people import RoleForm
from labeling.models import Membership
from labeling.queries import require_member
from labeling.queries.gold import falling_members
from labeling.queries.people import people, today
from labeling.states import Role

N_WEEKS = 26
N_TABLE = 8
N_HISTORY = 30


def _find(membership: Membership, pk: int) -> Membership:
    return get_object_or_404(membership.project.memberships.select_related("user", "project"), pk=pk)


def _back(membership: Membership, member: Membership) -> HttpResponse:
    """Return to the member's page, or to the list after somebody took their own admin's role away."""
    if member.user_id == membership.user_id and not member.is_admin:
        return redirect("labeling-project-home", slug=membership.project.slug)
    return redirect("labeling-member-show", membership.project.slug, member.pk)


@require_GET
@login_required
def member_show(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    return _page(request, membership, _find(membership, pk))


def _page(request: HttpRequest, membership: Membership, member: Membership, **forms: Any) -> HttpResponse:
    project = membership.project
    (person,) = people(project, [member], n_weeks=N_WEEKS)
    rate_start = {
        "valid_from": today(),
        **({"amount": f"{person.rate.amount.normalize():f}", "unit": person.rate.unit} if person.rate else {}),
    }
    context = {
        "member": member,
        "person": person,
        "weeks": person.weeks[::-1][:N_TABLE],
        "charts": [
            (_("Accepted per week"), bar_chart([(week.short_name, week.accepted) for week in person.weeks])),
            (_("Active hours per week"), bar_chart([(week.short_name, week.active_hours) for week in person.weeks])),
        ],
        "roles": Role.choices,
        "falling": falling_members(project),
        "rates": list(member.rates.select_related("set_by").order_by("-valid_from")),
        "history": Transition.objects.of(member).order_by("-pk")[:N_HISTORY],
        "rate_form": RateForm(initial=rate_start),
        "languages_form": LanguagesForm(membership=member),
        **forms,
    }
    return render_page(request, "labeling/people_member.html", context, status=422 if forms else 200)


@require_POST
@login_required
def member_change(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Give a member another role."""
    membership = require_member(request, slug, Role.ADMIN)
    member = _find(membership, pk)
    form = RoleForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("There is no such role."))
        return _back(membership, member)
    try:
        change_role(membership=member, role=form.cleaned_data["role"], by=membership.user)
    except LabelingError as error:
        messages.error(request, str(error))
    else:
        names = {"name": member.user, "role": member.get_role_display()}
        messages.success(request, _("%(name)s is now: %(role)s.") % names)
    return _back(membership, member)


@require_POST
@login_required
def rate_set(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    member = _find(membership, pk)
    form = RateForm(request.POST)
    if form.is_valid():
        try:
            set_rate(membership=member, by=membership.user, **form.cleaned_data)
        except LabelingError as error:
            form.add_error("valid_from", str(error))
        else:
            messages.success(request, _("The rate is set."))
            return _back(membership, member)
    return _page(request, membership, member, rate_form=form)


@require_POST
@login_required
def languages_set(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    member = _find(membership, pk)
    form = LanguagesForm(request.POST, membership=member)
    if not form.is_valid():
        return _page(request, membership, member, languages_form=form)
    set_languages(membership=member, languages=form.cleaned_data["languages"], by=membership.user)
    messages.success(request, _("The languages are saved."))
    return _back(membership, member)


@require_POST
@login_required
def member_remove(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Take a person out of the project; their work stays."""
    membership = require_member(request, slug, Role.ADMIN)
    member = _find(membership, pk)
    try:
        remove_member(membership=member, by=membership.user, reason=request.POST.get("reason", "")[:500])
    except LabelingError as error:
        messages.error(request, str(error))
        return _back(membership, member)
    messages.success(request, _("%(name)s is removed. The work stays.") % {"name": member.user})
    if member.user_id == membership.user_id:
        return redirect("labeling-project-list")
    return redirect("labeling-people-list", slug=slug)
