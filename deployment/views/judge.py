"""The judge: which model it is, and how far it agrees with people."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from common.htmx import render_page
from deployment.actions.judge import set_judge
from deployment.forms.engine import JudgeForm
from deployment.models import Judge
from deployment.queries.judge import LEAST_AGREEMENT, LEAST_COMPARED, judged_pairs, standing_of
from labeling.queries import require_member
from labeling.states import Role
from training.models import Evaluation


@require_http_methods(["GET", "POST"])
@login_required
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    project = membership.project
    judge = Judge.objects.filter(project=project).select_related("engine").first()
    form = JudgeForm(request.POST or None, project=project, judge=judge)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        set_judge(
            project=project,
            engine=data["engine"],
            served_name=data["served_name"],
            is_on=data["is_on"],
            by=membership.user,
        )
        messages.success(request, _("Kept. It holds from now on."))
        return redirect("deployment-judge-edit", slug)
    context = {
        "form": form,
        "judge": judge,
        "standing": standing_of(judge) if judge else None,
        "least_compared": LEAST_COMPARED,
        "least_agreement": LEAST_AGREEMENT,
    }
    return render_page(request, "deployment/judge_edit.html", context, status=422 if form.errors else 200)


@require_GET
@login_required
def result(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    """A piece of an evaluation's page: what the judge says of the pairs that people are asked about."""
    membership = require_member(request, slug, Role.REVIEWER)
    evaluation = get_object_or_404(Evaluation, project=membership.project, key=key)
    judge = Judge.objects.filter(project=membership.project).first()
    context = {
        "judge": judge,
        "standing": standing_of(judge) if judge else None,
        "pairs": judged_pairs(judge, evaluation) if judge else None,
    }
    return render(request, "deployment/_judged.html", context)
