"""Settings under a word: of a preset (`preset-3`), of a job (`job-ftjob-...`)."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labeling.models import Project
from training.hyperparameters import AUTO, HYPERPARAMETERS
from training.models import Job, Preset
from training.states import JobMethod, JobTuning

N_JOBS = 20
WAYS = {
    "method": gettext_lazy("Method"),
    "tuning": gettext_lazy("Weights that are trained"),
    "recipe": gettext_lazy("Recipe"),
    "processes": gettext_lazy("Processes"),
    "fsdp": gettext_lazy("Spread the model over the processes"),
}


@dataclass(frozen=True)
class Settings:
    """What was asked for, and what the trainer made of it where it has run."""

    name: str
    method: str
    tuning: str
    setup: dict[str, Any]
    asked: dict[str, Any]
    used: dict[str, Any]


def choices(project: Project) -> list[tuple[str, str]]:
    """Return the words and names of all presets and of the newest jobs."""
    presets = [(f"preset-{preset.pk}", preset.name) for preset in Preset.objects.filter(project=project)]
    jobs = Job.objects.filter(project=project).select_related("dataset_version").order_by("-pk")[:N_JOBS]
    return presets + [(f"job-{job.key}", _job_name(job)) for job in jobs]


def find_settings(project: Project, word: str) -> Settings | None:
    """Return the settings that the word names; None where there are none."""
    kind, _sign, key = word.partition("-")
    if kind == "preset" and key.isdecimal():
        preset = Preset.objects.filter(project=project, pk=key).first()
        return (
            Settings(preset.name, preset.method, preset.tuning, preset.setup, preset.hyperparameters, {})
            if preset
            else None
        )
    if kind == "job":
        job = Job.objects.filter(project=project, key=key).select_related("dataset_version").first()
        used = _used(job.result) if job else {}
        return Settings(_job_name(job), job.method, job.tuning, job.setup, job.hyperparameters, used) if job else None
    return None


def compare_settings(a: Settings, b: Settings) -> list[dict[str, Any]]:
    """Return a line for how each is run and for each hyperparameter that either has: `label`, `a`, `b`, whether they differ."""
    lines = [_line(label, _way(a, name), _way(b, name)) for name, label in WAYS.items() if _has_way(a, b, name)]
    for each in HYPERPARAMETERS:
        if each.name not in a.asked | b.asked | a.used | b.used:
            continue
        lines.append(_line(_(each.label), _shown(a, each.name), _shown(b, each.name)))
    return lines


def _line(label: Any, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    return {"label": label, "a": left, "b": right, "differs": left != right}


def _way(settings: Settings, name: str) -> dict[str, Any]:
    """How a job is run, as `_shown` of a hyperparameter."""
    asked = {"method": settings.method, "tuning": settings.tuning, **settings.setup}.get(name, AUTO)
    if name == "method":
        asked = str(JobMethod(asked).label)
    elif name == "tuning" and asked != AUTO:
        asked = str(JobTuning(asked).label)
    return {"asked": asked, "used": settings.used.get(name) if asked == AUTO else None}


def _has_way(a: Settings, b: Settings, name: str) -> bool:
    return name in ("method", "tuning") or name in a.setup | b.setup


def _used(result: dict[str, Any]) -> dict[str, Any]:
    """What the trainer made of what was left to it."""
    ways = {name: result[name] for name in ("tuning", "recipe") if name in result}
    return ways | (result.get("hyperparameters") or {})


def _shown(settings: Settings, name: str) -> dict[str, Any]:
    asked = settings.asked.get(name, AUTO)
    return {"asked": asked, "used": settings.used.get(name) if asked == AUTO else None}


def _job_name(job: Job) -> str:
    values = {"key": job.key[-8:], "number": job.dataset_version.number}
    return _("Job …%(key)s on v%(number)s") % values
