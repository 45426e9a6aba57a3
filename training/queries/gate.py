"""The limits of a project's gate, and what it said of a candidate."""

from typing import Any

from labeling.models import Project
from training.models import Evaluation, GateLimits
from training.states import GATE_CEILINGS, GATE_DEFAULTS, GateRule


def gate_limits(project: Project) -> dict[GateRule, float | None]:
    """Return the limit of each rule, None for a rule that is not asked."""
    own = GateLimits.objects.filter(project=project).values_list("limits", flat=True).first() or {}
    return {GateRule(name): own.get(name, default) for name, default in GATE_DEFAULTS.items()}


def gate_rules(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the rules as they are kept, each with its `label`, `is_ceiling` and `is_count`."""
    return [
        {
            **rule,
            "label": GateRule(rule["name"]).label,
            "is_ceiling": rule["name"] in GATE_CEILINGS,
            "is_count": rule["name"] == GateRule.FORGOTTEN,
        }
        for rule in evaluation.gate
    ]
