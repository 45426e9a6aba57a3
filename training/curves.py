"""The curves of one job or of several in one plot, and what differs between jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from training.charts import Chart, line_chart
from training.models import Job

N_TABLE_ROWS = 20


@dataclass(frozen=True)
class Curve:
    """One measure over the steps; `rows` are (step, a value or None for each line), thinned to a table's length."""

    name: str
    label: str
    chart: Chart
    rows: list[tuple[int, list[float | None]]]


def curves(runs: Sequence[tuple[str, Sequence[dict[str, Any]]]]) -> list[Curve]:
    """Return a curve for each measure that one of the runs has; a run is its label and the data of its `metrics`."""
    labels = {
        "loss": _("Training loss"),
        "valid_loss": _("Validation loss"),
        "token_accuracy": _("Token accuracy"),
        "learning_rate": _("Learning rate"),
        "grad_norm": _("Gradient norm"),
        "tokens_per_s": _("Tokens per second"),
    }
    found = []
    for name, label in labels.items():
        values = [{point["step"]: point[name] for point in points if point.get(name) is not None} for _, points in runs]
        chart = line_chart([(run[0], list(each.items())) for run, each in zip(runs, values, strict=True)])
        if chart:
            steps = sorted(set().union(*values))
            every = -(-len(steps) // N_TABLE_ROWS)
            shown = [step for place, step in enumerate(steps) if place % every == 0 or place == len(steps) - 1]
            found.append(Curve(name, label, chart, [(step, [each.get(step) for each in values]) for step in shown]))
    return found


def differences(jobs: Sequence[Job], started: Sequence[dict[str, Any]]) -> list[tuple[str, list[Any]]]:
    """Return (name, a value for each job) of what they were given and do not share; `started`: data of their beginnings."""
    settings = [
        {
            "dataset version": f"v{job.dataset_version.number}",
            "base model": str(job.parent or job.base_model),
            "method": str(job.get_method_display()),
            "seed": job.seed,
            **job.hyperparameters,
            **data.get("hyperparameters", {}),
        }
        for job, data in zip(jobs, started, strict=True)
    ]
    names = list(dict.fromkeys(name for each in settings for name in each))
    rows = [(name, [each.get(name) for each in settings]) for name in names]
    return [(name, values) for name, values in rows if any(value != values[0] for value in values)]
