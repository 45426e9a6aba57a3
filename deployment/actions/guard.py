"""Automatic roll back: a model that is worse beyond doubt goes within a minute, and nobody has to be awake."""

import logging
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from deployment.actions.candidate import withdraw
from deployment.actions.errors import DeploymentError
from deployment.actions.release import roll_back
from deployment.actions.release_rules import step_on
from deployment.doubt import ALPHA, evidence_against_rate, evidence_by_share, highest_rate
from deployment.models import Deployment, DeploymentChange
from deployment.queries.release import FORMER_WINDOW, FOUND_WRONG, bad_by_share, last_live_change, tally
from deployment.states import ChangeKind, Stage

logger = logging.getLogger(__name__)

WATCHED_FOR = timedelta(days=7)  # so long a model that went live is held against the former one
LEAST_FORMER = 50  # conversations that the former model must have had


def guard_deployments() -> None:
    """Take away what is worse, and take the steps that the rules say. What cannot be done now is looked at again next time."""
    for deployment in Deployment.objects.select_related("project", "base_model", "live_model", "candidate_model"):
        try:
            change = guard(deployment=deployment) if deployment.is_guarded else None
            change = change or step_on(deployment=deployment)
        except DeploymentError as error:
            logger.warning("%s of %s: %s", deployment.name, deployment.project.slug, error)
        else:
            if change is not None:
                logger.warning("%s of %s: %s", deployment.name, deployment.project.slug, change.reason)


def guard(*, deployment: Deployment) -> DeploymentChange | None:
    """Withdraw the canary, or roll the new live model back, where it is worse beyond doubt; return the change.

    A canary is held against the live model, conversation by conversation of the same time; failures count, since what
    befalls both is no evidence. A new live model is held against what its predecessor did before: there only answers that
    people or detectors found wrong count, for an engine that was away is not the model's fault.
    """
    if deployment.stage == Stage.CANARY:
        return _guard_canary(deployment)
    return _guard_live(deployment)


def _guard_canary(deployment: Deployment) -> DeploymentChange | None:
    if evidence_by_share(bad_by_share(deployment)) < 1 / ALPHA or deployment.stage_since is None:
        return None
    canary = tally(deployment, deployment.candidate_model, since=deployment.stage_since)
    live = tally(deployment, deployment.live_model, since=deployment.stage_since)
    reason = _(
        "Worse than the live model beyond doubt: bad were %(bad)s of %(n)s conversations, with the live model %(live_bad)s of %(live_n)s."
    ) % {"bad": canary.n_bad, "n": canary.n, "live_bad": live.n_bad, "live_n": live.n}
    return withdraw(deployment=deployment, reason=reason)


def _guard_live(deployment: Deployment) -> DeploymentChange | None:
    change = last_live_change(deployment)
    if change is None or change.kind != ChangeKind.DEPLOY or change.at < timezone.now() - WATCHED_FOR:
        return None
    new = tally(deployment, change.to_model, since=change.at, bad=FOUND_WRONG)
    if not new.n_bad:
        return None
    since = change.at - FORMER_WINDOW
    former = tally(deployment, change.from_model, since=since, until=change.at, bad=FOUND_WRONG)
    if former.n < LEAST_FORMER:
        return None
    # Half of the doubt that is allowed goes to what the former's rate may have been, half to the new one's evidence.
    rate = highest_rate(former.n_bad, former.n, alpha=ALPHA / 2)
    if evidence_against_rate(new.n_bad, new.n, rate=rate) < 2 / ALPHA:
        return None
    reason = _(
        "Worse than the former model beyond doubt: bad were %(bad)s of %(n)s conversations, with the former model %(former_bad)s of %(former_n)s."
    ) % {"bad": new.n_bad, "n": new.n, "former_bad": former.n_bad, "former_n": former.n}
    return roll_back(deployment=deployment, by=None, reason=reason)
