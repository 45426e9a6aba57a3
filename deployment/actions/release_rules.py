"""The steps of a candidate that are taken by rule: from the shadow to the canary, from the canary to live."""

from django.utils.translation import gettext as _

from deployment.actions.candidate import promote, set_canary
from deployment.doubt import evidence_by_share
from deployment.models import Deployment, DeploymentChange
from deployment.queries import latest_evaluation
from deployment.queries.release import bad_by_share, shadow_counts, tally
from deployment.states import Stage
from training.models import TunedModel
from training.queries import passes

MOST_FAILED = 0.1  # of the copies in shadow


def step_on(*, deployment: Deployment) -> DeploymentChange | None:
    """Take the candidate's next step where the rules say so and nothing speaks against it; return the change.

    Only a model that passed the gate goes on by itself. Raises what the steps raise.
    """
    model = deployment.candidate_model
    if model is None:
        return None
    evaluation = latest_evaluation(model)
    if evaluation is None or not passes(evaluation):
        return None
    if deployment.stage == Stage.SHADOW:
        return _to_canary(deployment, model)
    return _to_live(deployment, model)


def _to_canary(deployment: Deployment, model: TunedModel) -> DeploymentChange | None:
    """After so many copies, unless many failed or reviewers found the candidate worse (its interval ends below one half)."""
    counts = next((row for row in shadow_counts(deployment.project) if row.model_name == model.name), None)
    if not deployment.canary_after or counts is None or counts.n_answered < deployment.canary_after:
        return None
    if counts.n_failed > MOST_FAILED * counts.n or (counts.high is not None and counts.high < 0.5):
        return None
    reason = _("%(n)s copies in shadow, and nothing spoke against it.") % {"n": counts.n_answered}
    return set_canary(deployment=deployment, model=model, percent=deployment.rule_percent, reason=reason)


def _to_live(deployment: Deployment, model: TunedModel) -> DeploymentChange | None:
    """After so many conversations, unless what is known so far speaks against the canary more than for it."""
    if not deployment.live_after or deployment.stage_since is None:
        return None
    found = tally(deployment, model, since=deployment.stage_since)
    if found.n < deployment.live_after or evidence_by_share(bad_by_share(deployment)) > 1:
        return None
    reason = _("%(n)s conversations as a canary, %(bad)s of them bad, no more than with the live model.") % {
        "n": found.n,
        "bad": found.n_bad,
    }
    return promote(deployment=deployment, reason=reason)
