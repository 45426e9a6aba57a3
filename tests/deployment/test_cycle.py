"""One turn of the loop. Only the child processes are stood in for: what they leave behind is written by the tests."""

import json

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from deployment.actions.cycle import advance_cycle, cancel_cycle, start_cycle
from deployment.actions.errors import CycleAtWork, CycleEnded
from deployment.actions.release import deploy_model
from deployment.management.commands import run_cycle
from deployment.models import Cycle, Deployment
from deployment.states import CycleState, StopCode
from labeling.actions.retraction import retract_example
from labeling.models import Case, Example
from labeling.states import CaseState
from tests.deployment.conftest import make_model
from tests.deployment.test_release import corrected, result
from tests.factories import DatasetVersionFactory
from training.models import Evaluation, Job, TunedModel
from training.queries.continuing import can_continue
from training.states import EvaluationState, JobState

pytestmark = pytest.mark.django_db
BEFORE = {"n_cases": 1, "efficacy": 0.0, "stop_rate": 1.0, "unrelated_loss": 2.0, "n_unrelated": 4}
AFTER = BEFORE | {"efficacy": 1.0, "generalisation": 1.0, "n_probes": 2, "unrelated_loss": 2.02}


@pytest.fixture
def case(project, rita, deployment) -> Case:
    return corrected(project, rita, 1)


def train(job: Job) -> None:
    """Leave what a successful training leaves."""
    now = timezone.now()
    location = f"runs/{job.key}/model"
    model = TunedModel.objects.create(
        project=job.project, name=f"ft:{job.key}", base_model=job.base_model, job=job, location=location
    )
    model.folder.mkdir(parents=True)
    (model.folder / "config.json").write_text("{}")
    done = {"state": JobState.SUCCEEDED, "started_at": now, "finished_at": now, "result": {"recipe": "corrections"}}
    Job.objects.filter(pk=job.pk).update(tuned_model=model, **done)
    job.refresh_from_db()


def measure(evaluation: Evaluation, metrics=None) -> None:
    """Leave what a successful evaluation leaves."""
    metrics = metrics or (AFTER if evaluation.tuned_model else BEFORE)
    Evaluation.objects.filter(pk=evaluation.pk).update(state=EvaluationState.SUCCEEDED, metrics=metrics)
    evaluation.refresh_from_db()
    for case in Case.objects.filter(test__isnull=False):
        result(evaluation, case, bool(metrics["efficacy"]), *[True] * (2 if evaluation.has_probes else 0))


def walk(cycle: Cycle, **metrics) -> None:
    """Take the cycle from its start to its decision."""
    assert advance_cycle(cycle=cycle)
    train(cycle.job)
    assert advance_cycle(cycle=cycle)
    measure(cycle.evaluation.baseline)
    measure(cycle.evaluation, **metrics)
    assert advance_cycle(cycle=cycle)


def test_the_whole_walk_to_a_deployed_model(engine, case, project, alice, nudges) -> None:
    cycle = start_cycle(project=project, by=alice)
    assert advance_cycle(cycle=cycle)
    case.refresh_from_db()
    assert (cycle.state, case.state) == (CycleState.TRAINING, CaseState.IN_TRAINING)
    assert cycle.job.dataset_version == cycle.dataset_version
    assert cycle.job.base_model == Deployment.objects.get().base_model
    baseline = Evaluation.objects.get()
    assert (baseline.tuned_model, baseline.has_probes) == (None, False)

    assert not advance_cycle(cycle=cycle)
    train(cycle.job)
    assert advance_cycle(cycle=cycle)
    assert cycle.state == CycleState.EVALUATING
    assert cycle.evaluation.tuned_model == cycle.job.tuned_model
    assert (cycle.evaluation.baseline, cycle.evaluation.has_probes) == (baseline, True)

    TunedModel.objects.create(  # somebody makes a checkpoint of the job a model too
        project=project,
        name=f"{cycle.job.tuned_model}:ckpt-step-5",
        base_model=cycle.job.base_model,
        job=cycle.job,
        location="runs/x/step-5/model",
    )
    measure(cycle.evaluation)
    assert not advance_cycle(cycle=cycle)
    measure(baseline)
    assert advance_cycle(cycle=cycle)
    assert cycle.state == CycleState.PROMOTED
    assert Deployment.objects.get().live_model == cycle.job.tuned_model == cycle.change.to_model
    case.refresh_from_db()
    assert (case.state, case.fixed_in) == (CaseState.FIXED, cycle.job.tuned_model.name)
    numbers = {"efficacy_before": 0.0, "efficacy_after": 1.0, "generalisation_after": 1.0, "stop_rate": 1.0}
    numbers |= {"dataset_version": 1, "n_examples": 1, "deployed": True, "model": cycle.job.tuned_model.name}
    assert numbers.items() <= cycle.summary.items()
    assert cycle.summary["specificity_drift"] == pytest.approx(0.01)
    assert not advance_cycle(cycle=cycle)


def test_the_next_cycle_goes_on_from_the_live_model_while_its_rows_stand(engine, case, project, rita) -> None:
    first = start_cycle(project=project)
    walk(first)
    corrected(project, rita, 2)
    second = start_cycle(project=project)
    walk(second)
    assert second.job.parent == first.job.tuned_model
    rows = [json.loads(line) for line in (second.job.run_dir / "train.jsonl").read_text().splitlines()]
    assert sorted(row["is_new"] for row in rows) == [False, True]
    config = json.loads((second.job.run_dir / "config.json").read_text())
    assert (config["base"], config["reference"]) == (
        str(first.job.tuned_model.folder),
        str(first.job.base_model.folder),
    )

    retract_example(example=Example.objects.get(correction=case.test.correction), by=None, reason="wrong after all")
    corrected(project, rita, 3)
    third = start_cycle(project=project)
    assert advance_cycle(cycle=third)
    assert third.job.parent is None  # the live model has learnt what was taken back


def test_a_second_job_on_a_version_and_a_long_line_of_models_begin_anew(engine, case, project, rita) -> None:
    walk(start_cycle(project=project))
    live = Deployment.objects.get().live_model
    version = live.job.dataset_version
    assert not can_continue(live, version=version)
    Job.objects.filter(pk=live.job.pk).update(dataset_version=DatasetVersionFactory(project=project, number=7))
    live = TunedModel.objects.get(pk=live.pk)
    assert can_continue(live, version=version)
    Job.objects.filter(pk=live.job.pk).update(parent=live)  # a line without an end
    assert not can_continue(TunedModel.objects.get(pk=live.pk), version=version)


def test_a_candidate_that_fails_the_gate_is_not_deployed(case, project) -> None:
    cycle = start_cycle(project=project)
    walk(cycle, metrics=AFTER | {"unrelated_loss": 3.0})
    assert (cycle.state, cycle.summary["stop_code"]) == (CycleState.STOPPED, StopCode.GATE)
    assert "unrelated prompts" in cycle.stop_reason
    assert Deployment.objects.get().live_model is None
    case.refresh_from_db()
    assert case.state == CaseState.CORRECTED


def test_nothing_new_stops_before_any_training(engine, case, project) -> None:
    walk(start_cycle(project=project))
    again = start_cycle(project=project)
    assert advance_cycle(cycle=again)
    assert (again.state, again.summary["stop_code"]) == (CycleState.STOPPED, StopCode.NOTHING_NEW)
    assert Job.objects.count() == 1


def test_no_example_at_all_is_nothing_new(deployment, project) -> None:
    cycle = start_cycle(project=project)
    advance_cycle(cycle=cycle)
    assert cycle.summary["stop_code"] == StopCode.NOTHING_NEW
    assert cycle.stop_reason


def test_weights_that_are_not_there_stop_the_cycle_with_a_sentence(case, project, base_model) -> None:
    (base_model.folder / "config.json").unlink()
    cycle = start_cycle(project=project)
    advance_cycle(cycle=cycle)
    assert (cycle.summary["stop_code"], cycle.state) == (StopCode.REFUSED, CycleState.STOPPED)
    assert "weights" in cycle.stop_reason


@pytest.mark.parametrize(
    ("state", "code"), [(JobState.FAILED, StopCode.JOB_FAILED), (JobState.CANCELLED, StopCode.JOB_CANCELLED)]
)
def test_a_job_that_ends_badly_stops_the_cycle_and_returns_its_cases(case, project, state, code) -> None:
    cycle = start_cycle(project=project)
    advance_cycle(cycle=cycle)
    Job.objects.update(state=state, error="The disk is full.")
    advance_cycle(cycle=cycle)
    assert (cycle.state, cycle.summary["stop_code"]) == (CycleState.STOPPED, code)
    case.refresh_from_db()
    assert case.state == CaseState.CORRECTED


def test_an_evaluation_that_fails_stops_the_cycle(case, project) -> None:
    cycle = start_cycle(project=project)
    advance_cycle(cycle=cycle)
    train(cycle.job)
    advance_cycle(cycle=cycle)
    Evaluation.objects.filter(pk=cycle.evaluation.baseline_id).update(state=EvaluationState.FAILED, error="no memory")
    advance_cycle(cycle=cycle)
    assert (cycle.summary["stop_code"], cycle.stop_reason) == (StopCode.EVALUATION_FAILED, "no memory")


def test_a_model_that_the_engine_cannot_load_leaves_what_is_live(engine, case, project) -> None:
    engine.refuse_load = (507, "no memory left")
    cycle = start_cycle(project=project)
    walk(cycle)
    assert cycle.summary["stop_code"] == StopCode.NOT_DEPLOYED
    assert Deployment.objects.get().live_model is None


def test_a_deployment_that_changed_meanwhile_is_left_alone(case, project, deployment) -> None:
    cycle = start_cycle(project=project)
    advance_cycle(cycle=cycle)
    train(cycle.job)
    advance_cycle(cycle=cycle)
    other = make_model(project)
    deploy_model(deployment=Deployment.objects.get(), model=other, reason="by hand")
    measure(cycle.evaluation.baseline)
    measure(cycle.evaluation)
    advance_cycle(cycle=cycle)
    assert cycle.summary["stop_code"] == StopCode.NOT_DEPLOYED
    assert Deployment.objects.get().live_model == other


def test_stale_holders_take_each_step_once(engine, case, project) -> None:
    """Every step is tried again by a holder that still sees the state before it: one job, one change."""
    cycle = start_cycle(project=project)

    def step() -> None:
        stale = Cycle.objects.get()
        advance_cycle(cycle=cycle)
        stale_state = stale.state
        advance_cycle(cycle=stale)
        assert stale_state != stale.state == cycle.state

    step()
    train(cycle.job)
    step()
    measure(cycle.evaluation.baseline)
    measure(cycle.evaluation)
    step()
    assert Job.objects.count() == 1
    assert Evaluation.objects.count() == 2
    assert Deployment.objects.get().changes.count() == 2


def test_killed_between_the_switch_and_the_note_it_is_noted_later(engine, case, project) -> None:
    cycle = start_cycle(project=project)
    walk(cycle)
    Cycle.objects.update(state=CycleState.EVALUATING, change=None, ended_at=None)
    cycle.refresh_from_db()
    assert advance_cycle(cycle=cycle)
    assert (cycle.state, cycle.change.to_model) == (CycleState.PROMOTED, cycle.job.tuned_model)
    assert Deployment.objects.get().changes.count() == 2


def test_one_cycle_at_a_time(case, project) -> None:
    cycle = start_cycle(project=project)
    with pytest.raises(CycleAtWork) as caught:
        start_cycle(project=project)
    assert caught.value.cycle == cycle
    cancel_cycle(cycle=cycle)
    assert start_cycle(project=project).number == 2


def test_stopping_a_cycle_cancels_its_job(case, project, alice) -> None:
    cycle = start_cycle(project=project)
    advance_cycle(cycle=cycle)
    cancel_cycle(cycle=cycle, by=alice)
    assert cycle.summary["stop_code"] == StopCode.CANCELLED
    assert Job.objects.get().state == JobState.CANCELLED
    case.refresh_from_db()
    assert case.state == CaseState.CORRECTED
    with pytest.raises(CycleEnded):
        cancel_cycle(cycle=cycle, by=alice)


def test_the_pages_tell_the_story(engine, case, project, alice, rita, charlie, client) -> None:
    addresses = {
        name: reverse(f"deployment-cycle-{name}", args=["kitchen", *args])
        for name, args in (("list", []), ("start", []), ("show", [1]), ("cancel", [1]))
    }
    client.force_login(alice)
    assert "No cycle yet" in client.get(addresses["list"]).content.decode()
    assert client.post(addresses["start"])["Location"] == addresses["show"]
    assert client.post(addresses["start"])["Location"] == addresses["show"]
    cycle = Cycle.objects.get()
    working = client.get(addresses["show"], HTTP_HX_REQUEST="true")
    assert (working.status_code, "every 2s" in working.content.decode()) == (200, True)
    walk(cycle)
    ended = client.get(addresses["show"], HTTP_HX_REQUEST="true")
    assert (ended.status_code, "every 2s" in ended.content.decode()) == (286, False)
    page = client.get(addresses["show"]).content.decode()
    assert cycle.job.tuned_model.name in page
    assert "Answers that end by themselves" in page
    assert client.post(addresses["cancel"]).status_code == 302
    assert Cycle.objects.get().state == CycleState.PROMOTED
    for name, address in addresses.items():
        method = client.post if name in ("start", "cancel") else client.get
        for person, status in ((rita, 403), (charlie, 404)):
            client.force_login(person)
            assert method(address).status_code == status


@pytest.mark.parametrize("state", CycleState.values)
def test_a_page_for_every_state(case, project, alice, sign_in, state) -> None:
    Cycle.objects.create(project=project, number=1, state=state)
    assert sign_in(alice).get(reverse("deployment-cycle-show", args=["kitchen", 1])).status_code == 200


class Hands:
    """Stands where the child processes would be started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, metrics=None) -> None:
        self.done: list[str] = []

        def evaluate(*, evaluation: Evaluation) -> None:
            self.done.append("evaluation")
            measure(evaluation, metrics=metrics if evaluation.tuned_model else None)

        def run(*, job: Job) -> None:
            self.done.append("job")
            train(job)

        monkeypatch.setattr(run_cycle, "execute_job", run)
        monkeypatch.setattr(run_cycle, "execute_evaluation", evaluate)
        monkeypatch.setattr(run_cycle, "is_gpu_worker_alive", lambda: False)


@pytest.mark.django_db(transaction=True)
def test_the_command_does_the_work_itself_where_no_worker_is(engine, case, project, monkeypatch, capsys) -> None:
    hands = Hands(monkeypatch)
    call_command("run_cycle", "--project", "kitchen", "--wait")
    output = capsys.readouterr()
    line = json.loads(output.out.splitlines()[-1])
    assert hands.done == ["job", "evaluation", "evaluation"]
    assert (line["deployed"], line["state"], line["stop_reason"]) == (True, "promoted", "")
    keys = {"dataset_version", "model", "n_examples", "train_s", "total_s", "efficacy_before", "efficacy_after"}
    assert keys | {"generalisation_after", "specificity_drift", "stop_rate"} <= set(line)
    assert "\r" not in output.err
    assert "is live" in output.err


@pytest.mark.django_db(transaction=True)
def test_the_command_ends_well_when_the_gate_says_no(case, project, monkeypatch, capsys) -> None:
    Hands(monkeypatch, metrics=AFTER | {"efficacy": 0.1})
    call_command("run_cycle", "--project", "kitchen", "--wait")
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["deployed"], line["state"]) == (False, "stopped")
    assert "did not pass the gate" in line["stop_reason"]


@pytest.mark.django_db(transaction=True)
def test_the_command_fails_when_the_training_fails(case, project, monkeypatch, capsys) -> None:
    Hands(monkeypatch)
    monkeypatch.setattr(
        run_cycle, "execute_job", lambda *, job: Job.objects.update(state=JobState.FAILED, error="Boom")
    )
    with pytest.raises(SystemExit) as caught:
        call_command("run_cycle", "--project", "kitchen", "--wait")
    assert caught.value.code == 1
    assert "Boom" in json.loads(capsys.readouterr().out.splitlines()[-1])["stop_reason"]


@pytest.mark.django_db(transaction=True)
def test_interrupted_in_this_process_the_cycle_is_cancelled(case, project, monkeypatch, capsys) -> None:
    Hands(monkeypatch)

    def interrupt(*, job: Job) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_cycle, "execute_job", interrupt)
    with pytest.raises(SystemExit):
        call_command("run_cycle", "--project", "kitchen", "--wait")
    assert "is cancelled" in capsys.readouterr().err
    assert Cycle.objects.get().summary["stop_code"] == StopCode.CANCELLED


@pytest.mark.django_db(transaction=True)
def test_the_command_leaves_the_work_to_a_worker(engine, case, project, monkeypatch, capsys) -> None:
    hands = Hands(monkeypatch)
    monkeypatch.setattr(run_cycle, "is_gpu_worker_alive", lambda: True)
    work = {
        CycleState.TRAINING: lambda cycle: train(cycle.job),
        CycleState.EVALUATING: lambda cycle: measure_both(cycle),
    }
    monkeypatch.setattr(run_cycle.time, "sleep", lambda seconds: work[Cycle.objects.get().state](Cycle.objects.get()))
    call_command("run_cycle", "--project", "kitchen", "--wait")
    assert hands.done == []
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["deployed"]


def measure_both(cycle: Cycle) -> None:
    measure(cycle.evaluation.baseline)
    measure(cycle.evaluation)


def test_without_waiting_the_command_only_starts(case, project, capsys, nudges) -> None:
    call_command("run_cycle", "--project", "kitchen")
    assert json.loads(capsys.readouterr().out)["state"] == "collecting"
    assert Cycle.objects.get().number == 1
