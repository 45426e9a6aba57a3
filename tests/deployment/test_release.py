"""What is live: deploying, overriding the gate, rolling back, and what it means for the cases."""

import pytest
from django.urls import reverse

from deployment.actions.errors import (
    AlreadyLive,
    ModelNotLoadable,
    NothingToRollBack,
    OverrideNeedsReason,
    ReleaseConflict,
)
from deployment.actions.release import deploy_model, ensure_deployment, roll_back
from deployment.models import Deployment, DeploymentChange
from deployment.queries import candidates
from deployment.states import ChangeKind
from labeling.actions.case import correct_case, report_output
from labeling.models import Case
from labeling.states import CaseState
from tests.deployment.conftest import make_model
from training.actions.dataset import freeze_dataset
from training.models import Evaluation, EvaluationResult
from training.states import EvaluationState, Suite

pytestmark = pytest.mark.django_db
PASSED, FAILED = ([{"name": "efficacy", "passed": passed, "value": 0.9, "threshold": 0.9}] for passed in (True, False))


def evaluate(model, *, gate=PASSED, **fields) -> Evaluation:
    return Evaluation.objects.create(
        project=model.project,
        key=f"eval-{Evaluation.objects.count()}",
        base_model=model.base_model,
        tuned_model=model,
        suite_hash="0",
        state=EvaluationState.SUCCEEDED,
        metrics={"efficacy": 0.9},
        gate=gate,
        **fields,
    )


def corrected(project, rita, number: int, probes: int = 2) -> Case:
    case = report_output(
        project=project,
        messages=[{"role": "user", "content": f"Question {number}?"}],
        wrong_output="Wrong.",
        model_name="base",
        reason="wrong",
        source="chat",
    )
    correct_case(case=case, text=f"Right {number}.", by=rita, probes=[f"Probe {number} {p}?" for p in range(probes)])
    case.refresh_from_db()
    return case


def result(evaluation, case, is_right, *probes) -> None:
    row = {"evaluation": evaluation, "test": case.test, "row_id": str(case.test.pk)}
    EvaluationResult.objects.create(suite=Suite.REGRESSION, is_right=is_right, **row)
    for number, right in enumerate(probes):
        EvaluationResult.objects.create(suite=Suite.PROBE, probe=number, is_right=right, **row)


def trained_on_now(project):
    model = make_model(project)
    model.job.dataset_version = freeze_dataset(project=project)
    model.job.save()
    return model


def state_of(case) -> str:
    case.refresh_from_db()
    return case.state


def test_a_project_has_one_deployment_which_begins_with_the_base_model(deployment, project, base_model) -> None:
    assert ensure_deployment(project=project) == deployment
    assert deployment.live_name == base_model.slug
    assert [change.kind for change in deployment.changes.all()] == [ChangeKind.CREATE]


def test_a_model_that_passed_goes_live_and_the_change_is_kept(engine, deployment, tuned_model, alice) -> None:
    evaluation = evaluate(tuned_model)
    change = deploy_model(deployment=deployment, model=tuned_model, by=alice)
    assert Deployment.objects.get().live_model == tuned_model
    assert (change.from_model, change.to_model, change.by, change.evaluation) == (None, tuned_model, alice, evaluation)
    assert engine.loads == [(tuned_model.name, tuned_model.location)]
    with pytest.raises(AlreadyLive):
        deploy_model(deployment=deployment, model=tuned_model, by=alice)


@pytest.mark.parametrize("gate", [FAILED, [], None])
def test_without_a_passed_gate_a_reason_is_needed_and_kept(deployment, tuned_model, alice, gate) -> None:
    if gate is not None:
        evaluate(tuned_model, gate=gate)
    for reason in ("", "   "):
        with pytest.raises(OverrideNeedsReason):
            deploy_model(deployment=deployment, model=tuned_model, by=alice, reason=reason)
    assert Deployment.objects.get().live_model is None
    change = deploy_model(deployment=deployment, model=tuned_model, by=alice, reason="The old one is worse.")
    assert change.reason == "The old one is worse."


def test_an_engine_that_is_away_does_not_hold_the_switch_up(deployment, tuned_model) -> None:
    deploy_model(deployment=deployment, model=tuned_model, reason="a test")
    assert Deployment.objects.get().live_model == tuned_model


def test_a_model_that_cannot_be_loaded_changes_nothing(engine, deployment, tuned_model) -> None:
    engine.refuse_load = (507, "no memory left")
    with pytest.raises(ModelNotLoadable, match="no memory left"):
        deploy_model(deployment=deployment, model=tuned_model, reason="a test")
    assert Deployment.objects.get().live_model is None
    assert DeploymentChange.objects.count() == 1


def test_of_two_people_one_deploys(deployment, project, tuned_model) -> None:
    stale = Deployment.objects.get()
    deploy_model(deployment=deployment, model=tuned_model, reason="first")
    with pytest.raises(ReleaseConflict):
        deploy_model(deployment=stale, model=make_model(project), reason="second")
    assert Deployment.objects.get().live_model == tuned_model


def test_rolling_back_goes_back_step_by_step_and_never_forth(deployment, project, base_model) -> None:
    first, second = make_model(project), make_model(project)
    with pytest.raises(NothingToRollBack):
        roll_back(deployment=deployment, by=None)
    for model in (first, second):
        deploy_model(deployment=deployment, model=model, reason="a test")
    assert roll_back(deployment=deployment, by=None).to_model == first
    assert roll_back(deployment=deployment, by=None).to_model is None
    assert Deployment.objects.get().live_name == base_model.slug
    with pytest.raises(NothingToRollBack):
        roll_back(deployment=deployment, by=None)
    deploy_model(deployment=deployment, model=second, reason="again")
    assert roll_back(deployment=deployment, by=None).to_model is None


def test_a_deployed_model_says_of_its_cases_whether_they_are_fixed(deployment, project, rita) -> None:
    """Fixed: its own line is right and at least half of its probes."""
    right, half, few, wrong = (corrected(project, rita, number) for number in range(4))
    model = trained_on_now(project)
    untrained = corrected(project, rita, 4)
    evaluation = evaluate(model)
    result(evaluation, right, True, True, True)
    result(evaluation, half, True, True, False)
    result(evaluation, few, True, False, False)
    result(evaluation, wrong, False, True, True)
    result(evaluation, untrained, True, True, True)
    deploy_model(deployment=deployment, model=model)
    assert [state_of(case) for case in (right, half, few, wrong, untrained)] == [
        CaseState.FIXED,
        CaseState.FIXED,
        CaseState.NOT_FIXED,
        CaseState.NOT_FIXED,
        CaseState.CORRECTED,
    ]
    assert (right.fixed_in, right.tested_in, wrong.tested_in) == (model.name, model.name, model.name)


def test_a_later_model_that_forgets_a_case_makes_it_not_fixed_and_rolling_back_unsays_nothing(
    deployment, project, rita
) -> None:
    case = corrected(project, rita, 1)
    for is_right, state in ((True, CaseState.FIXED), (False, CaseState.NOT_FIXED)):
        model = trained_on_now(project)
        result(evaluate(model), case, is_right)
        deploy_model(deployment=deployment, model=model)
        assert (state_of(case), case.tested_in) == (state, model.name)
    roll_back(deployment=deployment, by=None)
    assert (state_of(case), case.tested_in) == (CaseState.NOT_FIXED, model.name)


def test_a_measurement_of_an_earlier_correction_says_nothing_of_the_present_one(deployment, project, rita) -> None:
    case = corrected(project, rita, 1)
    model = trained_on_now(project)
    evaluation = evaluate(model)
    result(evaluation, case, True)
    Case.objects.filter(pk=case.pk).update(state=CaseState.NOT_FIXED)
    case.refresh_from_db()
    correct_case(case=case, text="Better than right.", by=rita)
    deploy_model(deployment=deployment, model=model)
    assert state_of(case) == CaseState.CORRECTED


def test_the_page_lists_candidates_with_their_verdicts(engine, deployment, project, alice, sign_in) -> None:
    passed, failed, unmeasured = make_model(project), make_model(project), make_model(project)
    evaluate(passed)
    evaluate(failed, gate=FAILED)
    assert [row.verdict for row in candidates(project)] == [None, False, True]
    client, address = sign_in(alice), reverse("deployment-release-show", args=["kitchen"])
    page = client.get(address).content.decode()
    assert all(model.name in page for model in (passed, failed, unmeasured))
    deploy = reverse("deployment-release-deploy", args=["kitchen"])
    assert client.post(deploy, {"model": failed.pk}).status_code == 422
    assert client.post(deploy, {"model": make_model(deployment.project).pk + 99}).status_code == 422
    assert client.post(deploy, {"model": passed.pk}).status_code == 302
    assert Deployment.objects.get().live_model == passed
    assert client.post(deploy, {"model": failed.pk, "reason": "I checked it myself."}).status_code == 302
    page = client.get(address).content.decode()
    assert "I checked it myself." in page
    assert "Roll back" in page


def test_rolling_back_twice_by_a_double_click_goes_back_once(deployment, project, alice, sign_in) -> None:
    first, second = make_model(project), make_model(project)
    for model in (first, second):
        deploy_model(deployment=deployment, model=model, reason="a test")
    client, address = sign_in(alice), reverse("deployment-release-roll-back", args=["kitchen"])
    assert client.post(address, {"live": second.pk}).status_code == 302
    assert client.post(address, {"live": second.pk}).status_code == 409
    assert Deployment.objects.get().live_model == first


def test_the_page_says_that_the_engine_is_away(deployment, alice, sign_in) -> None:
    page = sign_in(alice).get(reverse("deployment-release-show", args=["kitchen"])).content.decode()
    assert "The engine does not answer." in page


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("release-show", "get"),
        ("release-deploy", "post"),
        ("release-roll-back", "post"),
        ("project-summary", "get"),
    ],
)
def test_the_deployment_is_the_admins(deployment, name, method, rita, charlie, alice, client) -> None:
    address = reverse(f"deployment-{name}", args=["kitchen"])
    for person, status in ((rita, 403), (charlie, 404)):
        client.force_login(person)
        assert getattr(client, method)(address).status_code == status
    client.force_login(alice)
    assert getattr(client, "post" if method == "get" else "get")(address).status_code == 405


def test_the_summary_is_a_piece_for_the_home_page(deployment, alice, sign_in) -> None:
    address = reverse("deployment-project-summary", args=["kitchen"])
    piece = sign_in(alice).get(address, HTTP_HX_REQUEST="true").content.decode()
    assert "smollm2-135m-instruct" in piece
    assert "Run a cycle" in piece
    assert "<html" not in piece
