"""Pulls: a child process brings the weights of a catalog entry to this machine and looks into them."""

import contextlib
import os
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from common.states import StateError, move
from labeling.models import User
from training import tasks
from training.actions import runner
from training.actions.errors import NotPossible
from training.models import BaseModel
from training.states import BASE_MODEL_AT_WORK, BASE_MODEL_MOVES, BaseModelSource, BaseModelState

SILENT = timedelta(seconds=60)


def request_pull(*, base_model: BaseModel, by: User | None = None) -> None:
    """Have a worker fetch the weights, or look into them where they lie. Does nothing while one is at it."""
    base_model.refresh_from_db()
    if base_model.is_at_work:
        return
    with transaction.atomic(), contextlib.suppress(StateError):
        move(base_model, BaseModelState.WAITING, moves=BASE_MODEL_MOVES, by=by, problem="", seen_at=None)
        transaction.on_commit(partial(tasks.pull_base_model.delay, base_model.pk))


def cancel_pull(*, base_model: BaseModel, by: User | None = None) -> None:
    """Call the pull off; what was downloaded is kept for the next one. Raises NotPossible when none is under way."""
    base_model.refresh_from_db()
    try:
        move(base_model, BaseModelState.MISSING, moves=BASE_MODEL_MOVES, by=by, seen_at=None)
    except StateError as error:
        raise NotPossible(_("Nothing is being fetched.")) from error


def pull(*, base_model: BaseModel) -> None:
    """Fetch an entry that waits, to the end. Does nothing when it does not wait; stops when it is called off."""
    try:
        move(base_model, BaseModelState.PULLING, moves=BASE_MODEL_MOVES, seen_at=timezone.now(), n_bytes_done=0)
    except StateError:
        return
    run_dir = settings.RUNS_DIR / f"pull-{base_model.slug}"
    partial_folder = settings.MODELS_DIR / ".partial" / base_model.slug
    config = {"folder": str(base_model.folder), "partial": str(partial_folder), "repository": None}
    if base_model.source == BaseModelSource.HUB and not base_model.is_ready:
        config["repository"] = base_model.location
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / "result.json").unlink(missing_ok=True)
        runner.write_json(run_dir / "config.json", config)
        child = runner.Child("pull", run_dir)
    except OSError as error:
        with contextlib.suppress(StateError):
            _fail(base_model, str(error))
        return
    try:
        for _tick in child.ticks():
            if runner.SHUTDOWN.is_set() or not _note_progress(base_model, run_dir, partial_folder):
                break
    finally:
        child.end()
    with contextlib.suppress(StateError):  # called off in this very moment: that stands
        _conclude(base_model, child, run_dir)


def recover_pulls() -> int:
    """Take up the pulls that no worker is at; return how many."""
    silent = Q(seen_at__isnull=True) | Q(seen_at__lt=timezone.now() - SILENT)
    rows = list(BaseModel.objects.filter(silent, state__in=BASE_MODEL_AT_WORK))
    for row in rows:
        if row.state == BaseModelState.PULLING:
            try:
                move(row, BaseModelState.WAITING, moves=BASE_MODEL_MOVES, reason="the worker is gone", only_if=silent)
            except StateError:
                continue
        tasks.pull_base_model.delay(row.pk)
    return len(rows)


def _note_progress(base_model: BaseModel, run_dir: Path, partial_folder: Path) -> bool:
    """Write down how far it is; False when the pull was called off."""
    fields: dict[str, Any] = {"seen_at": timezone.now(), "n_bytes_done": _size_of(partial_folder)}
    size = runner.read_json(run_dir / "size.json").get("size_bytes")
    if size:
        fields["size_bytes"] = size
    return bool(BaseModel.objects.filter(pk=base_model.pk, state=BaseModelState.PULLING).update(**fields))


def _size_of(folder: Path) -> int:
    """Return the bytes below a folder whose files come, go and are renamed meanwhile."""
    size = 0
    for path, _folders, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += Path(path, name).stat().st_size
    return size


def _conclude(base_model: BaseModel, child: runner.Child, run_dir: Path) -> None:
    result = runner.read_result(run_dir)
    if result.get("status") == "succeeded":
        facts = result["facts"]
        fields: dict[str, Any] = {
            "facts": facts,
            "n_parameters": facts["n_parameters"],
            "size_bytes": facts["size_bytes"],
            "n_bytes_done": facts["size_bytes"],
            "context_tokens": facts["context_tokens"] or base_model.context_tokens,
            "licence": base_model.licence or facts["licence"][:60],
        }
        move(base_model, BaseModelState.PRESENT, moves=BASE_MODEL_MOVES, problem="", seen_at=None, **fields)
    elif runner.SHUTDOWN.is_set():
        move(base_model, BaseModelState.WAITING, moves=BASE_MODEL_MOVES, reason="stopped", seen_at=None)
    else:
        _fail(base_model, runner.sort_error(child=child, result=result)[1])


def _fail(base_model: BaseModel, problem: str) -> None:
    move(
        base_model,
        BaseModelState.FAILED,
        moves=BASE_MODEL_MOVES,
        reason=problem[:400],
        problem=problem[:500],
        seen_at=None,
    )
