"""How a job is run, beside its hyperparameters: by which recipe, in how many processes."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from training.actions.errors import BadHyperparameter
from training.hyperparameters import AUTO
from training.models import Job
from training.states import JobTuning

RECIPES = ("corrections", "many_rows")
MAX_PROCESSES = 64


def check_setup(given: Mapping[str, Any], *, tuning: str = JobTuning.AUTO) -> dict[str, Any]:
    """Return what was asked for, without what is left to us.

    `recipe`, `processes` (how many train one job together) and `fsdp` (spread the model over them). Raises
    BadHyperparameter, whose `field` names it.
    """
    if unknown := set(given) - {"recipe", "processes", "fsdp"}:
        raise BadHyperparameter(min(unknown), _("There is no such setting."))
    recipe, processes = given.get("recipe") or AUTO, given.get("processes") or 1
    if recipe not in (AUTO, *RECIPES):
        raise BadHyperparameter("recipe", _("Choose one of: %(known)s.") % {"known": ", ".join((AUTO, *RECIPES))})
    if isinstance(processes, bool) or not isinstance(processes, int) or not 1 <= processes <= MAX_PROCESSES:
        sentence = _("Write a whole number from 1 to %(most)s.") % {"most": MAX_PROCESSES}
        raise BadHyperparameter("processes", sentence)
    if recipe == "corrections":
        if processes > 1:
            raise BadHyperparameter("processes", _("The recipe for corrections trains in one process."))
        if tuning not in (JobTuning.AUTO, JobTuning.LORA):
            raise BadHyperparameter("tuning", _("The recipe for corrections trains an adapter (LoRA)."))
    checked: dict[str, Any] = {} if recipe == AUTO else {"recipe": recipe}
    if processes > 1:
        checked |= {"processes": processes, "fsdp": bool(given.get("fsdp"))}
    return checked


def trainer_setup(job: Job) -> dict[str, Any]:
    """Return the part of config.json that says how the job is run: its own setup, else that of its base model's entry."""
    setup = job.base_model.setup | job.setup
    found = {"tuning": job.tuning if job.tuning != JobTuning.AUTO else setup.get("tuning", AUTO)}
    if job.learns_preferences:  # one process, one recipe
        return found
    if "recipe" in setup:
        found["recipe"] = setup["recipe"]
    if setup.get("processes", 1) > 1:
        found["launch"] = {"processes": setup["processes"], "fsdp": bool(setup.get("fsdp"))}
    return found
