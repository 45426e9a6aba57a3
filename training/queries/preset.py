"""Settings under a word: of a preset (`preset-3`), of a job (`job-ftjob-...`)."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from labeling.models import Project
from training.hyperparameters import AUTO, HYPERPARAMETERS
from training.models import Job, Preset

N_JOBS = 20


@dataclass(frozen=True)
class Settings:
    """What was asked for, and what the trainer made of it where it has run."""

    name: str
    method: str
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
        return Settings(preset.name, preset.method, preset.hyperparameters, {}) if preset else None
    if kind == "job":
        job = Job.objects.filter(project=project, key=key).select_related("dataset_version").first()
        used = job.result.get("hyperparameters") or {} if job else {}
        return Settings(_job_name(job), job.method, job.hyperparameters, used) if job else None
    return None


def compare_settings(a: Settings, b: Settings) -> list[dict[str, Any]]:
    """Return a line for each hyperparameter that either has: `label`, `a`, `b` and whether they differ."""
    lines = []
    for each in HYPERPARAMETERS:
        if each.name not in a.asked | b.asked | a.used | b.used:
            continue
        left, right = _shown(a, each.name), _shown(b, each.name)
        lines.append({"label": _(each.label), "a": left, "b": right, "differs": left != right})
    return lines


def _shown(settings: Settings, name: str) -> dict[str, Any]:
    asked = settings.asked.get(name, AUTO)
    return {"asked": asked, "used": settings.used.get(name) if asked == AUTO else None}


def _job_name(job: Job) -> str:
    values = {"key": job.key[-8:], "number": job.dataset_version.number}
    return _("Job …%(key)s on v%(number)s") % values
