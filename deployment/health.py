"""What is up and what is not: database, broker, workers, engine. Each "ok" or a sentence; nothing here raises."""

import time
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from deployment import engine
from deployment.actions.errors import EngineError
from training.actions.runner import is_worker_dead
from training.models import Evaluation, Job
from training.states import EvaluationState, JobState

OK = "ok"
WORKERS = ("default", "gpu")
PING_TIMEOUT_S = 1.0
PING_KEPT_S = 5
SWEEP_FILE = "sweep_at"
SWEEP_LATE_S = 60.0


def read_health() -> dict[str, Any]:
    """Return `status` ("ok", "degraded" while a part is away, "down" without the database) and each part by name."""
    database, broker = _database(), _broker()
    alive = workers_alive() if broker == OK else dict.fromkeys(WORKERS, False)
    workers = {name: OK if alive[name] else _("No such worker answers.") for name in WORKERS}
    parts = [broker, *workers.values(), engine_word := _engine()]
    if database != OK:
        status = "down"
    else:
        status = "ok" if all(part == OK for part in parts) else "degraded"
    return {
        "status": status,
        "database": database,
        "broker": broker,
        "workers": workers,
        "engine": engine_word,
        "beat": _beat(),
    }


def workers_alive() -> dict[str, bool]:
    """Return which kinds of worker answer a ping within a second; the answer is kept for a few seconds."""
    alive = cache.get("deployment-workers")
    if alive is None:
        alive = {name: ping(name) for name in WORKERS}
        cache.set("deployment-workers", alive, PING_KEPT_S)
    return alive


def ping(kind: str) -> bool:
    """Whether a worker of this kind answers within half a second. Workers are named kind@host."""
    try:
        replies = current_app.control.ping(
            timeout=PING_TIMEOUT_S / len(WORKERS), limit=1, pattern=f"{kind}@*", matcher="glob"
        )
    except (OperationalError, OSError):
        return False
    return bool(replies)


def is_gpu_worker_alive() -> bool:
    """Whether somebody works on the gpu queue: it answers, or a running job or evaluation shows its sign of life."""
    running = [
        *Job.objects.filter(state=JobState.RUNNING).values_list("worker", "heartbeat_at"),
        *Evaluation.objects.filter(state=EvaluationState.RUNNING).values_list("worker", "heartbeat_at"),
    ]
    return any(not is_worker_dead(worker, heartbeat_at) for worker, heartbeat_at in running) or ping("gpu")


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return _("The database does not answer.")
    return OK


def _broker() -> str:
    try:
        with current_app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=PING_TIMEOUT_S)
    except (OperationalError, OSError):
        return _("The broker does not answer.")
    return OK


def _engine() -> str:
    try:
        engine.read_health()
    except EngineError as error:
        return str(error)
    return OK


def _beat() -> str:
    """The sweep leaves its time; so this says whether beat, broker and default worker get through to each other."""
    try:
        age_s = time.time() - (settings.VAR_DIR / SWEEP_FILE).stat().st_mtime
    except OSError:
        return _("The sweep has not run yet.")
    return OK if age_s < SWEEP_LATE_S else _("The sweep is late.")
