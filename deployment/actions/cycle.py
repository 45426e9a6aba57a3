"""The cycle: freeze, train, evaluate, deploy if better. Rows say where it stands; anybody may take its next step."""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from common.states import move, record
from deployment import tasks
from deployment.actions.candidate import set_canary
from deployment.actions.errors import AlreadyLive, CycleAtWork, CycleEnded, ModelNotLoadable, ReleaseConflict
from deployment.actions.release import deploy_model, ensure_deployment
from deployment.models import Cycle, CyclePolicy, Deployment, DeploymentChange
from deployment.queries import cycles_at_work
from deployment.queries.policy import rules_of
from deployment.queries.replay import can_choose_replay, choose_replay
from deployment.states import CYCLE_MOVES, ChangeKind, CycleState, Reach, StopCode, Trigger
from labeling.actions.case_training import return_from_training, start_training
from labeling.models import Case, Project, User
from labeling.states import CaseState
from training.actions.dataset import freeze_dataset
from training.actions.errors import BadComposition, JobRefused, Leak, NothingToFreeze, NotPossible
from training.actions.evaluation import cancel_evaluation, request_evaluation
from training.actions.gate import judge
from training.actions.job import cancel_job, create_job
from training.models import BaseModel, DatasetVersion, Evaluation, Job, TunedModel
from training.queries import measures, passes
from training.queries.continuing import can_continue
from training.states import EvaluationState, GateRule, JobState

NUMBERS = ("efficacy_before", "efficacy_after", "generalisation_after", "specificity_drift", "base_drift")


def start_cycle(
    *,
    project: Project,
    by: User | None = None,
    trigger: Trigger = Trigger.HAND,
    reach: Reach = Reach.LIVE,
    canary_percent: int = 10,
    most_price: Decimal | None = None,
) -> Cycle:
    """Start a cycle; workers carry it through. Raises CycleAtWork, with the one that is at work already."""
    how: dict[str, Any] = {
        "trigger": trigger,
        "reach": reach,
        "canary_percent": canary_percent,
        "most_price": most_price,
    }
    number = (Cycle.objects.filter(project=project).aggregate(last=Max("number"))["last"] or 0) + 1
    try:
        with transaction.atomic():
            cycle = Cycle.objects.create(project=project, number=number, started_by=by, **how)
            record(cycle, what="cycle", after=f"cycle {number}", by=by)
            transaction.on_commit(lambda: tasks.advance.delay(cycle.pk))
    except IntegrityError as error:
        other = cycles_at_work(project).first()
        if other is None:  # it ended in just this moment
            return start_cycle(project=project, by=by, **how)
        raise CycleAtWork(_("A cycle is at work already."), cycle=other) from error
    return cycle


def advance_cycle(*, cycle: Cycle) -> bool:
    """Take the cycle's next step when what it waits for has happened; return whether it moved.

    Safe to call at any time and by several processes at once: each step looks at the rows again under a lock and moves
    the cycle together with what the step makes. `cycle` carries the new values.
    """
    before = cycle.state
    step = {
        CycleState.COLLECTING: _collect,
        CycleState.TRAINING: _watch_training,
        CycleState.EVALUATING: _watch_evaluation,
    }.get(CycleState(cycle.state))
    if step is not None:
        step(cycle)
    cycle.refresh_from_db()
    return cycle.state != before


def cancel_cycle(*, cycle: Cycle, by: User | None = None) -> None:
    """Stop a cycle that is at work, and its job and evaluation with it. Raises CycleEnded."""
    with transaction.atomic():
        row = _locked(cycle)
        if row.has_ended:
            raise CycleEnded(_("The cycle has ended already."))
        _stop(row, StopCode.CANCELLED, str(by or ""), by=by)
    cycle.refresh_from_db()
    try:
        if cycle.job is not None:
            cancel_job(job=cycle.job, by=by)
    except NotPossible:
        pass  # the training was over
    for evaluation in _evaluations_of(cycle):
        if not evaluation.has_ended:
            cancel_evaluation(evaluation=evaluation, by=by)


def _collect(cycle: Cycle) -> None:
    """Freeze what there is; when the live model has not seen all of it, start the training.

    The live model is measured on the gpu queue too: its numbers are what the new one is compared with.
    """
    with transaction.atomic():
        row = _locked(cycle)
        if row.state != CycleState.COLLECTING:
            return
        deployment = ensure_deployment(project=row.project)
        live = deployment.live_model
        known = live.job.dataset_version if live else None
        policy = CyclePolicy.objects.select_related("rules_of", "preset").filter(project=row.project).first()
        try:
            version = freeze_dataset(project=row.project, by=row.started_by, composition=rules_of(policy))
            if known is not None and known.pk == version.pk:
                _stop(row, StopCode.NOTHING_NEW, dataset_version=version)
                return
            chosen, replay = _training_of(policy, version, deployment.base_model)
            job = create_job(
                **chosen,
                dataset_version=version,
                base_model=deployment.base_model,
                suffix=row.project.slug,
                seed=version.jobs.count(),  # a second try with the same data is to be another one
                by=row.started_by,
                known_version=known,
                parent=_to_continue(deployment, version),
                most_price=row.most_price,
            )
        except NothingToFreeze as error:
            _stop(row, StopCode.NOTHING_NEW, str(error))
        except (Leak, JobRefused, BadComposition) as error:
            _stop(row, StopCode.REFUSED, str(error))
        else:
            _request_baseline(deployment, version=version, by=row.started_by)
            start_training(cases=_cases_in(version, CaseState.CORRECTED, CaseState.NOT_FIXED))
            move(row, CycleState.TRAINING, moves=CYCLE_MOVES, dataset_version=version, job=job, replay=replay)


def _training_of(
    policy: CyclePolicy | None, version: DatasetVersion, base_model: BaseModel
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return how a cycle's job is run, as `create_job` takes it, and how its replay was chosen; {} where nobody measured."""
    preset = policy.preset if policy else None
    chosen: dict[str, Any] = {}
    if preset is not None:
        chosen = {name: getattr(preset, name) for name in ("method", "tuning", "setup", "hyperparameters")}
    choice = choose_replay(version.project) if policy is None or policy.measures_replay else None
    if choice is None or not can_choose_replay(version, base_model, chosen):
        return chosen, {}
    chosen["hyperparameters"] = {**chosen.get("hyperparameters", {}), "replay_weight": choice.weight}
    return chosen, asdict(choice)


def _to_continue(deployment: Deployment, version: DatasetVersion) -> TunedModel | None:
    live = deployment.live_model
    is_same_base = live is not None and live.base_model_id == deployment.base_model_id
    return live if live and is_same_base and can_continue(live, version=version) else None


def _watch_training(cycle: Cycle) -> None:
    job = Job.objects.filter(cycles=cycle).first()
    if job is None or not job.has_ended:
        return
    with transaction.atomic():
        row = _locked(cycle)
        if row.state != CycleState.TRAINING:
            return
        if job.state == JobState.CANCELLED:
            _stop(row, StopCode.JOB_CANCELLED)
        elif job.state == JobState.FAILED:
            _stop(row, StopCode.JOB_FAILED, job.error)
        elif job.tuned_model is None:
            _stop(row, StopCode.JOB_FAILED, _("Its model is gone."))
        else:
            deployment = ensure_deployment(project=row.project)
            baseline = _request_baseline(deployment, version=row.dataset_version, by=row.started_by)
            candidate = request_evaluation(
                project=row.project,
                base_model=job.base_model,
                tuned_model=job.tuned_model,
                dataset_version=row.dataset_version,
                baseline=baseline,
                by=row.started_by,
            )
            move(row, CycleState.EVALUATING, moves=CYCLE_MOVES, evaluation=candidate)


def _watch_evaluation(cycle: Cycle) -> None:
    """Judge the candidate once both sides are measured, and deploy it when it passes.

    The engine loads the model outside of any transaction. Killed between the switch and the move, the next call finds
    the candidate live and only writes that down.
    """
    evaluations = _evaluations_of(cycle)
    failed = next((each for each in evaluations if each.has_ended and each.state != EvaluationState.SUCCEEDED), None)
    if failed is not None:
        _stop_evaluating(cycle, StopCode.EVALUATION_FAILED, failed.error)
        return
    if not evaluations or not all(each.has_ended for each in evaluations):
        return
    candidate = evaluations[0]
    if not candidate.gate and candidate.baseline is not None:
        judge(candidate=candidate, baseline=candidate.baseline)
        candidate.refresh_from_db()
    if not passes(candidate):
        _stop_evaluating(cycle, StopCode.GATE, _failed_rules(candidate))
        return
    deployment, model = ensure_deployment(project=cycle.project), candidate.tuned_model
    if model is None:
        _stop_evaluating(cycle, StopCode.NOT_DEPLOYED, _("Its model is gone."))
        return
    live_was = candidate.baseline.tuned_model_id if candidate.baseline else None
    if deployment.live_model_id not in (live_was, model.pk):
        _stop_evaluating(cycle, StopCode.NOT_DEPLOYED, _("Another model went live in the meantime."))
        return
    if cycle.reach == Reach.TRAIN:
        _stop_evaluating(cycle, StopCode.HELD)
        return
    change: DeploymentChange | None
    try:
        if cycle.reach == Reach.CANARY:
            set_canary(deployment=deployment, model=model, percent=cycle.canary_percent, evaluation=candidate)
            _stop_evaluating(cycle, StopCode.CANARY)
            return
        change = deploy_model(deployment=deployment, model=model, by=cycle.started_by, evaluation=candidate)
    except AlreadyLive:
        change = deployment.changes.filter(to_model=model, kind=ChangeKind.DEPLOY).first()
    except ReleaseConflict:
        return  # the next call sees who was first
    except ModelNotLoadable as error:
        _stop_evaluating(cycle, StopCode.NOT_DEPLOYED, str(error))
        return
    with transaction.atomic():
        row = _locked(cycle)
        if row.state == CycleState.EVALUATING:  # else another process wrote it down
            move(row, CycleState.PROMOTED, moves=CYCLE_MOVES, change=change, **_ending(row, deployed=True))


def _stop_evaluating(cycle: Cycle, code: StopCode, detail: str = "") -> None:
    with transaction.atomic():
        row = _locked(cycle)
        if row.state == CycleState.EVALUATING:
            _stop(row, code, detail)


def _stop(row: Cycle, code: StopCode, detail: str = "", *, by: User | None = None, **fields: Any) -> None:
    """End the cycle without a deployment; its cases wait for the next one as corrected."""
    fields |= _ending(row, deployed=False, stop_code=str(code))
    version = fields.get("dataset_version") or row.dataset_version
    if row.state != CycleState.COLLECTING and version is not None:
        return_from_training(cases=_cases_in(version, CaseState.IN_TRAINING))
    reason = detail.strip()[:500]
    move(row, CycleState.STOPPED, moves=CYCLE_MOVES, by=by, reason=code, stop_reason=reason, **fields)


def _ending(row: Cycle, *, deployed: bool, **fields: Any) -> dict[str, Any]:
    ended_at = timezone.now()
    return {"ended_at": ended_at, "summary": _numbers(row, ended_at) | {"deployed": deployed, **fields}}


def _numbers(cycle: Cycle, ended_at: datetime) -> dict[str, Any]:
    """Return what `run_cycle` prints; None for what was not reached."""
    job, evaluation = cycle.job, cycle.evaluation
    measured = measures(evaluation) if evaluation and evaluation.state == EvaluationState.SUCCEEDED else {}
    began, finished = (job.started_at, job.finished_at) if job else (None, None)
    train_s = round((finished - began).total_seconds(), 1) if began and finished else None
    return {
        "dataset_version": cycle.dataset_version.number if cycle.dataset_version else None,
        "model": job.tuned_model.name if job and job.tuned_model and job.state == JobState.SUCCEEDED else None,
        "n_examples": cycle.dataset_version.n_examples if cycle.dataset_version else 0,
        "train_s": train_s,
        "total_s": round((ended_at - cycle.started_at).total_seconds(), 1),
        **{name: measured.get(name) for name in NUMBERS},
        "stop_rate": measured.get("stop_rate_after"),
    }


def _failed_rules(candidate: Evaluation) -> str:
    rules = ", ".join(str(GateRule(rule["name"]).label) for rule in candidate.gate if not rule["passed"])
    return _("Rules not met: %(rules)s.") % {"rules": rules} if rules else ""


def _request_baseline(deployment: Deployment, *, version: DatasetVersion | None, by: User | None) -> Evaluation:
    """Ask for the live model's numbers, on the very suites that the candidate will meet; known ones are used again."""
    live = deployment.live_model
    return request_evaluation(
        project=deployment.project,
        base_model=live.base_model if live else deployment.base_model,
        tuned_model=live,
        dataset_version=version,
        has_probes=False,
        by=by,
    )


def _evaluations_of(cycle: Cycle) -> list[Evaluation]:
    """Return the candidate's evaluation and its baseline, as they stand now."""
    candidate = Evaluation.objects.select_related("baseline").filter(cycles=cycle).first()
    if candidate is None:
        return []
    return [candidate, candidate.baseline] if candidate.baseline else [candidate]


def _cases_in(version: DatasetVersion, *states: CaseState) -> list[Case]:
    """Return the cases in one of the states whose standing correction is a row of the version."""
    rows = Case.objects.filter(project_id=version.project_id, state__in=states)
    return list(rows.filter(test__correction__example__dataset_rows__version=version).distinct().order_by("pk"))


def _locked(cycle: Cycle) -> Cycle:
    return Cycle.objects.select_for_update(of=("self",)).select_related("project", "started_by").get(pk=cycle.pk)
