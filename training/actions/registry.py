"""The registry of fine-tuned models."""

import logging
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from training.actions.artefacts import forget_model, keep_model_or_later
from training.actions.errors import ModelInUse
from training.model_card import write_model_card
from training.models import Job, TunedModel
from training.states import JOB_ENDED

logger = logging.getLogger(__name__)

LEGACY_TIME = "%Y-%m-%d-%H-%M-%S"


def register_model(*, job: Job, result: Mapping[str, Any]) -> TunedModel:
    """Enter the model that a job has produced, and put its card into its folder. One of a legacy job gets a name of the legacy form beside its own."""
    model = TunedModel.objects.create(
        project_id=job.project_id,
        name=_name(job),
        alias=_legacy_name(job) if job.is_legacy else None,
        base_model=job.base_model,
        job=job,
        location=str((job.run_dir / "model").relative_to(settings.VAR_DIR)),
    )
    job.tuned_model = model
    job.save(update_fields=["tuned_model"])
    _write_card(model, result)
    return model


def register_checkpoint(*, job: Job, step: int, folder: Path) -> TunedModel:
    """Enter the model that was made of a checkpoint; a second entry of the same is the first one."""
    model, _is_new = TunedModel.everything.get_or_create(
        name=f"{_name(job)}:ckpt-step-{step}",
        defaults={
            "project_id": job.project_id,
            "base_model": job.base_model,
            "job": job,
            "location": str(folder.relative_to(settings.VAR_DIR)),
        },
    )
    _write_card(model, job.result, step=step)
    return model


def _name(job: Job) -> str:
    return f"ft:{job.base_model.slug}:{settings.ORGANISATION}:{job.suffix}:{job.key[-8:]}"


def _write_card(model: TunedModel, result: Mapping[str, Any], *, step: int | None = None) -> None:
    try:
        if model.folder.is_dir():
            card = write_model_card(model, result=result, step=step)
            (model.folder / "README.md").write_text(card, encoding="utf-8")
    except OSError:  # a full disk must not take the model away, only its description
        logger.exception("%s: its card cannot be written", model)
    transaction.on_commit(lambda: keep_model_or_later(model=model))


def delete_model(*, model: TunedModel) -> None:
    """Delete the weights; from then on nobody finds the model, while the history goes on naming it.

    Whoever calls makes sure that no deployment answers with it. Raises ModelInUse when a job still trains from it.
    """
    with transaction.atomic():
        if Job.objects.filter(parent=model).exclude(state__in=JOB_ENDED).exists():
            raise ModelInUse("A fine-tuning job that has not ended continues from this model.")
        TunedModel.objects.filter(pk=model.pk).update(deleted_at=timezone.now())
    forget_model(model=model)
    for name in ("model", "adapter", "gguf"):
        shutil.rmtree(model.folder.parent / name, ignore_errors=True)


def _legacy_name(job: Job) -> str:
    """Return a free name of the form {base}:ft-{org}[:{suffix}]-{date}; the base is called as the request called it."""
    asked = str(job.request.get("model") or "")
    base = job.base_model.slug if asked.startswith("ft:") else asked.split(":")[0] or job.base_model.slug
    stem = f"{base}:ft-{settings.ORGANISATION}" + (f":{job.suffix}" if job.suffix else "")
    moment = datetime.now(UTC)
    while TunedModel.everything.filter(alias=f"{stem}-{moment.strftime(LEGACY_TIME)}").exists():
        moment += timedelta(seconds=1)  # a name tells seconds only
    return f"{stem}-{moment.strftime(LEGACY_TIME)}"
