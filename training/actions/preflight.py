"""Looking at a job before it may take a slot: a child process counts and shows, the result is stored and judged."""

import contextlib
import json
import logging
import signal
import time
from decimal import Decimal
from typing import Any

import orjson
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from common.states import StateError, record
from labeling.models import User
from training.actions import runner
from training.actions.artefacts import fetch_inputs
from training.actions.composition import BATCH_SIZE, text_of
from training.actions.errors import LeakedProbe, NotPossible
from training.actions.job import change_state, nudge
from training.actions.leaks import LeakGuard
from training.actions.splits import opening
from training.estimates import Interval, estimate_seconds
from training.models import Job, JobPreflight
from training.preflight_words import problem_sentence
from training.queries.preflight import former_runs
from training.states import ErrorKind, JobState, Split

logger = logging.getLogger(__name__)

REPORT = "preflight.json"
TIME_LIMIT_S = 900.0
N_LEAKS_NAMED = 10
# Other base models say something too, in proportion to their size; a measurement of two seconds says less.
OTHER_FACTOR, MEASURED_FACTOR = 2.0, 3.0

Problem = dict[str, Any]


def preflight_job(*, job: Job) -> None:
    """Look at a job in `validating_files`; then it is queued, waits for its Start, or has failed with the reason.

    Does nothing where another worker is at it or it is over, so that two nudges do no harm. Killed at any moment, it is
    taken up again by `recovery.recover`.
    """
    preflight, _is_new = JobPreflight.objects.get_or_create(job=job)
    if job.state != JobState.VALIDATING_FILES or not _claim(preflight):
        return
    problems = _leaks(job)
    report: dict[str, Any] = {}
    if not problems:
        try:
            fetch_inputs(job)
            found = _run_child(job, preflight)
        except OSError as error:
            logger.exception("%s: its run directory cannot be used", job)
            found = {"problems": [{"code": "failed", "kind": ErrorKind.DISK, "message": str(error)}]}
        if found is None:  # the worker leaves: somebody else looks at it
            JobPreflight.objects.filter(pk=preflight.pk).update(heartbeat_at=None, worker="")
            return
        report, problems = found, found.pop("problems", [])
    with contextlib.suppress(StateError):  # cancelled in this very moment: that stands
        _conclude(job, preflight, report, problems)


def start_job(*, job: Job, by: User | None = None) -> None:
    """Queue a job that was looked at and waits for its Start. Raises NotPossible."""
    job.refresh_from_db()
    preflight = JobPreflight.objects.filter(job=job).first()
    if job.state != JobState.VALIDATING_FILES or preflight is None or not preflight.is_ready:
        raise NotPossible(_("The job does not wait to be started."))
    try:
        with transaction.atomic():
            change_state(job, JobState.QUEUED, by=by)
            record(job, what="job", after="started", by=by)
            nudge(job)
    except StateError as error:
        raise NotPossible(_("The job does not wait to be started.")) from error


def estimate(job: Job, report: dict[str, Any]) -> dict[str, Any]:
    """Return tokens, the price by the catalog where it names one, and seconds with an interval.

    `basis` says what the time stands on: runs of the same base model, of others, a measurement, or nothing. The price is
    text, so that no digit is lost.
    """
    n_tokens = (report.get("n_tokens_seen") or 0) + (report.get("n_tokens_general") or 0)
    price = job.base_model.price_of_training(n_tokens)
    known = {"n_tokens": n_tokens, **({"price": f"{price:.2f}"} if price else {})}
    return known | _estimate_time(job, n_tokens, tokens_per_s=report.get("tokens_per_s"))


def _estimate_time(job: Job, n_tokens: int, *, tokens_per_s: float | None) -> dict[str, Any]:
    same = former_runs(method=job.method, base_model=job.base_model)
    basis, n_runs = "same", len(same)
    found = estimate_seconds(n_tokens, same)
    size = job.base_model.n_parameters
    if found is None and size:
        others = former_runs(method=job.method, sized=True)
        basis, n_runs = "other", len(others)
        found = estimate_seconds(n_tokens * size, others)
        found = found.wider(OTHER_FACTOR) if found else None
    if found is None and tokens_per_s:
        basis, n_runs = "measured", 0
        seconds = n_tokens / tokens_per_s
        found = Interval(seconds, seconds, seconds).wider(MEASURED_FACTOR)
    if found is None:
        return {"basis": "none", "n_runs": 0}
    return {
        "basis": basis,
        "n_runs": n_runs,
        "seconds": round(found.seconds, 1),
        "low_s": round(found.low_s, 1),
        "high_s": round(found.high_s, 1),
    }


def _claim(preflight: JobPreflight) -> bool:
    """Take it; False when another worker has it, whose sign of life is fresh, or when it is over."""
    now = timezone.now()
    free = Q(heartbeat_at=None) | Q(heartbeat_at__lt=now - runner.SILENCE)
    rows = JobPreflight.objects.filter(free, pk=preflight.pk, finished_at=None)
    return bool(rows.update(worker=runner.worker_name(), heartbeat_at=now))


def _leaks(job: Job) -> list[Problem]:
    """Say again that nothing is trained on that is tested: probes may have come since the version was frozen."""
    version, guard = job.dataset_version, LeakGuard(job.project)
    if not guard.has_probes:
        return []
    rows = version.rows.filter(split=Split.TRAIN).order_by().values_list("row_hash", text_of("messages"), "example_id")
    for row_hash, text, example_pk in rows.iterator(chunk_size=BATCH_SIZE):
        messages = orjson.loads(text)
        guard.look_at(row_hash, messages, opening(messages), example_pk)
    try:
        guard.refuse()
    except LeakedProbe as error:
        found = {"prompt": error.prompts[0][:200], "cases": error.case_pks[:N_LEAKS_NAMED]}
        return [{"code": "leak", "kind": ErrorKind.DATA, "n": len(error.prompts), **found}]
    return []


def _run_child(job: Job, preflight: JobPreflight) -> dict[str, Any] | None:
    """Return the report of the child process; None when it was stopped and is to be looked at again."""
    path = job.run_dir / REPORT
    path.unlink(missing_ok=True)
    config = json.loads((job.run_dir / "config.json").read_text(encoding="utf-8"))
    is_known = former_runs(method=job.method, base_model=job.base_model)
    config["measures_speed"] = preflight.waits_for_start and not is_known
    runner.write_json(job.run_dir / "config.json", config)
    child = runner.Child("preflight", job.run_dir)
    deadline, told_at = time.monotonic() + TIME_LIMIT_S, time.monotonic()
    try:
        for _tick in child.ticks():
            if child.exit_code is not None:
                break
            is_late = time.monotonic() > deadline
            if is_late or runner.SHUTDOWN.is_set():
                child.end()
                return {"problems": [{"code": "late", "kind": ErrorKind.CODE}]} if is_late else None
            if time.monotonic() - told_at > runner.HEARTBEAT_S:
                told_at = time.monotonic()
                JobPreflight.objects.filter(pk=preflight.pk).update(heartbeat_at=timezone.now())
                if not Job.objects.filter(pk=job.pk, state=JobState.VALIDATING_FILES).exists():
                    child.end()
                    return None
    finally:
        child.end()
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_text(encoding="utf-8"))
    was_killed = child.exit_code == -signal.SIGKILL  # by the system, for its memory: looking again would end alike
    if not was_killed and runner.was_stopped(child, n_attempts=0):
        return None
    kind, message = runner.sort_error(child=child, result={})
    return {"problems": [{"code": "failed", "kind": kind, "message": message}]}


def _conclude(job: Job, preflight: JobPreflight, report: dict[str, Any], problems: list[Problem]) -> None:
    now = timezone.now()
    found = estimate(job, report) if report.get("n_steps") else {}
    price = Decimal(found.get("price", 0))
    if not problems and job.most_price is not None and price > job.most_price:
        amounts = {"price": str(price), "limit": str(job.most_price)}
        problems = [{"code": "price", "kind": ErrorKind.BUDGET, **amounts}]
    fields = {
        "report": report,
        "problems": problems,
        "estimate": found,
        "finished_at": now,
    }
    with transaction.atomic():
        JobPreflight.objects.filter(pk=preflight.pk).update(**fields)
        if problems:
            message = " ".join(problem_sentence(problem) for problem in problems)
            kind = problems[0]["kind"]
            change_state(job, JobState.FAILED, error_kind=kind, error=message, finished_at=now)
        elif not preflight.waits_for_start:
            change_state(job, JobState.QUEUED)
            nudge(job)
