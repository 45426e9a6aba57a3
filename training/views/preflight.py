"""What will be trained, before it is."""

from itertools import chain
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from common.charts import bar_chart
from common.htmx import STOP_POLLING, render_page
from labeling.queries import require_member
from labeling.states import ExampleKind, Role
from training.actions.errors import NotPossible
from training.actions.preflight import start_job
from training.hyperparameters import BY_NAME
from training.models import Job, JobPreflight
from training.preflight_words import problem_sentence
from training.states import JobState


@require_GET
@login_required
def job_preflight(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    """What will be trained; to htmx its piece, which is asked for until the worker has looked at the rows."""
    membership = require_member(request, slug, Role.ADMIN)
    jobs = Job.objects.visible_to(membership).select_related("dataset_version", "base_model", "preflight")
    job = get_object_or_404(jobs, key=key, preflight__isnull=False)
    is_last = bool(request.htmx) and job.preflight.finished_at is not None  # type: ignore[attr-defined]
    return render_page(
        request,
        "training/preflight_show.html",
        {"job": job, "preflight": job.preflight, **preflight_page(job.preflight)},
        fragment="training/_preflight.html",
        status=STOP_POLLING if is_last else 200,
    )


@require_POST
@login_required
def job_start(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    job = get_object_or_404(Job.objects.visible_to(membership), key=key)
    try:
        start_job(job=job, by=membership.user)
    except NotPossible as error:
        messages.error(request, str(error))
        return redirect("training-job-preflight", slug, key)
    return redirect("training-job-show", slug, key)


def preflight_page(preflight: JobPreflight) -> dict[str, Any]:
    """What a page shows of a preflight, ready to be written."""
    report = preflight.report
    lengths = [
        (_("up to %(n)s") % {"n": bar["most"]} if bar["most"] else _("more"), bar["n"])
        for bar in report.get("lengths") or []
    ]
    reasons = report.get("auto") or {}
    for row in chain.from_iterable(report.get("steps") or []):
        row["kind_name"] = ExampleKind(row["kind"]).label
    return {
        "report": report,
        "estimate": preflight.estimate,
        "problems": [problem_sentence(problem) for problem in preflight.problems],
        "warnings": [problem_sentence(warning) for warning in report.get("warnings") or []],
        "is_looking": preflight.finished_at is None and preflight.job.state == JobState.VALIDATING_FILES,
        "can_start": preflight.is_ready and preflight.job.state == JobState.VALIDATING_FILES,
        "lengths": lengths,
        "lengths_chart": bar_chart(lengths, n_labels=9),
        "settings": [
            {**_words(name, value), "reason": _(reasons[name]) if reasons.get(name) else ""}
            for name, value in (report.get("hyperparameters") or {}).items()
        ],
    }


def _words(name: str, value: Any) -> dict[str, Any]:
    """A setting by its name on the pages, with its unit."""
    words: dict[str, dict[str, Any]] = {
        "recipe": {"corrections": _("careful, for few rows"), "many_rows": _("fast, for many rows")},
        "tuning": {"lora": _("LoRA"), "qlora": _("QLoRA"), "full": _("all weights")},
    }
    if name in words:
        label = _("Recipe") if name == "recipe" else _("What is trained")
        return {"label": label, "value": words[name].get(value, value), "unit": ""}
    each = BY_NAME.get(name)
    return {
        "label": _(each.label) if each else name,
        "value": value,
        "unit": _(each.unit) if each and each.unit else "",
    }
