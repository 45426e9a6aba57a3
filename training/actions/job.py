"""Fine-tuning jobs: creating, running, pausing and cancelling them."""

import contextlib
import logging
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from common.states import StateError, move, record
from labeling.models import User
from training import tasks
from training.actions import runner
from training.actions.artefacts import fetch_inputs, keep_inputs
from training.actions.catalog import ensure_bundled_base_model, refuse_unready
from training.actions.checkpoint import forget_checkpoints, note_checkpoints
from training.actions.composition import Composition
from training.actions.errors import BaseModelNotReady, NotPossible, NoTrainingRows, TooFewPairs
from training.actions.event import append_event, queue_number, tell_places
from training.actions.hyperparameters import check_hyperparameters
from training.actions.registry import register_model
from training.actions.results import write_result_file
from training.actions.retry import has_half_batch, reason_to_retry
from training.actions.setup import check_setup, trainer_setup
from training.actions.tracking import TrackedChild
from training.hyperparameters import AUTO
from training.models import BaseModel, DatasetRow, DatasetVersion, Event, Job, JobPreflight, TunedModel
from training.queries import count_pairs, default_base_model
from training.states import (
    JOB_MOVES,
    MIN_PAIRS,
    PREFERENCE_METHODS,
    ErrorKind,
    JobMethod,
    JobState,
    JobTuning,
    RowKind,
    Split,
)

logger = logging.getLogger(__name__)

MAX_SUFFIX = 64
LEAST_PRIORITY, MOST_PRIORITY = -100, 100


def create_job(
    *,
    dataset_version: DatasetVersion,
    base_model: BaseModel | None = None,
    suffix: str = "",
    hyperparameters: Mapping[str, Any] | None = None,
    seed: int = 0,
    by: User | None = None,
    known_version: DatasetVersion | None = None,
    method: str = JobMethod.SFT,
    tuning: str = JobTuning.AUTO,
    parent: TunedModel | None = None,
    setup: Mapping[str, Any] | None = None,
    waits_for_start: bool = False,
    most_price: Decimal | None = None,
) -> Job:
    """Create a job, write its run directory and have it looked at; it is queued after that.

    `waits_for_start`: only once a person has seen what will be trained, and starts it. `most_price`: it fails where the look
    at it says that it will cost more.
    `base_model` None: the default of the project. `known_version` is what the live model was trained on: rows that are not in
    it count as new; None: all rows do. `parent` is the fine-tuned model to go on from; its base model is the job's.
    `setup` says how it is run (`training.actions.setup`).
    Raises NoTrainingRows, TooFewPairs, BaseModelNotReady, TooLittleMemory or BadHyperparameter. A disk error fails the job
    instead of raising: the job says so.
    """
    if parent is not None:
        base_model = parent.base_model
    base_model = base_model or default_base_model(dataset_version.project) or ensure_bundled_base_model()
    if not dataset_version.n_train:
        raise NoTrainingRows
    if method in PREFERENCE_METHODS and count_pairs(dataset_version) < MIN_PAIRS:
        raise TooFewPairs
    if parent is not None and not parent.is_ready:
        raise BaseModelNotReady
    if parent is None:
        refuse_unready(base_model, method=method, tuning=tuning)
    with transaction.atomic():
        job = Job.objects.create(
            project_id=dataset_version.project_id,
            key=f"ftjob-{secrets.token_hex(12)}",
            dataset_version=dataset_version,
            base_model=base_model,
            parent=parent,
            method=method,
            tuning=tuning,
            suffix=normalise_suffix(suffix),
            seed=seed,
            hyperparameters=check_hyperparameters(hyperparameters or {}, method=method),
            setup=check_setup(setup or {}, tuning=tuning),
            most_price=most_price,
            created_by=by,
        )
        JobPreflight.objects.create(job=job, waits_for_start=waits_for_start)
        append_event(job, JobState.VALIDATING_FILES)
        record(job, what="job", after=f"{job.key} on v{dataset_version.number}", by=by)
    prepare_job(job=job, known_version=known_version)
    return job


def prepare_job(*, job: Job, known_version: DatasetVersion | None = None) -> None:
    """Write the run directory of a job in `validating_files` and have it looked at. Safe to run twice."""
    try:
        _write_run_directory(job, known_version)
        keep_inputs(job)
    except OSError as error:
        logger.exception("%s: its run directory cannot be written", job)
        change_state(job, JobState.FAILED, error_kind=ErrorKind.DISK, error=str(error), finished_at=timezone.now())
        return
    ask_for_preflight(job)


def ask_for_preflight(job: Job) -> None:
    """Tell a worker to look at the job once the row is committed."""
    transaction.on_commit(lambda: tasks.preflight_job.delay(job.pk))


def nudge(job: Job) -> None:
    """Tell the gpu queue about a waiting job once the row is committed."""
    transaction.on_commit(lambda: tasks.run_job.delay(job.pk))


def cancel_job(*, job: Job, by: User | None = None) -> None:
    """Stop a job for good. A running one is killed by its worker within a second. Raises NotPossible when it has ended."""
    is_running = Job.objects.filter(pk=job.pk, state=JobState.RUNNING).update(cancel_requested_at=timezone.now())
    job.refresh_from_db()
    if is_running:
        return
    before = job.state
    try:
        change_state(job, JobState.CANCELLED, by=by, finished_at=timezone.now())
    except StateError as error:
        job.refresh_from_db()
        if job.has_ended or job.state == before:
            raise NotPossible(_("The job has already ended.")) from error
        cancel_job(job=job, by=by)  # a worker moved it on in this very moment
        return
    forget_checkpoints(job=job)


def pause_job(*, job: Job, by: User | None = None) -> None:
    """Free the machine for something else; the job goes on from its last checkpoint when it is resumed.

    Does nothing when somebody else has just paused it. Raises NotPossible.
    """
    _change_or_refuse(job, JobState.PAUSED, by, is_done=(JobState.PAUSED,))


def resume_job(*, job: Job, by: User | None = None) -> None:
    """Put a paused job back into the queue; does nothing when it is there or runs already. Raises NotPossible."""
    with transaction.atomic():
        _change_or_refuse(job, JobState.QUEUED, by, is_done=(JobState.QUEUED, JobState.RUNNING))
        nudge(job)


def set_priority(*, job: Job, priority: int, by: User | None = None) -> None:
    """Let a job overtake those of a lower priority, or be overtaken. Raises NotPossible when it has ended."""
    if not LEAST_PRIORITY <= priority <= MOST_PRIORITY:
        raise NotPossible(_("A priority is a number from %d to %d.") % (LEAST_PRIORITY, MOST_PRIORITY))
    with transaction.atomic():
        row = Job.objects.select_for_update().get(pk=job.pk)
        if row.has_ended:
            raise NotPossible(_("The job has already ended."))
        if row.priority != priority:
            record(row, what="priority", before=row.priority, after=priority, by=by)
            Job.objects.filter(pk=job.pk).update(priority=priority)
    job.priority = priority


def execute_next_job() -> None:
    """Execute the job that is first in the queue, if any waits: a message says that there is work, the rows say which."""
    while job := Job.objects.waiting().first():
        if execute_job(job=job):
            break  # the worker may have been asked to leave; who waits has a message or is found by the sweep


def execute_job(*, job: Job) -> bool:
    """Claim a queued job, train in a child process and follow it to its end. Blocks for as long as that takes.

    Returns False at once when the job is not waiting, so that two nudges do no harm. Killed at any moment, the job is taken
    up again by `recovery.recover`.
    """
    now = timezone.now()
    try:
        change_state(
            job,
            JobState.RUNNING,
            worker=runner.worker_name(),
            heartbeat_at=now,
            started_at=job.started_at or now,
            n_attempts=job.n_attempts + 1,
        )
    except StateError:
        return False
    try:
        fetch_inputs(job)
        _write_config(job)
        child = TrackedChild("dpo" if job.learns_preferences else "sft", job)
    except OSError as error:
        logger.exception("%s: the trainer cannot be started", job)
        change_state(job, JobState.FAILED, error_kind=ErrorKind.DISK, error=str(error), finished_at=timezone.now())
        return True
    try:
        state = _follow(job, child)
    finally:
        child.end()
    with contextlib.suppress(StateError):  # cancelled or paused in this very moment: that stands
        _finish(job, child, state)
    return True


def change_state(job: Job, after: JobState, *, by: User | None = None, reason: str = "", **fields: Any) -> None:
    """Move the job and write the event that says so, in one transaction. Raises StateError."""
    before = job.state
    with transaction.atomic():
        move(job, after, moves=JOB_MOVES, by=by, reason=reason, **fields)
        data: dict[str, Any] = {"reason": reason} if reason else {}
        if after == JobState.QUEUED:
            data["queue_number"] = queue_number(job)
        if after == JobState.FAILED:
            data = {"kind": job.error_kind, "message": job.error}
        append_event(job, after, data)
        if JobState.QUEUED in (before, after) or JobState.RUNNING in (before, after):
            transaction.on_commit(tell_places)


def normalise_suffix(text: str) -> str:
    """Return the suffix as it stands in a model's name: lower case letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:MAX_SUFFIX].strip("-")


def _change_or_refuse(job: Job, after: JobState, by: User | None, *, is_done: tuple[JobState, ...]) -> None:
    job.refresh_from_db()
    if job.state in is_done:
        return
    before = job.state
    try:
        change_state(job, after, by=by)
    except StateError as error:
        job.refresh_from_db()
        if job.has_ended or job.state == before:
            raise NotPossible from error
        _change_or_refuse(job, after, by, is_done=is_done)  # somebody else was faster, perhaps with the same wish


def _write_run_directory(job: Job, known: DatasetVersion | None) -> None:
    job.run_dir.mkdir(parents=True, exist_ok=True)
    known_hashes = set(known.rows.values_list("row_hash", flat=True)) if known else set()
    rows = job.dataset_version.rows.order_by("position")
    if not job.learns_preferences:  # the better of two answers is not yet one to be learnt
        rows = rows.exclude(kind=RowKind.PAIR)
    rules = Composition.from_json(job.dataset_version.composition)
    for name, split in (("train", Split.TRAIN), ("valid", Split.VALID)):
        lines = _run_lines(rows.filter(split=split).iterator(chunk_size=500), known_hashes, rules)
        runner.write_lines(job.run_dir / f"{name}.jsonl", lines)
    replay = runner.RESOURCES_DIR / "general_prompts.jsonl"
    if replay.is_file():
        shutil.copyfile(replay, job.run_dir / "replay.jsonl")
    _write_config(job)


def _run_lines(rows: Iterator[DatasetRow], known_hashes: set[str], rules: Composition) -> Iterator[dict[str, Any]]:
    for row in rows:
        weight = rules.weight(row.kind)
        yield {
            "id": row.row_hash,
            "kind": row.kind,
            "messages": row.messages,
            "rejected": row.rejected,
            "is_new": row.row_hash not in known_hashes,
            **({} if weight == 1 else {"weight": weight}),
        }


def _write_config(job: Job) -> None:
    config = {
        "method": job.method,
        "base": str(job.base_folder),
        **({"reference": str(job.base_model.folder)} if _is_held_by_base(job) else {}),
        "seed": job.seed,
        "threads": runner.n_threads(),
        "parent_pid": runner.worker_pid(job.worker),
        "hyperparameters": _trainer_hyperparameters(job),
        **trainer_setup(job),
        "half_micro_batch": has_half_batch(job),
        "kept_checkpoints": settings.KEPT_CHECKPOINTS,
        "smoke_test": settings.SMOKE_TEST,
    }
    runner.write_json(job.run_dir / "config.json", config)


def _is_held_by_base(job: Job) -> bool:
    """Whether a job that goes on from a fine-tuned model has the base model at hand, from which it must not drift."""
    return job.parent is not None and job.method == JobMethod.SFT and job.base_model.is_ready


def _trainer_hyperparameters(job: Job) -> dict[str, Any]:
    """Return what was asked for in the trainer's words (ml/plan.py): its epochs count corrections and demonstrations apart."""
    found = {name: value for name, value in job.hyperparameters.items() if value != AUTO}
    if "n_epochs" in found and not job.learns_preferences:
        found.setdefault("demonstration_epochs", found["n_epochs"])
        if job.training_file_id:
            found.setdefault("patience", 0)  # who names the epochs over the API gets all of them
    return found


def _follow(job: Job, child: runner.Child) -> str:
    """Record the child's events until it ends or has to be ended.

    Returns the job's state as the database has it: `running` when the child ended by itself, `cancelled` when that was
    asked for, "" when the job is no longer ours.
    """
    tail = runner.Tail(job.run_dir / "events.jsonl", skip=job.n_events_read)
    state = ""
    for _tick in child.ticks():
        if not _record(job, tail.read()):
            return ""
        row = Job.objects.filter(pk=job.pk, n_attempts=job.n_attempts).values("state", "cancel_requested_at").first()
        if row is None or row["state"] not in (JobState.RUNNING, JobState.PAUSED):
            return ""
        state = row["state"]
        if row["cancel_requested_at"]:  # even where it has just finished: the person was told that it is cancelled
            child.end()
            return JobState.CANCELLED
        if child.exit_code is None and (state == JobState.PAUSED or runner.SHUTDOWN.is_set()):
            child.end(grace_s=runner.GRACE_S)
    _record(job, tail.read())
    return state


def _record(job: Job, lines: list[dict[str, Any]]) -> bool:
    """Turn lines of events.jsonl into Event rows, each exactly once; False when another worker has the job by now."""
    now = timezone.now()
    is_quiet = job.heartbeat_at and (now - job.heartbeat_at).total_seconds() < runner.HEARTBEAT_S
    if not lines and is_quiet:
        return True
    changes: dict[str, Any] = {"heartbeat_at": now, "n_events_read": job.n_events_read + len(lines)}
    for line in lines:
        data = line.get("data") or {}
        changes |= {name: data[name] for name in ("step", "n_steps", "remaining_s") if data.get(name) is not None}
    with transaction.atomic():
        ours = Job.objects.filter(pk=job.pk, n_attempts=job.n_attempts, n_events_read=job.n_events_read)
        if not ours.update(**changes):
            return False
        last = Event.objects.filter(job=job).order_by("-number").first()
        first, since = (last.number + 1, last.at) if last else (1, job.created_at)
        Event.objects.bulk_create(
            Event(
                job=job,
                number=number,
                code=str(line["code"])[:20],
                data=line.get("data") or {},
                at=max(since, parse_datetime(line["at"]) or now),  # a log never goes back in time
            )
            for number, line in enumerate(lines, first)
        )
        note_checkpoints(job=job, lines=lines)
    for name, value in changes.items():
        setattr(job, name, value)
    return True


def _finish(job: Job, child: runner.Child, state: str) -> None:
    now = timezone.now()
    result = runner.read_result(job.run_dir)
    if state == JobState.CANCELLED:
        change_state(job, JobState.CANCELLED, finished_at=now)
        forget_checkpoints(job=job)
    elif state != JobState.RUNNING:
        return
    elif child.exit_code == 0 and result.get("status") == "succeeded":
        with transaction.atomic():
            model = register_model(job=job, result=result)
            fields: dict[str, Any] = {"result": result, "remaining_s": 0, "finished_at": now}
            if job.training_file_id:
                fields["result_file"] = write_result_file(job=job, result=result)
            change_state(job, JobState.SUCCEEDED, reason=model.name, **fields)
        runner.keep_weights(job.run_dir)
    else:
        kind, message = runner.sort_error(child=child, result=result)
        if reason := reason_to_retry(job, child=child, kind=kind):
            with transaction.atomic():
                change_state(job, JobState.QUEUED, reason=reason)
                if not runner.SHUTDOWN.is_set():
                    nudge(job)
            return
        change_state(job, JobState.FAILED, result=result, error_kind=kind, error=message, finished_at=now)
        runner.keep_weights(job.run_dir)
