"""Taking texts back: what holds them, undoing it, and training without them."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import render_page
from common.pagination import paginate
from deployment.forms.retraction import RetractPersonForm, RetrainForm
from deployment.queries.lineage import deployments_with
from labeling.actions.errors import LabelingError
from labeling.actions.retraction import retract_person, undo_retraction
from labeling.models import Membership, Retraction
from labeling.queries import require_member
from labeling.queries.retraction import pairs_judged_by, work_of
from labeling.states import Role
from training.actions.errors import TrainingError
from training.actions.retraining import retrain_without_retracted
from training.queries.lineage import retracted_counts, texts_of_person, texts_of_retraction, uses_of


@require_GET
@login_required
def index(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    rows = (
        Retraction.objects.visible_to(membership)
        .select_related("person", "by")
        .annotate(n=Count("examples"))
        .order_by("-pk")
    )
    return render_page(request, "deployment/retraction_list.html", {"page": paginate(request, rows)})


@require_GET
@login_required
def show(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """What was taken back, and the versions, models and deployments that hold it."""
    membership = require_member(request, slug, Role.ADMIN)
    retraction = _find(membership, pk)
    project = membership.project
    uses = uses_of(project, texts_of_retraction(retraction))
    newest = project.dataset_versions.own().order_by("-number").first()
    context = {
        "retraction": retraction,
        "examples": retraction.examples.select_related("author").order_by("pk")[:20],
        "n_examples": retraction.examples.count(),
        "n_pairs": retraction.pairs.count(),
        "n_tests": retraction.tests.count(),
        "uses": uses,
        "deployments": deployments_with(uses.models),
        "newest": newest,
        "is_newest_clean": newest is not None and newest.pk not in retracted_counts(project),
    }
    return render_page(request, "deployment/retraction_show.html", context)


@require_http_methods(["GET", "POST"])
@login_required
def person(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Say what all of a member's work is part of, ask for the reason and the name, then take it back."""
    membership = require_member(request, slug, Role.ADMIN)
    project = membership.project
    member = get_object_or_404(project.memberships.select_related("user"), pk=pk)
    form = RetractPersonForm(request.POST if request.method == "POST" else None, person=member.user)
    if form.is_bound and form.is_valid():
        reason = form.cleaned_data["reason"]
        try:
            made = retract_person(project=project, person=member.user, by=membership.user, reason=reason)
        except LabelingError as error:
            messages.error(request, str(error))
            return redirect("labeling-member-show", slug, pk)
        return redirect("deployment-retraction-show", slug, made.pk)
    uses = uses_of(project, texts_of_person(project, member.user))
    context = {
        "member": member,
        "form": form,
        "n_examples": work_of(project, member.user).trainable().count(),
        "n_pairs": len(pairs_judged_by(project, member.user)),
        "uses": uses,
        "deployments": deployments_with(uses.models),
    }
    status = 422 if form.is_bound else 200
    return render_page(request, "deployment/retraction_person.html", context, status=status)


@require_POST
@login_required
def undo(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    try:
        n = undo_retraction(retraction=_find(membership, pk), by=membership.user)
    except LabelingError as error:
        messages.error(request, str(error))
    else:
        back = ngettext("%(n)d example is in use again.", "%(n)d examples are in use again.", n)
        messages.success(request, back % {"n": n})
    return redirect("deployment-retraction-show", slug, pk)


@require_POST
@login_required
def retrain(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Freeze what is left and train the chosen model anew."""
    membership = require_member(request, slug, Role.ADMIN)
    retraction = _find(membership, pk)
    form = RetrainForm(request.POST, project=membership.project)
    if not form.is_valid():
        messages.error(request, _("Choose a model of this project."))
        return redirect("deployment-retraction-show", slug, retraction.pk)
    try:
        job = retrain_without_retracted(model=form.cleaned_data["model"], by=membership.user)
    except TrainingError as error:
        messages.error(request, str(error))
        return redirect("deployment-retraction-show", slug, retraction.pk)
    return redirect("training-job-show", slug, job.key)


def _find(membership: Membership, pk: int) -> Retraction:
    rows = Retraction.objects.visible_to(membership).select_related("project", "person", "by", "undone_by")
    return get_object_or_404(rows, pk=pk)
