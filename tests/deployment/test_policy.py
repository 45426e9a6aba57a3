"""Cycles that start by themselves."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from deployment.actions.cycle import advance_cycle
from deployment.actions.policy import set_policy, start_due_cycles
from deployment.models import Cycle, CyclePolicy
from deployment.queries.policy import next_time
from deployment.states import CycleState, Reach, SkipCode, Stage, StopCode, Trigger
from tests.deployment.test_cycle import case, measure, train  # noqa: F401 - a fixture
from tests.factories import ExampleFactory

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
