from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from deployment.actions.candidate import promote, set_canary, set_rules, start_shadow, withdraw
from deployment.actions.errors import DeploymentError, OverrideNeedsReason
from deployment.actions.release import ensure_deployment
from deployment.forms.release import RulesForm, StepForm
from deployment.models import Deployment
from deployment.views.release import show_deployment
from labeling.models import User
from labeling.queries import require_member
from labeling.states import Role


@require_POST
@login_required
def step(request: HttpRequest, slug: str) -> HttpResponse:
    """Put a model beside the live one, or take the candidate a step further or away."""
    membership = require_member(request, slug, Role.ADMIN)
    form = StepForm(request.POST, project=membership.project)
    if not form.is_valid():
        problem = " ".join(str(error) for errors in form.errors.values() for error in errors)
        return show_deployment(request, membership, problem=problem, status=422)
    deployment, model = ensure_deployment(project=membership.project), form.cleaned_data["model"]
    is_there = form.cleaned_data["step"] in (StepForm.PROMOTE, StepForm.WITHDRAW)
    if is_there and model.pk != deployment.candidate_model_id:
        problem = _("The deployment has changed since you opened the page. Look at it again, then decide.")
        return show_deployment(request, membership, problem=problem, status=409)
    try:
        said = _take(form, deployment, membership.user)
    except OverrideNeedsReason as error:
        return show_deployment(request, membership, problem=str(error), problem_pk=model.pk, status=422)
    except DeploymentError as error:
        return show_deployment(request, membership, problem=str(error), status=409)
    messages.success(request, said % {"model": model.name, "percent": form.cleaned_data["percent"]})
    return redirect("deployment-release-show", slug)


@require_POST
@login_required
def rules(request: HttpRequest, slug: str) -> HttpResponse:
    """What the deployment does by itself."""
    membership = require_member(request, slug, Role.ADMIN)
    deployment = ensure_deployment(project=membership.project)
    form = RulesForm(request.POST, instance=deployment)
    if not form.is_valid():
        return show_deployment(request, membership, rules_form=form, status=422)
    set_rules(deployment=deployment, rules=form.cleaned_data, by=membership.user)
    messages.success(request, _("The rules are kept."))
    return redirect("deployment-release-show", slug)


def _take(form: StepForm, deployment: Deployment, by: User) -> str:
    """Take the step and return the sentence that says so."""
    model, reason = form.cleaned_data["model"], form.cleaned_data["reason"]
    match form.cleaned_data["step"]:
        case StepForm.SHADOW:
            start_shadow(deployment=deployment, model=model, by=by, reason=reason)
            return _("%(model)s is in shadow.")
        case StepForm.CANARY:
            percent = form.cleaned_data["percent"]
            set_canary(deployment=deployment, model=model, percent=percent, by=by, reason=reason)
            return _("%(model)s answers %(percent)s %% of the conversations.")
        case StepForm.PROMOTE:
            promote(deployment=deployment, by=by, reason=reason)
            return _("%(model)s is live.")
        case _withdraw:
            withdraw(deployment=deployment, by=by, reason=reason)
            return _("%(model)s is withdrawn.")
