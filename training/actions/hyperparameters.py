"""Hyperparameters as they are asked for: checked against the trainer's table."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from training.actions.errors import BadHyperparameter
from training.hyperparameters import AUTO, BY_NAME, HYPERPARAMETERS, Hyperparameter, of_method
from training.states import JobMethod


def check_hyperparameters(given: Mapping[str, Any], *, method: str = JobMethod.SFT) -> dict[str, Any]:
    """Return what was asked for, the basic ones always: "auto" where none was given.

    Raises BadHyperparameter for values out of range, and for those that have no effect in this method.
    """
    checked: dict[str, Any] = {each.name: AUTO for each in HYPERPARAMETERS if each.is_basic}
    for name, value in given.items():
        if name not in BY_NAME:
            raise BadHyperparameter(name, _("There is no hyperparameter “%(name)s”.") % {"name": name})
        number = check_value(BY_NAME[name], value)
        if number != AUTO:
            if BY_NAME[name] not in of_method(method):
                raise BadHyperparameter(name, _("This hyperparameter has no effect with this method."))
            checked[name] = number
    return checked


def check_value(hyperparameter: Hyperparameter, value: Any) -> int | float | str:
    """Return the value as a number, or "auto". Raises BadHyperparameter, whose `field` names it and whose words name the range."""
    try:
        return hyperparameter.check(value)
    except ValueError as error:
        sentence = (
            _("Write “auto” or a whole number from %(least)s to %(most)s.")
            if hyperparameter.is_whole
            else _("Write “auto” or a number from %(least)s to %(most)s.")
        )
        limits = {"least": f"{hyperparameter.least:g}", "most": f"{hyperparameter.most:g}"}
        raise BadHyperparameter(hyperparameter.name, sentence % limits) from error
