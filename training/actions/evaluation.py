"""Evaluations: asking for one, running it, keeping its outcomes."""

import contextlib
import logging
import secrets
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from common.conversations import digest
from common.states import StateError, move
from labeling.models import GoldTask, Project, RegressionTest, User
from labeling.queries import regression_suite
from training import tasks
from training.actions import runner
from training.actions.artefacts import fetch_model
from training.actions.errors import NotPossible
from training.actions.gate import judge
from training.models import BaseModel, DatasetVersion, Evaluation, EvaluationResult, OwnSuite, TunedModel
from training.states import EVALUATION_MOVES, EvaluationState, RowKind, Split, Suite

logger = logging.getLogger(__name__)

MAX_TOKENS = 256
Rows = list[dict[str, Any]]


def request_evaluation(
    *,
    project: Project,
    base_model: BaseModel,
    tuned_model: TunedModel | None = None,
    dataset_version: DatasetVersion | None = None,
    baseline: Evaluation | None = None,
    has_probes: bool = True,
    by: User | None = None,
) -> Evaluation:
    """Return an evaluation of the model against the project's suites as they stand, queued if there is none yet.

    One of the same model and suites that is finished or at work is returned instead of a second; one with probes also
    serves who asks without. `tuned_model` None: the base model itself. `dataset_version` gives the held-out rows; None:
    the project's newest, so that two models asked for together meet the same suites. A given `baseline` is what the
    evaluation is compared with from now on; a worker judges the gate as soon as both are finished.
    """
    version = dataset_version or project.dataset_versions.own().order_by("-number").first()
    suites = {
        "tests": _test_rows(project),
        "gold": _gold_rows(project),
        "own": _own_rows(project),
        "held_out": _split_rows(version, Split.TEST),
        "validation": _split_rows(version, Split.VALID),
        "unrelated": _unrelated_rows(),
    }
    suite_hash = digest({**suites, "max_tokens": MAX_TOKENS})
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)  # two requests at once get one evaluation
        evaluation = _find(project, base_model, tuned_model, suite_hash, has_probes)
        if evaluation is None:
            evaluation = Evaluation.objects.create(
                project=project,
                key=f"eval-{secrets.token_hex(12)}",
                base_model=base_model,
                tuned_model=tuned_model,
                dataset_version=version,
                suite_hash=suite_hash,
                has_probes=has_probes,
                created_by=by,
            )
            _write_run_directory(evaluation, suites)
            nudge(evaluation)
        if baseline is not None and baseline.pk not in (evaluation.pk, evaluation.baseline_id):
            Evaluation.objects.filter(pk=evaluation.pk).update(baseline=baseline, gate=[], comparison={})
            evaluation.refresh_from_db()
            transaction.on_commit(lambda: tasks.judge_evaluation.delay(evaluation.pk))
    return evaluation


def nudge(evaluation: Evaluation) -> None:
    """Tell the gpu queue about a waiting evaluation once the row is committed."""
    transaction.on_commit(lambda: tasks.run_evaluation.delay(evaluation.pk))


def judge_evaluation(*, evaluation: Evaluation) -> None:
    """Judge the gate once both sides are measured, else do nothing. For workers: the statistics load numpy.

    Rows are read anew: the baseline may have been named while this one ran.
    """
    row = Evaluation.objects.select_related("project", "baseline").get(pk=evaluation.pk)
    if row.baseline and row.state == row.baseline.state == EvaluationState.SUCCEEDED:
        evaluation.gate = judge(candidate=row, baseline=row.baseline)


def cancel_evaluation(*, evaluation: Evaluation, by: User | None = None) -> None:
    """Stop an evaluation for good; a running one is killed by its worker within a second. Raises NotPossible."""
    evaluation.refresh_from_db()
    running = Evaluation.objects.filter(pk=evaluation.pk, state=EvaluationState.RUNNING)
    if running.update(cancel_requested_at=timezone.now()):
        evaluation.refresh_from_db()
        return
    evaluation.refresh_from_db()
    try:
        change_state(evaluation, EvaluationState.CANCELLED, by=by, finished_at=timezone.now())
    except StateError as error:
        raise NotPossible(_("The evaluation has already ended.")) from error


def execute_evaluation(*, evaluation: Evaluation) -> None:
    """Claim a queued evaluation, measure in a child process and keep the outcomes. Blocks for as long as that takes.

    Returns at once when it is not waiting. Killed at any moment, it is taken up again by `recovery.recover`, and the
    prompts that were measured are not measured again.
    """
    try:
        change_state(
            evaluation,
            EvaluationState.RUNNING,
            worker=runner.worker_name(),
            heartbeat_at=timezone.now(),
            n_attempts=evaluation.n_attempts + 1,
        )
    except StateError:
        return
    try:
        _write_config(evaluation)
        child = runner.Child("evaluate", evaluation.run_dir)
    except OSError as error:
        change_state(evaluation, EvaluationState.FAILED, error=str(error), finished_at=timezone.now())
        return
    try:
        state = _follow(evaluation, child)
    finally:
        child.end()
    with contextlib.suppress(StateError):  # somebody else moved it in this very moment: that stands
        _finish(evaluation, child, state)


def change_state(evaluation: Evaluation, after: EvaluationState, *, by: User | None = None, **fields: Any) -> None:
    """Move the evaluation. Raises StateError."""
    move(evaluation, after, moves=EVALUATION_MOVES, by=by, **fields)


def _find(
    project: Project, base_model: BaseModel, tuned_model: TunedModel | None, suite_hash: str, has_probes: bool
) -> Evaluation | None:
    useless = (EvaluationState.FAILED, EvaluationState.CANCELLED)
    same = Evaluation.objects.filter(
        project=project, base_model=base_model, tuned_model=tuned_model, suite_hash=suite_hash
    ).exclude(state__in=useless)
    if has_probes:
        same = same.filter(has_probes=True)
    found = list(same.exclude(cancel_requested_at__isnull=False, state=EvaluationState.RUNNING))
    return max(found, key=lambda row: (row.state == EvaluationState.SUCCEEDED, row.pk), default=None)


def _test_rows(project: Project) -> Rows:
    return [
        {
            "id": str(test.pk),
            "messages": test.messages,
            "chosen": test.chosen,
            "rejected": test.rejected,
            "checks": test.checks,
            "probes": [probe.messages for probe in sorted(test.probes.all(), key=lambda probe: probe.pk)],
        }
        for test in regression_suite(project).order_by("pk")
    ]


def _gold_rows(project: Project) -> Rows:
    gold_tasks = GoldTask.objects.in_use().filter(task__project=project).exclude(task__messages=[])
    return [
        {
            "id": str(gold.pk),
            "messages": gold.task.messages,
            "chosen": gold.reference,
            "rejected": "",
            "checks": gold.checks,
        }
        for gold in gold_tasks.select_related("task").order_by("pk")
    ]


def _own_rows(project: Project) -> Rows:
    suites = OwnSuite.objects.filter(project=project).order_by("pk")
    return [
        {"id": f"{suite.pk}-{number}", "suite": suite.name, **row}
        for suite in suites
        for number, row in enumerate(suite.rows, 1)
    ]


def _split_rows(version: DatasetVersion | None, split: Split) -> Rows:
    if version is None:
        return []
    rows = version.rows.filter(split=split).exclude(kind=RowKind.PAIR).order_by("position")
    return [{"id": row_hash, "messages": messages} for row_hash, messages in rows.values_list("row_hash", "messages")]


def _unrelated_rows() -> Rows:
    return runner.read_lines(runner.RESOURCES_DIR / "unrelated.jsonl")


def _write_run_directory(evaluation: Evaluation, suites: dict[str, Rows]) -> None:
    evaluation.run_dir.mkdir(parents=True, exist_ok=True)
    for name, rows in suites.items():
        runner.write_lines(evaluation.run_dir / f"{name}.jsonl", rows)
    _write_config(evaluation)


def _write_config(evaluation: Evaluation) -> None:
    model = evaluation.tuned_model or evaluation.base_model
    if evaluation.tuned_model:
        fetch_model(model=evaluation.tuned_model)
    config = {
        "model": str(model.folder),
        "threads": runner.n_threads(),
        "parent_pid": runner.worker_pid(evaluation.worker),
        "max_tokens": MAX_TOKENS,
        "probes": evaluation.has_probes,
        "samples": int(evaluation.has_probes),
        "seed": 0,
        "cache": str(settings.VAR_DIR / "answers"),
    }
    runner.write_json(evaluation.run_dir / "config.json", config)


def _follow(evaluation: Evaluation, child: runner.Child) -> str:
    """Record progress until the child ends or has to be ended.

    Returns `running` when it ended by itself, `cancelled` when that was asked for, "" when the row is no longer ours.
    """
    tail = runner.Tail(evaluation.run_dir / "events.jsonl")
    heartbeat_at = timezone.now()
    ours = Evaluation.objects.filter(pk=evaluation.pk, state=EvaluationState.RUNNING, n_attempts=evaluation.n_attempts)
    for _tick in child.ticks():
        progress = [line["data"] for line in tail.read() if line["code"] in ("started", "progress")]
        if progress:
            ours.update(n_done=progress[-1]["done"], n_total=progress[-1]["total"])
        if (timezone.now() - heartbeat_at).total_seconds() >= runner.HEARTBEAT_S:
            heartbeat_at = timezone.now()
            ours.update(heartbeat_at=heartbeat_at)
        row = ours.values("cancel_requested_at").first()
        if row is None:
            return ""
        if child.exit_code is None and row["cancel_requested_at"]:
            child.end()
            return EvaluationState.CANCELLED
        if child.exit_code is None and runner.SHUTDOWN.is_set():
            child.end(grace_s=runner.GRACE_S)
    return EvaluationState.RUNNING


def _finish(evaluation: Evaluation, child: runner.Child, state: str) -> None:
    now = timezone.now()
    result = runner.read_result(evaluation.run_dir)
    if state == EvaluationState.CANCELLED:
        change_state(evaluation, EvaluationState.CANCELLED, finished_at=now)
    elif state != EvaluationState.RUNNING:
        return
    elif child.exit_code == 0 and result.get("status") == "succeeded":
        with transaction.atomic():
            n_results = _keep_results(evaluation)
            change_state(
                evaluation,
                EvaluationState.SUCCEEDED,
                metrics=result["metrics"],
                n_done=n_results,
                n_total=n_results,
                finished_at=now,
            )
            judge_evaluation(evaluation=evaluation)
            for candidate in evaluation.candidates.filter(state=EvaluationState.SUCCEEDED, gate=[]):
                judge_evaluation(evaluation=candidate)
    elif runner.was_stopped(child, n_attempts=evaluation.n_attempts):
        change_state(evaluation, EvaluationState.QUEUED)
    else:
        _kind, message = runner.sort_error(child=child, result=result)
        change_state(evaluation, EvaluationState.FAILED, error=message, finished_at=now)


def _keep_results(evaluation: Evaluation) -> int:
    """Turn results.jsonl into rows and return how many; what an earlier attempt kept is replaced."""
    evaluation.results.all().delete()
    rows = list(_result_rows(evaluation))
    EvaluationResult.objects.bulk_create(rows, batch_size=500)
    return len(rows)


def _result_rows(evaluation: Evaluation) -> Iterator[EvaluationResult]:
    tests = {row["id"]: row for row in runner.read_lines(evaluation.run_dir / "tests.jsonl")}
    others = {
        (suite, row["id"]): row
        for suite in (Suite.GOLD, Suite.OWN)
        for row in runner.read_lines(evaluation.run_dir / f"{suite.value}.jsonl")
    }
    test_pks = set(RegressionTest.objects.filter(project_id=evaluation.project_id).values_list("pk", flat=True))
    for line in runner.read_lines(evaluation.run_dir / "results.jsonl"):
        test = tests.get(line["id"]) if line["suite"] in (Suite.REGRESSION, Suite.PROBE) else None
        result = EvaluationResult(
            evaluation=evaluation,
            suite=line["suite"],
            row_id=line["id"],
            probe=line.get("probe"),
            answer=line.get("answer", ""),
            is_right=line.get("right"),
            data=line,
        )
        if test:
            # The texts as they were asked: the case may be corrected again later.
            result.data = {**line, "chosen": test["chosen"], "rejected": test["rejected"]}
            result.messages = test["messages"] if result.probe is None else test["probes"][result.probe]
            result.test_id = int(line["id"]) if int(line["id"]) in test_pks else None
        elif asked := others.get((line["suite"], line["id"])):
            result.messages = asked["messages"]
            result.data = {**line, "chosen": asked["chosen"], "own_suite": asked.get("suite")}
        yield result
