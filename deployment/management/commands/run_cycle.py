"""Turn the loop once: freeze, train, evaluate and, when the new model is better, deploy."""

import json
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from deployment.actions.cycle import advance_cycle, cancel_cycle, start_cycle
from deployment.actions.errors import CycleAtWork, CycleEnded
from deployment.health import is_gpu_worker_alive
from deployment.models import Cycle
from deployment.states import REGULAR_STOPS, CycleState
from labeling.models import Project
from training.actions.evaluation import execute_evaluation
from training.actions.job import execute_job
from training.actions.preflight import preflight_job
from training.actions.recovery import recover
from training.models import Evaluation, Job
from training.states import EvaluationState, JobState

POLL_S = 0.25
LOOK_FOR_WORKER_S = 10.0
BAR_WIDTH = 30
NUMBERS = (
    *("dataset_version", "model", "n_examples", "train_s", "total_s", "efficacy_before", "efficacy_after"),
    *("generalisation_after", "specificity_drift", "base_drift", "stop_rate"),
)


class Command(BaseCommand):
    help = (
        "Freezes the examples, trains, evaluates and deploys when the new model is better than what is live. "
        "With --wait its last line on standard output is one JSON object with the numbers. Without a gpu worker it "
        "does the work itself."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--wait", action="store_true", help="follow the cycle to its end")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project “{options['project']}”.")
        try:
            cycle = start_cycle(project=project)
        except CycleAtWork as error:
            cycle = error.cycle
            self.stderr.write(f"Cycle {cycle.number} is at work already; this follows it.")
        if options["wait"]:
            self._follow(cycle)
        self.stdout.write(json.dumps(report(cycle), ensure_ascii=False))
        if options["wait"] and not (cycle.state == CycleState.PROMOTED or is_regular(cycle)):
            sys.exit(1)

    def _follow(self, cycle: Cycle) -> None:
        """Take the cycle's steps until it ends; what no gpu worker would take up is done here, in a thread."""
        progress = Progress(self.stderr)
        with ThreadPoolExecutor(max_workers=1) as hands:
            work: Future[bool | None] | None = hands.submit(look_for_worker)
            looked_at = time.monotonic()
            has_worker: bool | None = None
            try:
                while True:
                    while advance_cycle(cycle=cycle):
                        progress.show(cycle)
                    if cycle.has_ended:
                        break
                    if work is not None and work.done():
                        found = work.result()
                        has_worker, work = (has_worker if found is None else found), None
                    if work is None and has_worker is False and (task := next_task(cycle)):
                        work = hands.submit(execute, task)
                    elif work is None and time.monotonic() - looked_at > LOOK_FOR_WORKER_S:
                        looked_at = time.monotonic()
                        work = hands.submit(look_for_worker)
                    progress.show(cycle)
                    time.sleep(POLL_S)
            except KeyboardInterrupt:
                progress.close()
                self._interrupt(cycle, is_ours=has_worker is False)
            finally:
                progress.close()

    def _interrupt(self, cycle: Cycle, *, is_ours: bool) -> None:
        cycle.refresh_from_db()
        if not is_ours:
            self.stderr.write(
                f"Cycle {cycle.number} goes on: the workers carry it through. Run this again to follow it."
            )
            sys.exit(130)
        try:
            cancel_cycle(cycle=cycle)
        except CycleEnded:
            cycle.refresh_from_db()
            return
        self.stderr.write(f"Cycle {cycle.number} is cancelled: nothing went live, and no example is lost.")


class Progress:
    """One line that is written over, where somebody watches; a line per change and tenth where it goes to a file."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._is_live = stream.isatty()
        self._last = ""

    def show(self, cycle: Cycle) -> None:
        words, share = describe(cycle)
        if not self._is_live:
            stage = f"{words.split(':')[0]} {int(share * 10)}"
            if stage != self._last:
                self._last = stage
                self._stream.write(words)
            return
        n_full = round(BAR_WIDTH * share)
        line = f"[{'█' * n_full}{'·' * (BAR_WIDTH - n_full)}] {share:4.0%} {words}"
        if line != self._last:
            self._stream.write(f"\r\x1b[2K{line}", ending="")
            self._stream.flush()
            self._last = line

    def close(self) -> None:
        if self._is_live and self._last:
            self._stream.write("")
            self._last = ""


def describe(cycle: Cycle) -> tuple[str, float]:
    """Return where the cycle stands, in words, and its share done."""
    name = f"Cycle {cycle.number}"
    if cycle.state == CycleState.TRAINING:
        job = Job.objects.get(cycles=cycle)
        before = Evaluation.objects.filter(project_id=cycle.project_id, state=EvaluationState.RUNNING).first()
        if job.state == JobState.QUEUED and before is not None:
            return f"{name} measures the present model: {before.n_done} of {before.n_total or '…'}", 0.01
        done = job.step / job.n_steps if job.n_steps else 0.0
        left = f", {job.remaining_s:.0f} s left" if job.remaining_s else ""
        return (
            f"{name} trains: {job.get_state_display()}, step {job.step} of {job.n_steps or '…'}{left}",
            0.02 + 0.68 * done,
        )
    if cycle.state == CycleState.EVALUATING:
        pair = evaluations_of(cycle)
        n_done, n_total = sum(row.n_done for row in pair), sum(row.n_total for row in pair)
        return f"{name} evaluates: {n_done} of {n_total or '…'}", 0.7 + 0.3 * (n_done / n_total if n_total else 0.0)
    if cycle.state == CycleState.PROMOTED:
        return f"{name} ends: {cycle.summary.get('model')} is live", 1.0
    if cycle.state == CycleState.STOPPED:
        return f"{name} stops: {stop_words(cycle)}", 1.0
    return f"{name} collects", 0.0


def report(cycle: Cycle) -> dict[str, Any]:
    """Return the numbers of the last line."""
    numbers = {key: cycle.summary.get(key) for key in NUMBERS}
    deployed = cycle.state == CycleState.PROMOTED
    stop_reason = stop_words(cycle) if cycle.state == CycleState.STOPPED else ""
    return numbers | {"deployed": deployed, "cycle": cycle.number, "state": cycle.state, "stop_reason": stop_reason}


def stop_words(cycle: Cycle) -> str:
    return " ".join(filter(None, [cycle.stop_sentence, cycle.stop_reason]))


def is_regular(cycle: Cycle) -> bool:
    return cycle.state == CycleState.STOPPED and cycle.summary.get("stop_code") in REGULAR_STOPS


def look_for_worker() -> bool:
    """Return whether a gpu worker is alive. Where none is, what a dead one left running goes back to the queue."""
    try:
        alive = is_gpu_worker_alive()
        if not alive:
            recover()
        return alive
    finally:
        connection.close()


def next_task(cycle: Cycle) -> Job | Evaluation | None:
    """Return what the cycle waits for and nobody has begun: its job, then the evaluations."""
    if cycle.state == CycleState.TRAINING:
        job = Job.objects.filter(cycles=cycle, state__in=(JobState.VALIDATING_FILES, JobState.QUEUED)).first()
        if job is not None:
            return job
    return next((row for row in evaluations_of(cycle) if row.state == EvaluationState.QUEUED), None)


def evaluations_of(cycle: Cycle) -> list[Evaluation]:
    """Return the baseline and the candidate, as they stand now."""
    candidate = Evaluation.objects.select_related("baseline").filter(cycles=cycle).first()
    return [row for row in (candidate and candidate.baseline, candidate) if row]


def execute(task: Job | Evaluation) -> None:
    """Do what a gpu worker would do, in this process."""
    try:
        if isinstance(task, Job) and task.state == JobState.VALIDATING_FILES:
            preflight_job(job=task)
        elif isinstance(task, Job):
            execute_job(job=task)
        else:
            execute_evaluation(evaluation=task)
    finally:
        connection.close()
