from typing import Any

import pytest
from django.urls import reverse

from labeling.models import RegressionTest
from tests.factories import TunedModelFactory
from tests.training.test_evaluation_actions import make_test
from training.actions.evaluation import execute_evaluation, request_evaluation
from training.models import Evaluation, TunedModel
from training.queries.gate import gate_limits
from training.states import EvaluationState, GateRule

HTMX = {"HTTP_HX_REQUEST": "true"}


def url(name: str, evaluation: Evaluation | None = None) -> str:
    return reverse(f"training-evaluation-{name}", args=["kitchen", *([evaluation.key] if evaluation else [])])


@pytest.fixture
def tuned_model(project, base_model) -> TunedModel:
    return TunedModelFactory(project=project, job__base_model=base_model)


@pytest.fixture
def tests(project) -> list[RegressionTest]:
    return [make_test(project, f"What colour is {thing}?", f"The colour of {thing}?") for thing in ("sky", "grass")]


@pytest.fixture
def evaluation(project, base_model, tuned_model, tests) -> Evaluation:
    baseline = request_evaluation(project=project, base_model=base_model)
    return request_evaluation(project=project, base_model=base_model, tuned_model=tuned_model, baseline=baseline)


def finish(evaluation: Evaluation, trainer: Any) -> None:
    trainer("succeed")
    for row in (evaluation.baseline, evaluation):
        execute_evaluation(evaluation=row)
        row.refresh_from_db()


def test_pages_are_for_reviewers_of_the_project(sign_in, evaluation, bob, charlie, rita) -> None:
    for address in (url("list"), url("show", evaluation)):
        assert sign_in(charlie).get(address).status_code == 404
        assert sign_in(bob).get(address).status_code == 403
        assert sign_in(rita).get(address).status_code == 200
        assert sign_in(rita).post(address).status_code == 405


@pytest.mark.parametrize("name", ["create", "cancel"])
def test_buttons_are_for_admins_and_posts_only(sign_in, evaluation, alice, rita, charlie, name) -> None:
    address = url(name, evaluation if name == "cancel" else None)
    assert sign_in(charlie).post(address).status_code == 404
    assert sign_in(rita).post(address).status_code == 403
    assert sign_in(alice).get(address).status_code == 405
    evaluation.refresh_from_db()
    assert evaluation.state == EvaluationState.QUEUED


def test_a_model_is_measured_against_its_base_model(sign_in, alice, tuned_model, tests) -> None:
    response = sign_in(alice).post(url("create"), {"model": tuned_model.name})
    evaluation = Evaluation.objects.get(tuned_model=tuned_model)
    assert response["Location"] == url("show", evaluation)
    assert evaluation.baseline.tuned_model is None
    other = TunedModelFactory()
    assert sign_in(alice).post(url("create"), {"model": other.name}).status_code == 404


def test_cancelling(sign_in, alice, evaluation) -> None:
    client = sign_in(alice)
    client.post(url("cancel", evaluation))
    evaluation.refresh_from_db()
    assert evaluation.state == EvaluationState.CANCELLED
    response = client.post(url("cancel", evaluation), follow=True)
    assert "The evaluation has already ended." in response.content.decode()


def test_progress_is_asked_for_until_there_is_a_result(sign_in, rita, evaluation, trainer) -> None:
    client = sign_in(rita)
    Evaluation.objects.filter(pk=evaluation.pk).update(state=EvaluationState.RUNNING, n_done=3, n_total=8)
    response = client.get(url("show", evaluation), **HTMX)
    assert response.status_code == 200
    assert "3 of 8 prompts" in response.content.decode()
    assert 'hx-trigger="every 2s"' in response.content.decode()
    Evaluation.objects.filter(pk=evaluation.pk).update(state=EvaluationState.QUEUED)
    evaluation.refresh_from_db()
    finish(evaluation, trainer)
    response = client.get(url("show", evaluation), **HTMX)
    text = response.content.decode()
    assert response.status_code == 286
    assert "every 2s" not in text
    assert "<html" not in text
    assert "The candidate passes every rule of the gate" in text


def test_a_candidate_that_waits_for_the_live_model_says_so_and_asks_on(sign_in, rita, evaluation, trainer) -> None:
    trainer("succeed")
    execute_evaluation(evaluation=evaluation)
    response = sign_in(rita).get(url("show", evaluation), **HTMX)
    assert response.status_code == 200
    assert "the live model, for the comparison, is not yet" in response.content.decode()


def test_the_result_shows_verdict_measures_and_cases(sign_in, rita, evaluation, trainer) -> None:
    finish(evaluation, trainer)
    client = sign_in(rita)
    text = client.get(url("show", evaluation)).content.decode()
    for shown in (
        "Efficacy",
        "cases answered right",
        "100\N{NO-BREAK SPACE}%",
        "1.0\N{NO-BREAK SPACE}%",
        "It is blue.",
        "It is red.",
        "What colour is sky?",
        ">Before",
    ):
        assert shown in text
    response = client.get(url("show", evaluation) + "?cases=fixed", **HTMX)
    assert response.status_code == 200
    assert response.content.decode().count("<article") == 2
    response = client.get(url("show", evaluation) + "?cases=broken", **HTMX)
    assert "No case of this kind." in response.content.decode()
    assert "Measures" not in response.content.decode()


def test_a_candidate_that_is_held_back_shows_which_rule_and_why_a_case_is_wrong(
    sign_in, rita, evaluation, trainer
) -> None:
    finish(evaluation, trainer)
    result = evaluation.results.filter(suite="regression").order_by("pk").first()
    result.is_right = False
    result.data |= {"logprob_chosen": -2, "logprob_rejected": -1, "chrf_chosen": 50, "chrf_rejected": 20}
    result.save()
    evaluation.gate = [{"name": "efficacy", "passed": False, "value": 0.5, "threshold": 0.9}]
    evaluation.save()
    text = sign_in(rita).get(url("show", evaluation)).content.decode()
    assert "The candidate is held back by 1 rule of the gate." in text
    assert "The wrong output is still as likely as the correction, or likelier." in text
    assert "The answer reads no closer" not in text
    assert "Still wrong" in text


def test_an_evaluation_by_itself_has_no_live_column(sign_in, rita, evaluation, trainer) -> None:
    finish(evaluation, trainer)
    text = sign_in(rita).get(url("show", evaluation.baseline)).content.decode()
    assert "there is no model to compare it with" in text
    assert ">Before" not in text


def test_a_failed_one_tells_its_error(sign_in, rita, evaluation, trainer) -> None:
    trainer("data")
    execute_evaluation(evaluation=evaluation)
    response = sign_in(rita).get(url("show", evaluation), **HTMX)
    assert response.status_code == 286
    assert "Row 3 is empty." in response.content.decode()


def test_the_list_asks_as_much_for_many_as_for_few(
    sign_in, rita, project, base_model, evaluation, trainer, count_queries
) -> None:
    finish(evaluation, trainer)
    client = sign_in(rita)
    _response, n_queries = count_queries(lambda: client.get(url("list")))
    for _ in range(2):
        model = TunedModelFactory(project=project, job__base_model=base_model)
        request_evaluation(project=project, base_model=base_model, tuned_model=model, baseline=evaluation.baseline)
    response, n_queries_of_more = count_queries(lambda: client.get(url("list")))
    assert n_queries_of_more == n_queries
    text = response.content.decode()
    assert "Passes" in text
    assert "Measured" in text
    assert "Queued" in text


def test_cases_cost_no_query_each(sign_in, rita, project, evaluation, trainer, count_queries) -> None:
    finish(evaluation, trainer)
    client = sign_in(rita)
    _response, of_two = count_queries(lambda: client.get(url("show", evaluation)))
    _response, of_none = count_queries(lambda: client.get(url("show", evaluation) + "?cases=broken"))
    assert of_two == of_none


def test_a_case_whose_probes_fail_is_not_fixed(sign_in, rita, evaluation, trainer) -> None:
    finish(evaluation, trainer)
    evaluation.results.filter(suite="probe").update(is_right=False)
    client = sign_in(rita)
    fixed = client.get(url("show", evaluation) + "?cases=fixed", **HTMX).content.decode()
    assert "No case of this kind." in fixed
    text = client.get(url("show", evaluation) + "?cases=still_wrong", **HTMX).content.decode()
    assert text.count("<article") == text.count("Fewer than half of its probes are right.") == 2


def test_the_report_is_sent_as_a_file(sign_in, rita, evaluation, trainer) -> None:
    finish(evaluation, trainer)
    client = sign_in(rita)
    lines = client.get(url("download", evaluation)).content.decode("utf-8-sig").splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("group,case,prompt")
    assert lines[1].startswith("fixed,")
    report = client.get(url("download", evaluation) + "?format=json").json()
    assert (report["passes"], len(report["cases"]), report["cases"][0]["group"]) == (True, 2, "fixed")
    assert report["intervals"]["efficacy"]["after"]["value"] == 1.0


def test_the_report_card_lists_models_that_were_not_measured_too(
    sign_in, rita, project, base_model, evaluation, trainer
):
    finish(evaluation, trainer)
    other = TunedModelFactory(project=project, job__base_model=base_model)
    text = sign_in(rita).get(url("card")).content.decode()
    assert evaluation.tuned_model.name in text
    assert other.name in text
    assert "not measured" in text
    assert "Passes" in text


def test_the_gate_is_set_in_percent_and_an_empty_field_switches_a_rule_off(sign_in, alice, project) -> None:
    client, address = sign_in(alice), reverse("training-gate-edit", args=["kitchen"])
    response = client.post(address, {"efficacy": "95", "forgotten": "2", "drift": ""})
    assert response.status_code == 302
    limits = gate_limits(project)
    assert (limits[GateRule.EFFICACY], limits[GateRule.FORGOTTEN], limits[GateRule.DRIFT]) == (0.95, 2, None)
    assert 'value="95"' in client.get(address).content.decode()
    response = client.post(address, {"efficacy": "101"}, **HTMX)
    assert response.status_code == 422
    assert gate_limits(project) == limits
