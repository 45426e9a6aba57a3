import json
import signal
from typing import Any

import pytest

from common.conversations import digest
from common.models import Transition
from labeling.models import Case, Probe, Project, RegressionTest
from labeling.states import CaseState
from tests.factories import TunedModelFactory
from tests.training.conftest import make_correction, make_demonstration
from training.actions import runner
from training.actions.composition import Composition
from training.actions.dataset import freeze_dataset
from training.actions.errors import NotPossible
from training.actions.evaluation import cancel_evaluation, execute_evaluation, request_evaluation
from training.actions.gate import judge, set_gate_limits
from training.actions.recovery import recover
from training.models import BaseModel, Evaluation, TunedModel
from training.queries import measures, passes
from training.queries.gate import gate_limits
from training.states import EvaluationState, GateRule, Suite
from training.tasks import judge_evaluation as judge_task


def make_test(project: Project, question: str, *probes: str) -> RegressionTest:
    example = make_correction(project, question)
    test = RegressionTest.objects.create(
        project=project,
        case=example.correction.case,
        correction=example.correction,
        messages=example.messages[:-1],
        chosen="It is blue.",
        rejected="It is red.",
        checks=[{"kind": "max_words", "value": 9}],
    )
    for text in probes:
        messages = [{"role": "user", "content": text}]
        Probe.objects.create(test=test, messages=messages, prompt_hash=digest(messages))
    return test


@pytest.fixture
def tuned_model(project: Project, base_model: BaseModel) -> TunedModel:
    return TunedModelFactory(project=project, job__base_model=base_model)


@pytest.fixture
def nudges(monkeypatch) -> list[int]:
    sent: list[int] = []
    monkeypatch.setattr("training.tasks.run_evaluation.delay", sent.append)
    return sent


def request(project: Project, base_model: BaseModel, **options: Any) -> Evaluation:
    return request_evaluation(project=project, base_model=base_model, **options)


def run(evaluation: Evaluation) -> Evaluation:
    execute_evaluation(evaluation=evaluation)
    evaluation.refresh_from_db()
    return evaluation


def test_the_run_directory_holds_the_suites(
    project, base_model, tuned_model, nudges, django_capture_on_commit_callbacks
):
    test = make_test(project, "What colour is the sky?", "Which colour has the sky?", "The sky's colour?")
    make_test(project, "Gone?")
    RegressionTest.objects.exclude(pk=test.pk).update(is_active=False)
    for n in range(40):
        make_demonstration(project, f"What is {n} and {n}?")
    version = freeze_dataset(project=project, composition=Composition(test_share=0.2))
    with django_capture_on_commit_callbacks(execute=True):
        evaluation = request(project, base_model, tuned_model=tuned_model, dataset_version=version)
    assert nudges == [evaluation.pk]
    assert runner.read_lines(evaluation.run_dir / "tests.jsonl") == [
        {
            "id": str(test.pk),
            "messages": [{"role": "user", "content": "What colour is the sky?"}],
            "chosen": "It is blue.",
            "rejected": "It is red.",
            "checks": [{"kind": "max_words", "value": 9}],
            "probes": [
                [{"role": "user", "content": "Which colour has the sky?"}],
                [{"role": "user", "content": "The sky's colour?"}],
            ],
        }
    ]
    for name, n_rows in (("held_out", version.n_test), ("validation", version.n_valid)):
        assert len(runner.read_lines(evaluation.run_dir / f"{name}.jsonl")) == n_rows > 0
    unrelated = runner.read_lines(evaluation.run_dir / "unrelated.jsonl")
    assert unrelated == runner.read_lines(runner.RESOURCES_DIR / "unrelated.jsonl") != []
    config = json.loads((evaluation.run_dir / "config.json").read_text())
    assert (config["model"], config["max_tokens"], config["probes"]) == (str(tuned_model.folder), 256, True)


def test_the_same_model_and_suites_are_measured_once(project, base_model, tuned_model) -> None:
    make_test(project, "One?", "First?")
    with_probes = request(project, base_model)
    assert request(project, base_model) == with_probes
    assert request(project, base_model, has_probes=False) == with_probes
    assert request(project, base_model, tuned_model=tuned_model) != with_probes
    make_test(project, "Two?")
    assert request(project, base_model) != with_probes


def test_without_probes_does_not_serve_who_asks_for_them(project, base_model) -> None:
    make_test(project, "One?", "First?")
    plain = request(project, base_model, has_probes=False)
    assert request(project, base_model, has_probes=True) != plain


@pytest.mark.parametrize("state", [EvaluationState.FAILED, EvaluationState.CANCELLED])
def test_one_that_came_to_nothing_is_done_again(project, base_model, state) -> None:
    first = request(project, base_model)
    Evaluation.objects.filter(pk=first.pk).update(state=state)
    assert request(project, base_model) != first


def test_outcomes_are_kept_and_the_gate_judged(project, base_model, tuned_model, trainer) -> None:
    trainer("succeed")
    test = make_test(project, "What colour is the sky?", "Which colour has the sky?")
    before = request(project, base_model)
    after = request(project, base_model, tuned_model=tuned_model, baseline=before)
    run(after)
    assert (after.state, after.gate, passes(after)) == (EvaluationState.SUCCEEDED, [], False)
    run(before)
    after.refresh_from_db()
    result = after.results.get(suite=Suite.REGRESSION)
    assert (result.test, result.row_id, result.answer, result.is_right) == (test, str(test.pk), "Blue.", True)
    assert result.messages == test.messages
    assert (result.data["chosen"], result.data["rejected"]) == ("It is blue.", "It is red.")
    probe = after.results.get(suite=Suite.PROBE)
    assert (probe.probe, probe.messages[0]["content"]) == (0, "Which colour has the sky?")
    assert (after.n_done, after.n_total) == (2, 2)
    found = measures(after)
    assert (found["efficacy_before"], found["efficacy_after"], found["generalisation_after"]) == (0.0, 1.0, 1.0)
    assert found["specificity_drift"] == pytest.approx(0.01)
    assert {rule["name"]: rule["passed"] for rule in after.gate} == dict.fromkeys(
        ["efficacy", "not_lower", "broken", "forgotten", "generalisation", "stop_rate", "drift", "base_drift"], True
    )
    assert passes(after)


def test_a_baseline_named_later_is_judged_by_a_worker(
    project, base_model, tuned_model, trainer, monkeypatch, django_capture_on_commit_callbacks
) -> None:
    sent: list[int] = []
    monkeypatch.setattr("training.tasks.judge_evaluation.delay", sent.append)
    trainer("succeed")
    make_test(project, "One?")
    before, after = run(request(project, base_model)), run(request(project, base_model, tuned_model=tuned_model))
    assert after.gate == []
    with django_capture_on_commit_callbacks(execute=True):
        assert not passes(request(project, base_model, tuned_model=tuned_model, baseline=before))
    assert sent == [after.pk]
    judge_task(after.pk)
    after.refresh_from_db()
    assert passes(after)


def test_a_lost_message_to_judge_is_made_up_for(project, base_model, tuned_model, trainer) -> None:
    trainer("succeed")
    make_test(project, "One?")
    before, after = run(request(project, base_model)), run(request(project, base_model, tuned_model=tuned_model))
    Evaluation.objects.filter(pk=after.pk).update(baseline=before)
    recover()
    after.refresh_from_db()
    assert passes(after)


def test_running_it_again_after_a_crash_replaces_the_outcomes(project, base_model, trainer) -> None:
    trainer("succeed")
    make_test(project, "One?", "First?")
    evaluation = run(request(project, base_model))
    Evaluation.objects.filter(pk=evaluation.pk).update(state=EvaluationState.QUEUED)
    evaluation.refresh_from_db()
    run(evaluation)
    assert evaluation.results.count() == 2
    assert evaluation.n_attempts == 2


def test_a_failure_is_told(project, base_model, trainer) -> None:
    trainer("data")
    evaluation = run(request(project, base_model))
    assert (evaluation.state, evaluation.error) == (EvaluationState.FAILED, "Row 3 is empty.")


def test_cancelling(project, base_model, trainer, while_running) -> None:
    trainer("wait")
    evaluation = request(project, base_model)
    children = while_running(lambda: cancel_evaluation(evaluation=Evaluation.objects.get(pk=evaluation.pk)))
    run(evaluation)
    assert evaluation.state == EvaluationState.CANCELLED
    assert children[0].exit_code == -signal.SIGKILL
    with pytest.raises(NotPossible):
        cancel_evaluation(evaluation=evaluation)
    waiting = request(project, base_model)
    assert waiting != evaluation
    cancel_evaluation(evaluation=waiting)
    assert waiting.state == EvaluationState.CANCELLED


GOOD = {
    "n_cases": 20,
    "efficacy": 0.95,
    "n_probes": 20,
    "generalisation": 0.8,
    "stop_rate": 0.99,
    "unrelated_loss": 2.05,
}


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({}, set()),
        ({"efficacy": 0.89}, {"efficacy"}),
        ({"generalisation": 0.79}, {"generalisation"}),
        ({"stop_rate": 0.98}, {"stop_rate"}),
        ({"unrelated_loss": 2.07}, {"drift"}),
        ({"unrelated_loss": 1.0}, set()),
    ],
)
def test_each_rule_of_the_gate(project, base_model, tuned_model, change, failed) -> None:
    baseline = request(project, base_model)
    baseline.metrics = {"efficacy": 0.3, "unrelated_loss": 2.0}
    baseline.save()
    candidate = request(project, base_model, tuned_model=tuned_model)
    candidate.metrics = GOOD | change
    candidate.save()
    rules = judge(candidate=candidate, baseline=baseline)
    assert {rule["name"] for rule in rules if not rule["passed"]} == failed


def test_small_steps_away_from_the_base_model_add_up(project, base_model, tuned_model) -> None:
    base = request(project, base_model)
    base.metrics, base.state = {"unrelated_loss": 2.0, "n_unrelated": 60}, EvaluationState.SUCCEEDED
    base.save()
    live = request(project, base_model, tuned_model=tuned_model)
    live.metrics = {"unrelated_loss": 2.09}
    candidate = request(project, base_model, tuned_model=TunedModelFactory(project=project, job__base_model=base_model))
    candidate.metrics = {"unrelated_loss": 2.12, "n_unrelated": 60}
    rules = {rule["name"]: rule for rule in judge(candidate=candidate, baseline=live)}
    assert (rules["drift"]["passed"], rules["base_drift"]["passed"]) == (True, False)
    assert rules["base_drift"]["value"] == pytest.approx(0.06)
    candidate.metrics["n_unrelated"] = 61  # other prompts
    assert "base_drift" not in {rule["name"] for rule in judge(candidate=candidate, baseline=live)}


def test_a_live_model_that_is_better_holds_the_candidate_back(project, base_model, tuned_model) -> None:
    baseline = request(project, base_model)
    baseline.metrics = GOOD | {"efficacy": 1.0}
    baseline.save()
    candidate = request(project, base_model, tuned_model=tuned_model)
    candidate.metrics = GOOD
    candidate.save()
    for n in range(20):
        test = {"suite": Suite.REGRESSION, "row_id": str(n)}
        baseline.results.create(**test, is_right=True)
        candidate.results.create(**test, is_right=n >= 2)
    rules = {rule["name"]: rule for rule in judge(candidate=candidate, baseline=baseline)}
    not_lower, broken = rules["not_lower"], rules["broken"]
    assert (not_lower["passed"], not_lower["threshold"]) == (False, 0)
    assert not_lower["value"] == pytest.approx(-0.05)
    assert (broken["passed"], broken["value"], broken["threshold"]) == (False, 0.1, 0.05)
    assert 0 < broken["low"] < 0.05 < 0.1 < broken["high"] < 0.35
    efficacy = candidate.comparison["measures"]["efficacy"]
    assert (efficacy["n_lost"], efficacy["n_gained"], efficacy["p"]) == (2, 0, 0.5)
    assert efficacy["difference"]["value"] == pytest.approx(-0.1)


def test_a_case_that_was_fixed_and_is_wrong_again_refuses(project, base_model, tuned_model) -> None:
    tests = [make_test(project, f"{n}?") for n in range(3)]
    for test in tests[:2]:
        Case.objects.filter(pk=test.case_id).update(state=CaseState.FIXED)
    baseline = request(project, base_model)
    candidate = request(project, base_model, tuned_model=tuned_model)
    candidate.metrics = GOOD
    for test, is_right in zip(tests, (True, False, False), strict=True):
        candidate.results.create(suite=Suite.REGRESSION, row_id=str(test.pk), test=test, is_right=is_right)
    rules = {rule["name"]: rule for rule in judge(candidate=candidate, baseline=baseline)}
    forgotten = rules["forgotten"]
    assert (forgotten["passed"], forgotten["value"], forgotten["cases"]) == (False, 1, [tests[1].case_id])


def test_a_project_sets_its_own_limits(project, base_model, tuned_model, alice) -> None:
    set_gate_limits(project=project, limits={"efficacy": 0.97, "drift": None, "held_out": 0.1}, by=alice)
    baseline = request(project, base_model)
    candidate = request(project, base_model, tuned_model=tuned_model)
    baseline.metrics, candidate.metrics = GOOD | {"held_out_loss": 2.0}, GOOD | {"held_out_loss": 2.3}
    rules = {rule["name"]: rule["passed"] for rule in judge(candidate=candidate, baseline=baseline)}
    assert (rules["efficacy"], rules["held_out"], "drift" in rules) == (False, False, False)
    told = Transition.objects.filter(what="gate: drift").get()
    assert (told.before, told.after, told.by_name) == ("0.03", "off", str(alice))
    assert gate_limits(project)[GateRule.STOP_RATE] == 0.99


def test_what_was_not_measured_is_not_judged(project, base_model, tuned_model) -> None:
    baseline = request(project, base_model)
    candidate = request(project, base_model, tuned_model=tuned_model)
    assert judge(candidate=candidate, baseline=baseline) == []
    assert not passes(candidate)
