"""Cycles that start by themselves."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from deployment.actions.cycle import advance_cycle, start_cycle
from deployment.actions.policy import set_policy, start_due_cycles
from deployment.models import Cycle, CyclePolicy
from deployment.queries.policy import next_time
from deployment.queries.replay import can_choose_replay
from deployment.states import CycleState, Reach, SkipCode, Stage, StopCode, Trigger
from tests.deployment.test_cycle import case, measure, train  # noqa: F401 - a fixture
from tests.deployment.test_release import corrected, evaluate
from tests.factories import ExampleFactory, JobFactory, TunedModelFactory
from training.actions.composition import Composition
from training.actions.dataset import freeze_dataset
from training.actions.preset import save_preset
from training.models import BaseModel, Job
from training.states import JobState, RowKind

pytestmark = pytest.mark.django_db
DAILY = "0 3 * * *"


@pytest.fixture(autouse=True)
def _nobody_works(monkeypatch) -> None:
    monkeypatch.setattr("deployment.tasks.advance.delay", lambda *args: None)


def let_it_be_due() -> None:
    CyclePolicy.objects.update(looked_at=timezone.now() - timedelta(days=2))


def skip_of(project) -> str:
    return CyclePolicy.objects.get(project=project).skip["code"]


def test_a_schedule_is_read_as_cron_is() -> None:
    monday = timezone.now().replace(year=2026, month=11, day=23, hour=4, minute=10, second=5)
    assert (next_time("0 3 * * *", after=monday) - monday).total_seconds() // 3600 == 22
    assert next_time("30 4 * * 1", after=monday).minute == 30
    for nonsense in ("soon", "61 * * * *", "0 3 * *", "0 3 * * someday", "0 3 31 2 *"):
        with pytest.raises(ValueError, match=re.escape(nonsense)):
            next_time(nonsense, after=monday)


def test_so_many_new_examples_start_one_cycle(project) -> None:
    set_policy(project=project, at_count=2)
    ExampleFactory(project=project)
    assert start_due_cycles() == []
    ExampleFactory(project=project)
    (cycle,) = start_due_cycles()
    assert (cycle.trigger, cycle.started_by) == (Trigger.COUNT, None)
    cycle.state = CycleState.STOPPED
    cycle.save()
    assert start_due_cycles() == [], "one that was refused does not come again at once"
    Cycle.objects.update(started_at=timezone.now() - timedelta(hours=2))
    assert len(start_due_cycles()) == 1


def test_the_schedule_starts_a_cycle_once_each_time(project) -> None:
    ExampleFactory(project=project)
    set_policy(project=project, cron=DAILY)
    assert start_due_cycles() == [], "nothing before it was set is made up for"
    let_it_be_due()
    (cycle,) = start_due_cycles()
    assert cycle.trigger == Trigger.SCHEDULE
    assert start_due_cycles() == []


def test_a_skipped_cycle_says_why(project, sign_in, alice) -> None:
    set_policy(project=project, cron=DAILY, at_least=5)
    ExampleFactory(project=project)
    let_it_be_due()
    assert start_due_cycles() == []
    assert skip_of(project) == SkipCode.TOO_FEW
    page = sign_in(alice).get(reverse("deployment-cycle-list", args=[project.slug])).content.decode()
    assert "1 example was new, 5 are asked for." in page

    set_policy(project=project, at_least=1, per_month=1)
    Cycle.objects.create(project=project, number=1, state=CycleState.STOPPED, trigger=Trigger.COUNT)
    let_it_be_due()
    assert start_due_cycles() == []
    assert skip_of(project) == SkipCode.BUDGET

    set_policy(project=project, per_month=None)
    Cycle.objects.create(project=project, number=2)
    let_it_be_due()
    assert start_due_cycles() == []
    assert skip_of(project) == SkipCode.AT_WORK


@pytest.mark.parametrize(
    ("reach", "code", "stage"), [("train", StopCode.HELD, ""), ("canary", StopCode.CANARY, Stage.CANARY)]
)
def test_it_goes_as_far_as_it_may(engine, case, project, deployment, reach, code, stage) -> None:  # noqa: F811
    set_policy(project=project, at_count=1, reach=reach, canary_percent=20)
    (cycle,) = start_due_cycles()
    assert cycle.reach == Reach(reach)
    advance_cycle(cycle=cycle)
    train(cycle.job)
    advance_cycle(cycle=cycle)
    measure(cycle.evaluation.baseline)
    measure(cycle.evaluation)
    assert advance_cycle(cycle=cycle)
    assert (cycle.state, cycle.summary["stop_code"]) == (CycleState.STOPPED, code)
    deployment.refresh_from_db()
    assert (deployment.live_model, deployment.stage) == (None, stage)
    assert (deployment.candidate_model == cycle.job.tuned_model) is (reach == "canary")


def test_the_page_keeps_what_is_typed_and_refuses_nonsense(project, sign_in, alice) -> None:
    client, address = sign_in(alice), reverse("deployment-cycle-policy", args=[project.slug])
    typed = {
        "at_count": "50",
        "cron": "0  3 * * 1",
        "at_least": "1",
        "per_month": "",
        "reach": "live",
        "canary_percent": "10",
    }
    assert client.post(address, typed | {"cron": "whenever"}).status_code == 422
    assert client.post(address, typed | {"at_count": "0"}).status_code == 422
    assert not CyclePolicy.objects.exists()
    assert client.post(address, typed).status_code == 302
    policy = CyclePolicy.objects.get()
    assert (policy.at_count, policy.cron, policy.per_month) == (50, "0 3 * * 1", None)
    assert "with 50 new examples" in client.get(reverse("deployment-cycle-list", args=[project.slug])).content.decode()
    assert 'value="50"' in client.get(address).content.decode()


def test_a_cycle_learns_by_the_rules_of_a_version_and_counts_only_what_they_take(engine, case, project) -> None:  # noqa: F811
    demonstration = ExampleFactory(project=project)
    rules = freeze_dataset(project=project, composition=Composition(kinds=(RowKind.CORRECTION,)))
    set_policy(project=project, at_count=1, rules_of=rules)
    assert start_due_cycles() == [], "the version of the rules holds the only correction already"
    corrected(project, demonstration.author, 2)
    (cycle,) = start_due_cycles()
    assert advance_cycle(cycle=cycle)
    assert set(cycle.dataset_version.rows.values_list("kind", flat=True)) == {RowKind.CORRECTION}
    assert cycle.dataset_version.n_examples == 2
    assert cycle.dataset_version.composition == {"kinds": ["correction"]}


def test_a_cycle_trains_by_its_preset(engine, case, project) -> None:  # noqa: F811
    preset = save_preset(project=project, name="long", hyperparameters={"n_epochs": 30, "replay_weight": 3})
    set_policy(project=project, preset=preset)
    cycle = start_cycle(project=project)
    advance_cycle(cycle=cycle)
    assert (cycle.job.hyperparameters["n_epochs"], cycle.job.hyperparameters["replay_weight"]) == (30, 3)
    assert cycle.replay == {}, "the preset has chosen the weight"


def measured(project, number: int, *, drift: float, weight: float) -> Cycle:
    """A former cycle, of which only what the choice looks at is there."""
    result = {"recipe": "corrections", "hyperparameters": {"replay_weight": weight}}
    version = freeze_dataset(project=project)
    job = JobFactory(project=project, dataset_version=version, state=JobState.SUCCEEDED, result=result)
    evaluation = evaluate(TunedModelFactory(project=project, job=job))
    ended = {"state": CycleState.STOPPED, "summary": {"base_drift": drift}, "dataset_version": version}
    return Cycle.objects.create(project=project, number=number, job=job, evaluation=evaluation, **ended)


@pytest.mark.parametrize(
    ("drift", "former", "weight"),
    [(0.03, 1, 2), (0.02, 4, 4), (0.001, 4, 2), (-0.01, 1, 1), (0.2, 16, 16), (0.0, 1.5, 1)],
)
def test_the_drift_of_the_last_cycle_sets_the_weight_of_the_replay(
    engine,
    case,  # noqa: F811
    project,
    drift,
    former,
    weight,
) -> None:
    measured(project, 1, drift=0.04, weight=9)
    measured(project, 2, drift=drift, weight=former)
    corrected(project, case.test.correction.author, 2)
    cycle = start_cycle(project=project)
    advance_cycle(cycle=cycle)
    assert cycle.job.hyperparameters["replay_weight"] == weight
    assert cycle.replay == {"weight": weight, "former": former, "drift": drift, "limit": 0.05, "cycle": 2}


def test_nothing_is_chosen_where_the_policy_says_so_or_the_recipe_does_not_replay(
    engine,
    case,  # noqa: F811
    project,
    monkeypatch,
) -> None:
    measured(project, 1, drift=0.04, weight=1)
    corrected(project, case.test.correction.author, 2)
    version, base_model = freeze_dataset(project=project), BaseModel.objects.get()
    assert can_choose_replay(version, base_model, {})
    for chosen in ({"method": "dpo"}, {"tuning": "full"}, {"setup": {"recipe": "many_rows"}}):
        assert not can_choose_replay(version, base_model, chosen)
    assert not can_choose_replay(version, BaseModel(setup={"tuning": "full"}), {})
    set_policy(project=project, measures_replay=False)
    cycle = start_cycle(project=project)
    advance_cycle(cycle=cycle)
    assert (cycle.job.hyperparameters.get("replay_weight", "auto"), cycle.replay) == ("auto", {})


def test_a_months_money_skips_cycles_and_what_is_left_of_it_limits_the_next(project, sign_in, alice) -> None:
    former = measured_cost(project, n_tokens=3_000_000)
    set_policy(project=project, at_count=1, price_per_month=Decimal("5"), price_per_cycle=Decimal("4"))
    (cycle,) = start_due_cycles()
    assert cycle.most_price == 2
    cycle.delete()
    Job.objects.filter(pk=former.job.pk).update(result={"n_tokens": 5_000_000})
    assert start_due_cycles() == []
    assert skip_of(project) == SkipCode.PRICE
    page = sign_in(alice).get(reverse("deployment-cycle-list", args=[project.slug])).content.decode()
    assert "cost 5.00; 5.00 is the limit" in page
    Cycle.objects.update(started_at=timezone.now() - timedelta(days=31))
    (cycle,) = start_due_cycles()
    assert cycle.most_price == 4


def measured_cost(project, *, n_tokens: int) -> Cycle:
    """A former cycle, whose training cost a thousandth for each thousand tokens; and something new since."""
    ExampleFactory(project=project)
    job = JobFactory(project=project, dataset_version=freeze_dataset(project=project), result={"n_tokens": n_tokens})
    BaseModel.objects.filter(pk=job.base_model_id).update(training_price=Decimal("0.001"))
    cycle = Cycle.objects.create(project=project, number=1, job=job, state=CycleState.STOPPED)
    Cycle.objects.update(started_at=timezone.now() - timedelta(hours=2))
    ExampleFactory(project=project)
    return cycle
