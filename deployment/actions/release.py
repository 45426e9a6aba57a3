"""Changing what a deployment routes to. Each change is a row; a request keeps the model that it was routed to."""

import contextlib

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from common.states import record
from deployment import engine, outside_engine
from deployment.actions.errors import (
    AlreadyLive,
    EngineAway,
    EngineBusy,
    ModelIsLive,
    ModelNotLoadable,
    NothingToRollBack,
)
from deployment.actions.route_change import Target, admitted, change_route
from deployment.models import Deployment, DeploymentChange
from deployment.queries import ASSISTANT, settled_cases
from deployment.queries.routing import place_of
from deployment.states import ChangeKind
from labeling.actions.case_training import settle_case, start_training
from labeling.models import Project, User
from labeling.states import CaseState
from training.actions.artefacts import fetch_model
from training.actions.catalog import ensure_bundled_base_model
from training.actions.registry import delete_model
from training.models import BaseModel, Evaluation, TunedModel

ROLL_BACK_LOAD_S = 3.0


def ensure_deployment(*, project: Project) -> Deployment:
    """Return the project's deployment "assistant"; a new one answers with the catalog's default base model."""
    existing = Deployment.objects.select_related("live_model", "candidate_model", "base_model")
    existing = existing.filter(project=project, name=ASSISTANT)
    if deployment := existing.first():
        return deployment
    base_model = BaseModel.objects.order_by("-is_default", "pk").first() or ensure_bundled_base_model()
    try:
        with transaction.atomic():
            deployment = Deployment.objects.create(project=project, name=ASSISTANT, base_model=base_model)
            DeploymentChange.objects.create(deployment=deployment, kind=ChangeKind.CREATE)
    except IntegrityError:  # somebody else opened the page in the same moment
        return existing.get()
    return deployment


def deploy_model(
    *,
    deployment: Deployment,
    model: TunedModel,
    by: User | None = None,
    reason: str = "",
    evaluation: Evaluation | None = None,
) -> DeploymentChange:
    """Let the deployment answer with `model`, and say of the cases that it was trained on whether they are fixed.

    1. Without a passed gate (`evaluation`, by default the model's newest) a reason is needed, which is kept.
    2. The engine loads the model while the old one keeps serving. A model that cannot be loaded changes nothing; an
       engine that is away or busy does not hold the switch up, it loads the model when it is asked.
    3. One compare-and-set changes the row: of two people one deploys, the other gets ReleaseConflict.

    Raises AlreadyLive, OverrideNeedsReason, ModelNotLoadable, ReleaseConflict.
    """
    if deployment.live_model_id == model.pk:
        raise AlreadyLive(_("%(model)s is live already.") % {"model": model.name})
    evaluation = admitted(model, reason=reason, evaluation=evaluation)
    load(model)
    with transaction.atomic():
        change = change_route(
            deployment, Target(live=model), kind=ChangeKind.DEPLOY, by=by, reason=reason, evaluation=evaluation
        )
        if evaluation is not None:
            _settle(model, evaluation)
    return change


def roll_back(*, deployment: Deployment, by: User | None, reason: str = "") -> DeploymentChange:
    """Let the deployment answer everything with what was live before the present model. Cases keep what was said of them.

    The former model is given a few seconds to load, then it goes live all the same: what is live now is not wanted.
    A candidate is withdrawn. Raises NothingToRollBack, ModelNotLoadable, ReleaseConflict.
    """
    model = previous_model(deployment)
    if model is not None:
        load(model, timeout_s=ROLL_BACK_LOAD_S)
    return change_route(deployment, Target(live=model), kind=ChangeKind.ROLL_BACK, by=by, reason=reason)


def previous_model(deployment: Deployment) -> TunedModel | None:
    """Return what a roll-back would make live; None is the base model. Raises NothingToRollBack.

    It is what the present model took the place of: after a roll-back the next one goes further back, not forth again.
    """
    history: list[TunedModel | None] = []
    for change in deployment.changes.select_related("from_model").order_by("pk"):
        if change.kind == ChangeKind.DEPLOY:
            history.append(change.from_model)
        elif change.kind == ChangeKind.ROLL_BACK and history:
            history.pop()
    if not history:
        raise NothingToRollBack(_("There is no earlier model to go back to."))
    return history[-1]


def load(model: TunedModel, *, timeout_s: float = engine.LOAD_TIMEOUT_S) -> None:
    """Let the engine load the model; one that is away, busy or slow does it when it is asked. Raises ModelNotLoadable, also
    for a model that its outside engine does not have."""
    if place := place_of(model.project_id, model):
        with contextlib.suppress(EngineAway, EngineBusy):
            if place.served_name not in outside_engine.served_names(place):
                raise ModelNotLoadable(_("Its engine does not serve “%(name)s”.") % {"name": place.served_name})
        return
    fetch_model(model=model)
    with contextlib.suppress(EngineAway, EngineBusy):  # the sweep sees to it that live models are loaded
        engine.load_model(name=model.name, path=engine.relative_path(model.folder), timeout_s=timeout_s)


def _settle(model: TunedModel, evaluation: Evaluation) -> None:
    for case, is_fixed in settled_cases(model=model, evaluation=evaluation):
        if case.state == CaseState.CORRECTED:  # trained by a job outside of a cycle, or after one that stopped
            start_training(cases=[case])
        settle_case(case=case, is_fixed=is_fixed, model_name=model.name)


def retire_model(*, model: TunedModel, by: User | None = None) -> None:
    """Delete a model that no deployment answers with. Raises ModelIsLive, and ModelInUse while a job trains from it."""
    with transaction.atomic():
        deployments = Deployment.objects.select_for_update(of=("self",)).filter(project_id=model.project_id)
        if any(model.pk in (each.live_model_id, each.candidate_model_id) for each in deployments):
            raise ModelIsLive(_("A deployment answers with this model. Deploy another one first."))
        delete_model(model=model)
        record(model, what="model", before=model.name, after="deleted", by=by)
