"""The page of a new job: what it trains on and how. Nothing starts here: what will be trained is shown first."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from common.htmx import render_page
from labeling.models import Membership, Project
from labeling.queries import require_member
from labeling.states import Role
from training.actions.catalog import ensure_bundled_base_model
from training.actions.dataset import freeze_dataset
from training.actions.errors import JobRefused, LeakedProbe, NothingToFreeze, NotPossible
from training.actions.job import cancel_job, create_job
from training.forms.job import JobForm, PresetNameForm
from training.models import Job, Preset
from training.queries import newest_model, unfrozen_examples
from training.states import JobState


@require_http_methods(["GET", "POST"])
@login_required
def job_create(request: HttpRequest, slug: str) -> HttpResponse:
    """The form; `?like=` begins with the settings of a job, `?preset=` with those of a preset."""
    membership = require_member(request, slug, Role.ADMIN)
    project = membership.project
    form = JobForm(
        request.POST if request.method == "POST" else None, project=project, initial=_initial(request, project)
    )
    if form.is_bound and form.is_valid():
        job = _create(form, membership)
        if job is not None:
            _replace(request.POST.get("replaces", ""), membership)
            return redirect("training-job-preflight", slug, job.key)
    return render_page(
        request,
        "training/job_create.html",
        {"form": form, **form_page(request, project)},
        fragment="training/_job_form.html",
        status=422 if form.is_bound else 200,
    )


def form_page(request: HttpRequest, project: Project) -> dict[str, Any]:
    """What the page shows beside the form."""
    like = request.POST.get("replaces") or request.GET.get("like", "")
    unstarted = Job.objects.filter(project=project, key=like, state=JobState.VALIDATING_FILES).first()
    last = Job.objects.filter(project=project, state=JobState.SUCCEEDED).select_related("dataset_version").first()
    return {
        "preset_form": PresetNameForm(prefix="preset"),
        "presets": Preset.objects.filter(project=project),
        "chosen_preset": request.GET.get("preset", ""),
        "like": like,
        "replaces": unstarted.key if unstarted else "",
        "last": last,
        "n_unfrozen": unfrozen_examples(project).count(),
    }


def _initial(request: HttpRequest, project: Project) -> dict[str, Any]:
    """Where the form begins: with a former job's settings, a preset's, or all on “auto”."""
    initial: dict[str, Any] = {"base_model": ensure_bundled_base_model(), "suffix": project.slug}
    initial |= {name: request.GET[name] for name in ("dataset_version", "parent", "method") if name in request.GET}
    like = Job.objects.filter(project=project, key=request.GET.get("like", "")).first()
    if like is not None:
        initial |= {
            "base_model": like.base_model_id,
            "suffix": like.suffix,
            "dataset_version": like.dataset_version_id,
            "method": like.method,
            "tuning": like.tuning,
            "parent": like.parent_id,
            **like.hyperparameters,
            **like.setup,
        }
    pk = request.GET.get("preset", "")
    preset = Preset.objects.filter(project=project, pk=pk).first() if pk.isdecimal() else None
    return (
        initial | {"method": preset.method, "tuning": preset.tuning, **preset.hyperparameters, **preset.setup}
        if preset
        else initial
    )


def _create(form: JobForm, membership: Membership) -> Job | None:
    """Create the job that the form asks for; what is refused goes into the form's errors."""
    values = form.cleaned_data
    newest = newest_model(membership.project)
    try:
        version = values["dataset_version"] or freeze_dataset(project=membership.project, by=membership.user)
        return create_job(
            dataset_version=version,
            base_model=values["base_model"],
            suffix=values["suffix"],
            hyperparameters=form.hyperparameters(),
            by=membership.user,
            known_version=newest.job.dataset_version if newest else None,
            method=values["method"],
            tuning=values["tuning"],
            parent=values["parent"],
            setup=form.setup(),
            waits_for_start=True,
        )
    except (NothingToFreeze, LeakedProbe) as error:
        form.add_error("dataset_version", str(error))
    except JobRefused as error:
        form.add_error(error.field, str(error))
    return None


def _replace(key: str, membership: Membership) -> None:
    """Cancel the job whose settings were changed before it was started."""
    jobs = Job.objects.visible_to(membership).filter(state=JobState.VALIDATING_FILES, preflight__waits_for_start=True)
    for job in jobs.filter(key=key):
        try:
            cancel_job(job=job, by=membership.user)
        except NotPossible:  # started or cancelled in this very moment
            continue
