"""Which deployments answer, or answered, with models that learnt from certain rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max

from deployment.models import Deployment, DeploymentChange
from deployment.states import ChangeKind
from labeling.models import Project
from training.models import TunedModel
from training.queries.lineage import ModelUse, retracted_counts_of_models


@dataclass(frozen=True)
class DeploymentUse:
    """A deployment and a model in question that it routed to; `n` rows are in the model."""

    deployment: Deployment
    model: TunedModel
    n: int
    is_live: bool
    since: datetime


def deployments_with(models: Sequence[ModelUse]) -> list[DeploymentUse]:
    """Return where these models were ever deployed: what is live first, then the newest."""
    uses = {use.model.pk: use for use in models}
    answering = (ChangeKind.CANARY, ChangeKind.DEPLOY, ChangeKind.ROLL_BACK)
    changes = (
        DeploymentChange.objects.filter(to_model__in=uses, kind__in=answering)
        .order_by()
        .values_list("deployment_id", "to_model_id")
    )
    since = {(deployment, model): at for deployment, model, at in changes.annotate(at=Max("at")) if model is not None}
    rows = Deployment.objects.in_bulk({deployment for deployment, _model in since})
    found = [
        DeploymentUse(rows[pk], uses[model].model, uses[model].n, rows[pk].live_model_id == model, at)
        for (pk, model), at in since.items()
    ]
    return sorted(found, key=lambda use: (use.is_live, use.since), reverse=True)


def retracted_in_live(project: Project) -> dict[int, int]:
    """Return how many retracted rows the live model of each deployment has learnt from, by the deployment's key."""
    counts = retracted_counts_of_models(project)
    live = Deployment.objects.filter(project=project, live_model__in=counts).values_list("pk", "live_model_id")
    return {pk: counts[model] for pk, model in live if model is not None}
