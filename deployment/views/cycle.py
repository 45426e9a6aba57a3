from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.charts import BarChart, bar_chart
from common.htmx import STOP_POLLING, render_page
from common.pagination import paginate
from deployment.actions.cycle import cancel_cycle, start_cycle
from deployment.actions.errors import CycleAtWork, CycleEnded
from deployment.actions.policy import set_policy
from deployment.forms.cycle import CyclePolicyForm
from deployment.models import Cycle, CyclePolicy
from deployment.queries import cycle_steps, cycles_at_work
from deployment.queries.cycle_curve import CycleFigures, cycle_figures
from deployment.queries.policy import new_examples, policy_of, spent
from labeling.queries import require_member
from labeling.states import Role


@require_GET
@login_required
def index(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    rows = Cycle.objects.visible_to(membership).select_related("dataset_version", "job", "started_by")
    figures = cycle_figures(membership.project)
    context = {
        "page": paginate(request, rows),
        "figures": figures,
        "charts": _charts(figures) if len(figures) > 1 else [],
        "at_work": cycles_at_work(membership.project).first(),
        "automatic": policy_of(membership.project),
        "n_new": new_examples(membership.project).count(),
    }
    return render_page(request, "deployment/cycle_list.html", context)


@require_http_methods(["GET", "POST"])
@login_required
def policy(request: HttpRequest, slug: str) -> HttpResponse:
    """When cycles start by themselves, what they learn and how far they go."""
    membership = require_member(request, slug, Role.ADMIN)
    row = CyclePolicy.objects.filter(project=membership.project).first()
    form = CyclePolicyForm(request.POST or None, instance=row, project=membership.project)
    if request.method == "POST" and form.is_valid():
        set_policy(project=membership.project, by=membership.user, **form.cleaned_data)
        messages.success(request, _("Kept. It holds from now on."))
        return redirect("deployment-cycle-list", slug)
    status = 422 if form.errors else 200
    context = {"form": form, "spent": spent(membership.project, now=timezone.now())}
    page, piece = "deployment/cycle_policy.html", "deployment/_cycle_policy_form.html"
    return render_page(request, page, context, fragment=piece, status=status)


@require_GET
@login_required
def show(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """The story of one cycle; its piece is polled while it is at work, and tells htmx when to stop."""
    membership = require_member(request, slug, Role.ADMIN)
    rows = Cycle.objects.visible_to(membership).select_related(
        "project", "dataset_version", "job__tuned_model", "evaluation__baseline", "change", "started_by"
    )
    cycle = get_object_or_404(rows, number=number)
    is_poll = bool(request.htmx) and cycle.has_ended  # type: ignore[attr-defined]
    context = {"cycle": cycle, "steps": cycle_steps(cycle)}
    status = STOP_POLLING if is_poll else 200
    return render_page(request, "deployment/cycle_show.html", context, fragment="deployment/_cycle.html", status=status)


@require_POST
@login_required
def start(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    try:
        cycle = start_cycle(project=membership.project, by=membership.user)
    except CycleAtWork as error:
        messages.info(request, str(error))
        cycle = error.cycle
    return redirect("deployment-cycle-show", slug, cycle.number)


@require_POST
@login_required
def cancel(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    cycle = get_object_or_404(Cycle.objects.visible_to(membership), number=number)
    try:
        cancel_cycle(cycle=cycle, by=membership.user)
    except CycleEnded as error:
        messages.info(request, str(error))
    else:
        messages.success(request, _("The cycle is stopped. No example is lost."))
    return redirect("deployment-cycle-show", slug, number)


def _charts(figures: list[CycleFigures]) -> list[dict[str, object]]:
    """Return titles and bars, a bar for each cycle. A drift below zero is none."""
    measured: list[tuple[str, list[float | None]]] = [
        (_("Cases right, percent"), [_percent(each.efficacy) for each in figures]),
        (_("Probes right, percent"), [_percent(each.generalisation) for each in figures]),
        (
            _("Drift since the base model, percent"),
            [None if each.drift is None else max(0.0, 100 * each.drift) for each in figures],
        ),
        (_("Minutes"), [None if each.total_s is None else each.total_s / 60 for each in figures]),
        (_("Price of training"), [each.price for each in figures]),
    ]
    names = [str(each.number) for each in figures]
    charts: list[tuple[str, BarChart | None]] = [
        (title, bar_chart([(name, value or 0) for name, value in zip(names, values, strict=True)], is_whole=False))
        for title, values in measured
    ]
    bad = bar_chart(
        [(name, 100 * each.bad.value if each.bad else 0) for name, each in zip(names, figures, strict=True)],
        is_whole=False,
        intervals=[(100 * each.bad.low, 100 * each.bad.high) if each.bad else None for each in figures],
    )
    charts.insert(3, (_("Percent of the conversations with a bad answer, and the interval"), bad))
    return [{"title": title, "chart": chart} for title, chart in charts if chart is not None]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
