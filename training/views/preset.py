"""Presets: save, rename, delete, and compare with each other and with former jobs."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from common.htmx import render_page
from labeling.models import Membership
from labeling.queries import require_member
from labeling.states import Role
from training.actions.errors import BadHyperparameter, NameTaken
from training.actions.preset import delete_preset, rename_preset, save_preset
from training.forms.job import JobForm, PresetNameForm
from training.models import Job, Preset
from training.queries.preset import choices, compare_settings, find_settings
from training.states import JobMethod, JobTuning
from training.views.new_job import form_page


@require_GET
@login_required
def preset_list(request: HttpRequest, slug: str) -> HttpResponse:
    """All presets; with `a` and `b` two sets of settings side by side."""
    membership = require_member(request, slug, Role.ADMIN)
    return render_page(request, "training/preset_list.html", _page(request, membership))


@require_POST
@login_required
def preset_save(request: HttpRequest, slug: str) -> HttpResponse:
    """Keep the settings of the form of a new job under a name; the form comes back with them."""
    membership = require_member(request, slug, Role.ADMIN)
    form = JobForm(request.POST, project=membership.project)
    name = PresetNameForm(request.POST, prefix="preset")
    form.is_valid()
    wrong = [field for field in (*form.hyperparameter_names(), *form.setup_names()) if field in form.errors]
    if name.is_valid() and not wrong:
        try:
            preset = save_preset(
                project=membership.project,
                name=name.cleaned_data["name"],
                method=form.cleaned_data.get("method") or JobMethod.SFT,
                tuning=form.cleaned_data.get("tuning") or JobTuning.AUTO,
                setup=form.setup(),
                hyperparameters=form.hyperparameters(),
                by=membership.user,
            )
        except NameTaken as error:
            name.add_error("name", str(error))
        except BadHyperparameter as error:
            form.add_error(error.field, str(error))
        else:
            messages.success(request, _("Saved as “%(name)s”.") % {"name": preset.name})
            return redirect(f"{reverse('training-job-create', args=[slug])}?preset={preset.pk}")
    context = {"form": form, **form_page(request, membership.project), "preset_form": name}
    return render_page(request, "training/job_create.html", context, fragment="training/_job_form.html", status=422)


@require_POST
@login_required
def preset_rename(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    preset = get_object_or_404(Preset, pk=pk, project_id=membership.project_id)
    form = PresetNameForm(request.POST)
    if form.is_valid():
        try:
            rename_preset(preset=preset, name=form.cleaned_data["name"], by=membership.user)
        except NameTaken as error:
            form.add_error("name", str(error))
        else:
            return redirect("training-preset-list", slug)
    context = _page(request, membership) | {"wrong_pk": pk, "wrong": form.errors["name"]}
    return render_page(request, "training/preset_list.html", context, status=422)


@require_POST
@login_required
def preset_delete(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    preset = get_object_or_404(Preset, pk=pk, project_id=membership.project_id)
    delete_preset(preset=preset, by=membership.user)
    messages.success(request, _("The preset “%(name)s” is gone. Jobs keep their settings.") % {"name": preset.name})
    return redirect("training-preset-list", slug)


def _page(request: HttpRequest, membership: Membership) -> dict[str, Any]:
    project = membership.project
    chosen = {side: request.GET.get(side, "") for side in ("a", "b")}
    pair = [find_settings(project, word) for word in chosen.values()]
    return {
        "presets": Preset.objects.filter(project=project).select_related("created_by"),
        "choices": choices(project),
        "chosen": chosen,
        "pair": pair,
        "rows": compare_settings(pair[0], pair[1]) if pair[0] and pair[1] else [],
        "has_jobs": Job.objects.filter(project=project).exists(),
    }
