"""How much a cycle's replay is to count, by what former cycles forgot."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployment.models import Cycle
from labeling.models import Project
from training.hyperparameters import AUTO, MANY_ROWS
from training.models import BaseModel, DatasetVersion
from training.queries.gate import gate_limits
from training.states import GATE_DEFAULTS, GateRule, JobMethod, JobTuning

# The weight doubles where more than this share of the gate's limit was used up, and halves below the other.
MUCH, LITTLE = 1 / 2, 1 / 8
LEAST_WEIGHT, MOST_WEIGHT = 1.0, 16.0


@dataclass(frozen=True)
class ReplayChoice:
    """The weight of the general prompts, and what it stands on: the weight and drift of cycle number `cycle`.

    `drift` is by which share the loss on unrelated prompts had risen since the base model, `limit` how far it may.
    """

    weight: float
    former: float
    drift: float
    limit: float
    cycle: int


def choose_replay(project: Project) -> ReplayChoice | None:
    """Return what the last cycle that measured its drift says; None where none did.

    One that the gate refused counts too: its drift is what the next is to avoid.
    """
    cycles = Cycle.objects.filter(project=project, evaluation__isnull=False, job__result__recipe="corrections")
    for cycle in cycles.select_related("job").order_by("-number")[:5]:
        drift = cycle.summary.get("base_drift")
        former = (cycle.job.result.get("hyperparameters") or {}).get("replay_weight") if cycle.job else None
        if drift is None or not isinstance(former, int | float):
            continue
        limit = gate_limits(project)[GateRule.BASE_DRIFT] or GATE_DEFAULTS[GateRule.BASE_DRIFT] or 0.0
        factor = 2.0 if drift > MUCH * limit else 0.5 if drift < LITTLE * limit else 1.0
        weight = min(max(former * factor, LEAST_WEIGHT), MOST_WEIGHT)
        return ReplayChoice(weight=weight, former=float(former), drift=drift, limit=limit, cycle=cycle.number)
    return None


def can_choose_replay(version: DatasetVersion, base_model: BaseModel, chosen: Mapping[str, Any]) -> bool:
    """Whether a job of these settings replays at all, and leaves the weight to us."""
    setup = base_model.setup | (chosen.get("setup") or {})
    tuning = chosen.get("tuning", JobTuning.AUTO)
    if tuning == JobTuning.AUTO:
        tuning = setup.get("tuning", JobTuning.AUTO)
    if chosen.get("method", JobMethod.SFT) != JobMethod.SFT:
        return False
    if tuning not in (JobTuning.AUTO, JobTuning.LORA) or setup.get("processes", 1) != 1:
        return False
    if setup.get("recipe") == "many_rows":
        return False
    is_small = version.n_train <= MANY_ROWS or setup.get("recipe") == "corrections"
    return is_small and (chosen.get("hyperparameters") or {}).get("replay_weight", AUTO) == AUTO
