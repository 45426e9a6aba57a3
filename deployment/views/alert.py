"""Alerts: what is wrong now, what was, and when somebody is to be told."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import render_page
from common.pagination import paginate
from deployment.actions import alert as alert_actions
from deployment.forms.alert import AlertRuleForm, SilenceForm
from deployment.models import Alert, AlertRule
from deployment.queries.alert import say_alert
from deployment.states import AlertMeasure
from labeling.queries import require_member
from labeling.states import Role


@require_GET
@login_required
def index(request: HttpRequest, slug: str) -> HttpResponse:
    """The open alerts, and those that are over."""
    membership = require_member(request, slug, Role.REVIEWER)
    rows = Alert.objects.visible_to(membership).select_related("taken_by", "project")
    page = paginate(request, rows.exclude(ended_at=None))
    context = {
        "open_alerts": [(alert, say_alert(alert)) for alert in rows.open()],
        "page": page,
        "past": [(alert, say_alert(alert)) for alert in page],
        "rules": [rule for rule in AlertRule.all_of(membership.project) if rule.is_on],
        "hours": SilenceForm.HOURS,
        "now": timezone.now(),
    }
    return render_page(request, "deployment/alert_list.html", context)


@require_http_methods(["GET", "POST"])
@login_required
def rules(request: HttpRequest, slug: str) -> HttpResponse:
    """When people are told."""
    membership = require_member(request, slug, Role.ADMIN)
    forms = [AlertRuleForm(request.POST or None, rule=rule) for rule in AlertRule.all_of(membership.project)]
    is_right = not [form for form in forms if not form.is_valid()]  # a list: each says what is wrong with it
    if request.method == "POST" and is_right:
        values = [{"measure": form.measure.value} | form.cleaned_data for form in forms]
        alert_actions.set_alert_rules(project=membership.project, values=values, by=membership.user)
        messages.success(request, _("Kept. It holds from now on."))
        return redirect("deployment-alert-list", slug)
    status = 422 if request.method == "POST" else 200
    return render_page(request, "deployment/alert_rules.html", {"forms": forms}, status=status)


@require_POST
@login_required
def silence(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    form = SilenceForm(request.POST)
    if form.is_valid():
        measure = AlertMeasure(form.cleaned_data["measure"])
        hours = form.cleaned_data["hours"]
        alert_actions.silence(project=membership.project, measure=measure, hours=hours, by=membership.user)
        said = _("Nobody is told for that time. Alerts are still listed here.") if hours else _("The silence is over.")
        messages.success(request, said)
    else:
        messages.error(request, _("Choose a time from the list."))
    return redirect("deployment-alert-list", slug)


@require_POST
@login_required
def take(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    alert = get_object_or_404(Alert.objects.visible_to(membership), pk=pk)
    if not alert_actions.take(alert=alert, by=membership.user):
        alert.refresh_from_db()
        messages.info(request, _("%(name)s looks after it.") % {"name": alert.taken_by})
    return redirect("deployment-alert-list", slug)
