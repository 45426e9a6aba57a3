"""Presets: settings of a job, kept under a name."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from common.states import record
from labeling.models import Project, User
from training.actions.errors import NameTaken
from training.actions.hyperparameters import check_hyperparameters
from training.actions.setup import check_setup
from training.models import Preset
from training.states import JobMethod, JobTuning


def save_preset(
    *,
    project: Project,
    name: str,
    hyperparameters: Mapping[str, Any],
    method: str = JobMethod.SFT,
    tuning: str = JobTuning.AUTO,
    setup: Mapping[str, Any] | None = None,
    by: User | None = None,
) -> Preset:
    """Keep settings under a new name. Raises NameTaken or BadHyperparameter."""
    checked = check_hyperparameters(hyperparameters, method=method)
    run = check_setup(setup or {}, tuning=tuning)
    try:
        with transaction.atomic():
            preset = Preset.objects.create(
                project=project,
                name=name.strip(),
                method=method,
                tuning=tuning,
                setup=run,
                hyperparameters=checked,
                created_by=by,
            )
            record(preset, what="preset", after=preset.name, by=by)
    except IntegrityError as error:
        raise NameTaken(_("There is a preset of this name already.")) from error
    return preset


def rename_preset(*, preset: Preset, name: str, by: User | None = None) -> None:
    """Give it another name. Raises NameTaken."""
    before, preset.name = preset.name, name.strip()
    if before == preset.name:
        return
    try:
        with transaction.atomic():
            preset.save(update_fields=["name"])
            record(preset, what="preset", before=before, after=preset.name, by=by)
    except IntegrityError as error:
        preset.name = before
        raise NameTaken(_("There is a preset of this name already.")) from error


def delete_preset(*, preset: Preset, by: User | None = None) -> None:
    """Delete it; jobs that used it keep their settings."""
    with transaction.atomic():
        record(preset, what="preset", before=preset.name, by=by)
        preset.delete()
