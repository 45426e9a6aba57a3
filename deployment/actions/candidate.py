"""The candidate beside the live model: shadow, canary, live, or withdrawn. Each step is a row of the history."""

from collections.abc import Mapping

from django.db import transaction
from django.utils.translation import gettext as _

from common.states import record
from deployment.actions.errors import AlreadyLive, NoCandidate
from deployment.actions.release import deploy_model, load
from deployment.actions.route_change import Target, admitted, change_route
from deployment.models import Deployment, DeploymentChange
from deployment.states import ChangeKind, Stage
from labeling.models import User
from training.models import Evaluation, TunedModel

RULES = ("canary_after", "rule_percent", "live_after", "is_guarded", "shadow_percent", "shadow_per_minute")


def start_shadow(
    *,
    deployment: Deployment,
    model: TunedModel,
    by: User | None = None,
    reason: str = "",
    evaluation: Evaluation | None = None,
) -> DeploymentChange:
    """Put `model` beside the live one, answering copies of real prompts that nobody sees. A former candidate makes room.

    Raises AlreadyLive, OverrideNeedsReason, ModelNotLoadable, ReleaseConflict.
    """
    return _place(deployment, model, Stage.SHADOW, 0, by=by, reason=reason, evaluation=evaluation)


def set_canary(
    *,
    deployment: Deployment,
    model: TunedModel,
    percent: int,
    by: User | None = None,
    reason: str = "",
    evaluation: Evaluation | None = None,
) -> DeploymentChange:
    """Let `model` answer `percent` (1 to 99) of the conversations; also the way to change the share of a canary.

    Raises AlreadyLive, OverrideNeedsReason, ModelNotLoadable, ReleaseConflict.
    """
    if not 1 <= percent <= 99:
        raise ValueError("A canary has 1 to 99 percent.")
    return _place(deployment, model, Stage.CANARY, percent, by=by, reason=reason, evaluation=evaluation)


def promote(*, deployment: Deployment, by: User | None = None, reason: str = "") -> DeploymentChange:
    """Let the candidate answer everything. Raises NoCandidate and what `deploy_model` raises."""
    if deployment.candidate_model is None:
        raise NoCandidate(_("There is no candidate beside the live model."))
    return deploy_model(deployment=deployment, model=deployment.candidate_model, by=by, reason=reason)


def withdraw(*, deployment: Deployment, by: User | None = None, reason: str = "") -> DeploymentChange:
    """Take the candidate away: from now on the live model answers everything. Raises NoCandidate, ReleaseConflict."""
    if deployment.candidate_model is None:
        raise NoCandidate(_("There is no candidate beside the live model."))
    target = Target(live=deployment.live_model)
    return change_route(deployment, target, kind=ChangeKind.WITHDRAW, by=by, reason=reason)


@transaction.atomic
def set_rules(*, deployment: Deployment, rules: Mapping[str, int | bool], by: User) -> None:
    """Set what the deployment does by itself; `rules` are values of its fields named in RULES."""
    row = Deployment.objects.select_for_update(of=("self",)).get(pk=deployment.pk)
    before = {name: getattr(row, name) for name in RULES}
    after = {name: rules.get(name, before[name]) for name in RULES}
    if before != after:
        Deployment.objects.filter(pk=row.pk).update(**after)
        changed = [name for name in RULES if before[name] != after[name]]
        said = [", ".join(f"{name} {values[name]}" for name in changed) for values in (before, after)]
        record(row, what="release rules", before=said[0], after=said[1], by=by)


def _place(
    deployment: Deployment,
    model: TunedModel,
    stage: Stage,
    percent: int,
    *,
    by: User | None,
    reason: str,
    evaluation: Evaluation | None,
) -> DeploymentChange:
    if deployment.live_model_id == model.pk:
        raise AlreadyLive(_("%(model)s is live already.") % {"model": model.name})
    evaluation = admitted(model, reason=reason, evaluation=evaluation)
    load(model)
    target = Target(live=deployment.live_model, candidate=model, stage=stage, percent=percent)
    kind = ChangeKind.SHADOW if stage == Stage.SHADOW else ChangeKind.CANARY
    return change_route(deployment, target, kind=kind, by=by, reason=reason, evaluation=evaluation)
