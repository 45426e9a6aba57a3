"""The limits of a project's gate."""

from labeling.models import Project
from training.models import GateLimits
from training.states import GATE_DEFAULTS, GateRule


def gate_limits(project: Project) -> dict[GateRule, float | None]:
    """Return the limit of each rule, None for a rule that is not asked."""
    own = GateLimits.objects.filter(project=project).values_list("limits", flat=True).first() or {}
    return {GateRule(name): own.get(name, default) for name, default in GATE_DEFAULTS.items()}
