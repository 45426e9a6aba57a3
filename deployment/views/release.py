from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from common.htmx import render_page
from deployment import engine
from deployment.actions.errors import (
    DeploymentError,
    EngineError,
    NothingToRollBack,
    OverrideNeedsReason,
)
from deployment.actions.release import deploy_model, ensure_deployment, previous_model, roll_back
from deployment.forms.release import DeployForm, RollBackForm, RulesForm
from deployment.models import Cycle, Deployment, ShadowAnswer
from deployment.queries import candidates, cycles_at_work, week_of_traffic
from deployment.queries.lineage import retracted_in_live
from deployment.queries.release import Tally, shadow_counts, tally
from deployment.queries.routing import engines_outside
from deployment.states import LIVE_CHANGES, Stage
from labeling.models import Membership
from labeling.queries import require_member
from labeling.states import Role
from training.models import BaseModel, TunedModel

N_CHANGES = 50


@require_GET
@login_required
def show(request: HttpRequest, slug: str) -> HttpResponse:
    """What is live, what could be, and how it came to be so."""
    return show_deployment(request, require_member(request, slug, Role.ADMIN))


@require_POST
@login_required
def deploy(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    form = DeployForm(request.POST, project=membership.project)
    if not form.is_valid():
        return show_deployment(request, membership, problem=_("Choose a model of this project."), status=422)
    model, reason = form.cleaned_data["model"], form.cleaned_data["reason"]
    try:
        deployment = ensure_deployment(project=membership.project)
        deploy_model(deployment=deployment, model=model, by=membership.user, reason=reason)
    except OverrideNeedsReason as error:
        return show_deployment(request, membership, problem=str(error), problem_pk=model.pk, status=422)
    except DeploymentError as error:
        return show_deployment(request, membership, problem=str(error), status=409)
    messages.success(request, _("%(model)s is live.") % {"model": model.name})
    return redirect("deployment-release-show", slug)


@require_POST
@login_required
def back(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    form = RollBackForm(request.POST)
    deployment = ensure_deployment(project=membership.project)
    if not form.is_valid() or form.cleaned_data["live"] != deployment.live_model_id:
        problem = _("The deployment has changed since you opened the page. Look at it again, then decide.")
        return show_deployment(request, membership, problem=problem, status=409)
    try:
        roll_back(deployment=deployment, by=membership.user)
    except DeploymentError as error:
        return show_deployment(request, membership, problem=str(error), status=409)
    messages.success(request, _("%(model)s is live again.") % {"model": deployment.live_name})
    return redirect("deployment-release-show", slug)


@require_GET
@login_required
def summary(request: HttpRequest, slug: str) -> HttpResponse:
    """A piece for the admin's home page: what is live, the last cycle, the last days."""
    membership = require_member(request, slug, Role.ADMIN)
    project = membership.project
    context = {
        "deployment": Deployment.objects.select_related("live_model", "base_model").filter(project=project).first(),
        "cycle": Cycle.objects.filter(project=project).select_related("job", "dataset_version").first(),
        "at_work": cycles_at_work(project).exists(),
        "traffic": week_of_traffic(project),
    }
    return render_page(request, "deployment/project_summary.html", context, fragment="deployment/_summary.html")


def show_deployment(
    request: HttpRequest,
    membership: Membership,
    *,
    problem: str = "",
    problem_pk: int | None = None,
    rules_form: RulesForm | None = None,
    status: int = 200,
) -> HttpResponse:
    """Render the page of the deployment, under a `problem` where a step was not taken."""
    project = membership.project
    deployment = ensure_deployment(project=project)
    rows = deployment.changes.select_related("from_model", "to_model", "by", "evaluation").prefetch_related("cycles")
    held, outside = _held_models(), engines_outside(membership.project)
    context = {
        "problem": problem,
        "problem_pk": problem_pk,
        "deployment": deployment,
        "changes": rows[:N_CHANGES],
        "current": rows.filter(kind__in=LIVE_CHANGES).first(),
        "step": rows.exclude(kind__in=LIVE_CHANGES).first(),
        "candidates": candidates(project),
        "n_retracted": retracted_in_live(project).get(deployment.pk, 0),
        "engine_state": _engine_state(held, deployment.live_model or deployment.base_model, outside),
        "tallies": _tallies(deployment),
        "shadow_counts": shadow_counts(project, limit=3),
        "n_to_judge": ShadowAnswer.objects.visible_to(membership).to_judge().count(),
        "rules_form": rules_form or RulesForm(instance=deployment),
        "candidate_state": _engine_state(held, deployment.candidate_model, outside)
        if deployment.candidate_model
        else "",
        "can_roll_back": _can_roll_back(deployment),
    }
    return render_page(request, "deployment/release_show.html", context, status=status)


def _can_roll_back(deployment: Deployment) -> bool:
    try:
        previous_model(deployment)
    except NothingToRollBack:
        return False
    return True


def _tallies(deployment: Deployment) -> list[tuple[str, Tally]]:
    """Return how the conversations went since the canary began, the canary's first; nothing without one."""
    if deployment.candidate_model is None or deployment.stage != Stage.CANARY or deployment.stage_since is None:
        return []
    models = [
        (deployment.candidate_model.name, deployment.candidate_model),
        (deployment.live_name, deployment.live_model),
    ]
    return [(name, tally(deployment, model, since=deployment.stage_since)) for name, model in models]


def _held_models() -> dict[str, str] | None:
    """Return the state of each model that the engine holds; None where it does not answer."""
    try:
        models = engine.read_health().get("models", [])
    except EngineError:
        return None
    return {str(model["name"]): str(model["state"]) for model in models}


def _engine_state(held: dict[str, str] | None, model: TunedModel | BaseModel, outside: dict[str, str]) -> str:
    """Return how the engine holds the model: ready, loading, failed, missing (loaded with the next request) or away; for one
    that an engine outside answers for, that engine's name after "outside "."""
    name = model.name if isinstance(model, TunedModel) else model.slug
    if name in outside:
        return f"outside {outside[name]}"
    return "away" if held is None else held.get(name, "missing")
