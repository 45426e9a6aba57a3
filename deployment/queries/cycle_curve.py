"""A project's cycles beside each other: did each make the model better, what was forgotten, what did it cost."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count

from deployment.models import Completion, Cycle
from deployment.queries.alert import CONVERSATION
from deployment.queries.policy import price_of
from deployment.queries.release import FOUND_WRONG
from deployment.states import CYCLE_ENDED
from labeling.models import Project
from training.intervals import Interval, rate_interval

N_CYCLES = 30


@dataclass(frozen=True)
class CycleFigures:
    """One cycle that measured a model. Shares of 0 to 1, None where nothing was measured.

    `drift` is by which share the loss on unrelated prompts rose since the base model, all cycles together; `replay_weight`
    is what held it in that training. `bad` is the share of conversations with its model that had a bad answer.
    """

    number: int
    model_name: str
    is_deployed: bool
    n_examples: int
    efficacy_before: float | None
    efficacy: float | None
    generalisation: float | None
    drift: float | None
    replay_weight: float | None
    n_conversations: int
    bad: Interval | None
    train_s: float | None
    total_s: float | None
    price: float | None


def cycle_figures(project: Project) -> list[CycleFigures]:
    """Return the figures of the last cycles that measured a model, the oldest first. Two queries."""
    cycles = Cycle.objects.filter(project=project, state__in=CYCLE_ENDED, evaluation__isnull=False)
    rows = list(cycles.select_related("job__base_model", "job__tuned_model").order_by("-number")[:N_CYCLES])
    keys = [row.job.tuned_model_id for row in rows if row.job and row.job.tuned_model_id]
    answers = Completion.objects.filter(project=project, deployment__isnull=False, tuned_model__in=keys).order_by()
    counts = answers.values("tuned_model").annotate(
        n=Count(CONVERSATION, distinct=True), n_bad=Count(CONVERSATION, distinct=True, filter=FOUND_WRONG)
    )
    traffic = {each["tuned_model"]: (each["n_bad"], each["n"]) for each in counts}
    return [_figures(row, traffic) for row in reversed(rows)]


def _figures(cycle: Cycle, traffic: dict[int, tuple[int, int]]) -> CycleFigures:
    summary, job = cycle.summary, cycle.job
    n_bad, n = traffic.get(job.tuned_model_id, (0, 0)) if job and job.tuned_model_id else (0, 0)
    return CycleFigures(
        number=cycle.number,
        model_name=summary.get("model") or "",
        is_deployed=bool(summary.get("deployed")),
        n_examples=summary.get("n_examples") or 0,
        efficacy_before=summary.get("efficacy_before"),
        efficacy=summary.get("efficacy_after"),
        generalisation=summary.get("generalisation_after"),
        drift=summary.get("base_drift"),
        replay_weight=_replay_weight(job.result if job else {}),
        n_conversations=n,
        bad=rate_interval(n_bad, n) if n else None,
        train_s=summary.get("train_s"),
        total_s=summary.get("total_s"),
        price=float(price_of(job)) if job else None,
    )


def _replay_weight(result: dict[str, Any]) -> float | None:
    value = result.get("hyperparameters", {}).get("replay_weight")
    return float(value) if isinstance(value, int | float) else None
