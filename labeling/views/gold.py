"""Gold tasks and the rules of the qualification, for admins."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import render_page
from labeling.actions.errors import LabelingError
from labeling.actions.gold import mark_gold, unmark_gold
from labeling.actions.grading import set_qualification_rules
from labeling.forms.gold import GoldForm, QualificationRulesForm
from labeling.models import GoldTask, Membership, Project
from labeling.queries import require_member
from labeling.queries.gold import gold_table
from labeling.states import Role, SubmissionState


def _page(
    request: HttpRequest, membership: Membership, form: QualificationRulesForm, status: int = 200
) -> HttpResponse:
    context = {"form": form, "gold_tasks": gold_table(membership.project)}
    return render_page(request, "labeling/gold_list.html", context, status=status)


@require_GET
@login_required
def gold_list(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    return _page(request, membership, QualificationRulesForm(instance=membership.project))


@require_POST
@login_required
def gold_rules(request: HttpRequest, slug: str) -> HttpResponse:
    """Save the rules of the qualification."""
    membership = require_member(request, slug, Role.ADMIN)
    form = QualificationRulesForm(request.POST, instance=Project.objects.get(pk=membership.project_id))
    if form.is_valid():
        try:
            set_qualification_rules(project=membership.project, by=membership.user, **form.cleaned_data)
        except LabelingError as error:
            form.add_error("n_qualification", str(error))
        else:
            messages.success(request, _("The rules are saved."))
            return redirect("labeling-gold-list", slug=slug)
    return _page(request, membership, form, status=422)


@require_http_methods(["GET", "POST"])
@login_required
def gold_edit(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Mark a prompt as a gold task, or change its reference and checks. An accepted answer to it is proposed."""
    membership = require_member(request, slug, Role.ADMIN)
    task = get_object_or_404(membership.project.tasks.filter(is_gold_copy=False), pk=pk)
    gold = GoldTask.objects.filter(task=task).first()
    if gold:
        initial = {"reference": gold.reference, "checks": gold.checks}
    else:
        accepted = task.submissions.filter(state=SubmissionState.ACCEPTED).select_related("example").first()
        example = getattr(accepted, "example", None)
        initial = {"reference": example.messages[-1]["content"] if example else "", "checks": []}
    form = GoldForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_valid():
        try:
            mark_gold(task=task, by=membership.user, **form.cleaned_data)
        except LabelingError as error:
            form.blame(error)
        else:
            messages.success(request, _("It is a gold task. Everybody who gets it has a copy of their own."))
            return redirect("labeling-gold-list", slug=slug)
    status = 422 if request.method == "POST" else 200
    context = {"task": task, "gold": gold, "form": form}
    return render_page(request, "labeling/gold_edit.html", context, fragment="labeling/_gold_form.html", status=status)


@require_POST
@login_required
def gold_unmark(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    gold = get_object_or_404(GoldTask.objects.select_related("task"), pk=pk, task__project=membership.project)
    try:
        unmark_gold(gold=gold, by=membership.user)
        messages.success(request, _("It is no gold task any more. The grades that were given stay."))
    except LabelingError as error:
        messages.error(request, str(error))
    return redirect("labeling-gold-list", slug=slug)
