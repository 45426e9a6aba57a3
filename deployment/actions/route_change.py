"""The one place where a deployment's row changes: compare-and-set, audit, history and message in one transaction."""

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from common.states import record
from deployment.actions.errors import OverrideNeedsReason, ReleaseConflict
from deployment.models import Deployment, DeploymentChange
from deployment.queries import latest_evaluation
from deployment.states import LIVE_CHANGES, ChangeKind, Stage
from labeling.actions.webhook import announce
from labeling.models import User
from labeling.states import WebhookEvent
from training.models import Evaluation, TunedModel
from training.queries import passes

WHATS = {
    ChangeKind.DEPLOY: "live model",
    ChangeKind.ROLL_BACK: "live model",
    ChangeKind.SHADOW: "candidate in shadow",
    ChangeKind.CANARY: "canary",
    ChangeKind.WITHDRAW: "candidate",
}


@dataclass(frozen=True)
class Target:
    """What a deployment is to route to; `live` None is the base model."""

    live: TunedModel | None
    candidate: TunedModel | None = None
    stage: Stage | None = None
    percent: int = 0


def admitted(model: TunedModel, *, reason: str, evaluation: Evaluation | None) -> Evaluation | None:
    """Return the evaluation that a step of the model rests on, by default its newest.

    Raises OverrideNeedsReason where the gate has not passed it and no reason was given.
    """
    evaluation = evaluation or latest_evaluation(model)
    if not reason.strip() and not (evaluation and passes(evaluation)):
        raise OverrideNeedsReason(_("This model did not pass the gate. Say why it is to go live all the same."))
    return evaluation


@transaction.atomic
def change_route(
    deployment: Deployment,
    target: Target,
    *,
    kind: ChangeKind,
    by: User | None,
    reason: str = "",
    evaluation: Evaluation | None = None,
) -> DeploymentChange:
    """Set what the deployment routes to, if it is as `deployment` was read. A candidate that this leaves behind is withdrawn.

    Raises ReleaseConflict.
    """
    before, candidate = deployment.live_model, deployment.candidate_model
    rows = Deployment.objects.filter(
        pk=deployment.pk,
        live_model=before,
        candidate_model=candidate,
        stage=deployment.stage,
        canary_percent=deployment.canary_percent,
    )
    fields = {
        "live_model": target.live,
        "candidate_model": target.candidate,
        "stage": target.stage or "",
        "canary_percent": target.percent,
        "stage_since": _since(deployment, target),
    }
    if not rows.update(**fields):
        raise ReleaseConflict(_("Somebody else changed the deployment first. Look at it again, then decide."))
    if kind in LIVE_CHANGES and candidate is not None and candidate != target.live:
        _write(deployment, ChangeKind.WITHDRAW, candidate, before, 0, by, _("Another model went live."), None)
    is_of_candidate = kind not in LIVE_CHANGES
    from_model = (candidate if kind == ChangeKind.WITHDRAW else before) if is_of_candidate else before
    to_model = target.candidate if target.candidate is not None else target.live
    weight = target.percent if is_of_candidate else 100
    for name, value in fields.items():
        setattr(deployment, name, value)
    return _write(deployment, kind, from_model, to_model, weight, by, reason, evaluation)


def _since(deployment: Deployment, target: Target) -> object:
    """A canary whose share changes goes on: what it has shown so far counts."""
    if target.candidate is None:
        return None
    same = (deployment.candidate_model, deployment.stage) == (target.candidate, target.stage)
    return deployment.stage_since if same else timezone.now()


def _write(
    deployment: Deployment,
    kind: ChangeKind,
    from_model: TunedModel | None,
    to_model: TunedModel | None,
    weight: int,
    by: User | None,
    reason: str,
    evaluation: Evaluation | None,
) -> DeploymentChange:
    before, after = (_name(deployment, model) for model in (from_model, to_model))
    reason = reason.strip()[:500]
    goes_on = kind in (ChangeKind.SHADOW, ChangeKind.CANARY, ChangeKind.DEPLOY)
    is_override = goes_on and not (evaluation and passes(evaluation))
    if kind == ChangeKind.CANARY:
        said_before, said_after = "", f"{after}, {weight} %"
    elif kind == ChangeKind.WITHDRAW:
        said_before, said_after = before, "withdrawn"
    else:
        said_before, said_after = ("" if kind == ChangeKind.SHADOW else before), after
    what = WHATS[kind] + (", gate overridden" if is_override else "")
    record(deployment, what=what, before=said_before, after=said_after, by=by, reason=reason)
    is_live_change = kind in LIVE_CHANGES
    data: dict[str, object] = {"deployment": deployment.name, "kind": kind.value, "model": after, "before": before}
    if not is_live_change:
        data |= {"percent": weight, "by_rule": by is None, "reason": reason}
    announce(
        project_pk=deployment.project_id,
        event=WebhookEvent.MODEL_DEPLOYED if is_live_change else WebhookEvent.CANDIDATE_CHANGED,
        data=data,
    )
    return DeploymentChange.objects.create(
        deployment=deployment,
        kind=kind,
        from_model=from_model,
        to_model=to_model,
        weight=weight,
        by=by,
        reason=reason,
        evaluation=evaluation,
    )


def _name(deployment: Deployment, model: TunedModel | None) -> str:
    return model.name if model else deployment.base_model.slug
