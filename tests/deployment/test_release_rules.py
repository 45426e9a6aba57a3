"""How far a candidate goes without a person: by what its copies and conversations have shown."""

import pytest
from django.urls import reverse
from django.utils import timezone

from common.models import Transition
from deployment.actions.candidate import set_canary, start_shadow
from deployment.actions.cycle import start_cycle
from deployment.actions.guard import guard_deployments
from deployment.models import Deployment, DeploymentChange, ShadowAnswer
from deployment.states import CompletionState, Reach, ShadowVerdict, Stage
from labeling.models import Case
from labeling.states import CaseState
from tests.deployment.test_cycle import walk
from tests.deployment.test_guard import changes, talk
from tests.deployment.test_release import FAILED, corrected, evaluate
from tests.deployment.test_shadow import answered

pytestmark = pytest.mark.django_db


@pytest.fixture
def case(project, rita, deployment) -> Case:
    return corrected(project, rita, 1)


def rule(**rules) -> None:
    Deployment.objects.update(**rules)


def test_a_candidate_takes_every_step(engine, deployment, project, tuned_model) -> None:
    rule(canary_after=2, live_after=10, rule_percent=50)
    evaluate(tuned_model)
    start_shadow(deployment=Deployment.objects.get(), model=tuned_model)
    for number, after in ((1, ["shadow"]), (2, ["shadow", "canary"])):
        ShadowAnswer.objects.create(
            project=project,
            deployment=deployment,
            completion=answered(deployment, -number),
            tuned_model=tuned_model,
            state=CompletionState.DONE,
        )
        guard_deployments()
        assert changes() == after
    deployment.refresh_from_db()
    assert (deployment.stage, deployment.canary_percent) == (Stage.CANARY, 50)
    talk(deployment, range(60), bad=lambda number, model: number % 10 == 0 and model == deployment.base_model)
    guard_deployments()
    assert changes() == ["shadow", "canary", "deploy"]
    assert Deployment.objects.get().live_model == tuned_model
    assert "conversations as a canary, 0 of them bad" in DeploymentChange.objects.first().reason


def test_a_cycle_that_goes_up_to_a_canary_is_taken_on(engine, case, project) -> None:
    rule(live_after=10)
    cycle = start_cycle(project=project, reach=Reach.CANARY, canary_percent=50)
    walk(cycle)
    talk(Deployment.objects.get(), range(60))
    guard_deployments()
    case.refresh_from_db()
    assert (changes(), case.state) == (["canary", "deploy"], CaseState.FIXED)


@pytest.mark.parametrize("why", ["judged worse", "many failed"])
def test_a_shadow_that_shows_something_bad_stays(deployment, project, tuned_model, why) -> None:
    rule(canary_after=10)
    deployment.refresh_from_db()
    evaluate(tuned_model)
    start_shadow(deployment=deployment, model=tuned_model)
    for number in range(20):
        is_failed = why == "many failed" and number < 3
        ShadowAnswer.objects.create(
            project=project,
            deployment=deployment,
            completion=answered(deployment, number),
            tuned_model=tuned_model,
            state=CompletionState.FAILED if is_failed else CompletionState.DONE,
            verdict=ShadowVerdict.WORSE if why == "judged worse" else "",
        )
    guard_deployments()
    assert changes() == ["shadow"]


@pytest.mark.parametrize("why", ["gate", "bad so far", "few", "by hand"])
def test_a_canary_of_which_too_little_is_known_stays(deployment, tuned_model, why) -> None:
    rule(live_after=0 if why == "by hand" else 1000 if why == "few" else 10)
    deployment.refresh_from_db()
    evaluate(tuned_model, **({"gate": FAILED} if why == "gate" else {}))
    set_canary(deployment=deployment, model=tuned_model, percent=50, reason="a test")
    talk(deployment, range(60))
    if why == "bad so far":
        first = deployment.completions.filter(tuned_model=tuned_model)[:2]
        deployment.completions.filter(pk__in=[row.pk for row in first]).update(rating=-1)
    guard_deployments()
    assert changes() == ["canary"]


def test_the_rules_are_kept_with_who_changed_them(deployment, alice, rita, sign_in) -> None:
    address = reverse("deployment-release-rules", args=["kitchen"])
    rules = {"canary_after": 50, "rule_percent": 5, "live_after": 0}
    rules |= {"shadow_percent": 30, "shadow_per_minute": 4}
    assert sign_in(rita).post(address, rules).status_code == 403
    client = sign_in(alice)
    assert client.get(address).status_code == 405
    assert client.post(address, rules | {"rule_percent": 100}).status_code == 422
    assert Deployment.objects.get().is_guarded
    assert client.post(address, rules).status_code == 302
    row = Deployment.objects.get()
    assert (row.canary_after, row.rule_percent, row.shadow_percent, row.is_guarded) == (50, 5, 30, False)
    line = Transition.objects.latest("pk")
    assert (line.what, line.by_pk) == ("release rules", alice.pk)
    assert "is_guarded False" in line.after
    assert timezone.now() >= line.at
