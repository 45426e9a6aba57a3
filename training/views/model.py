from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from common.exports import send_file, send_folder
from common.htmx import render_page
from common.pagination import paginate
from labeling.queries import require_member
from labeling.states import Role
from training.actions.artefacts import fetch_model
from training.actions.errors import ExportFailed
from training.actions.model_files import make_gguf
from training.models import BaseModel, Evaluation, ProjectBaseModel, TunedModel
from training.queries import files_of_model, passes, sources
from training.queries.lineage import ancestors_of, retracted_counts_of_models


@require_GET
@login_required
def model_list(request: HttpRequest, slug: str) -> HttpResponse:
    """The project's models, newest first, and the catalog of base models."""
    membership = require_member(request, slug, Role.REVIEWER)
    evaluations = Prefetch("evaluations", Evaluation.objects.select_related("baseline").order_by("-pk"))
    models = TunedModel.objects.visible_to(membership).select_related(
        "base_model", "job__dataset_version", "job__parent"
    )
    page = paginate(request, models.prefetch_related(evaluations))
    rows = [{"model": model, "evaluation": next(iter(model.evaluations.all()), None)} for model in page]
    retracted = retracted_counts_of_models(membership.project)
    for row in rows:
        row["passes"] = row["evaluation"] is not None and passes(row["evaluation"])
        row["n_retracted"] = retracted.get(row["model"].pk, 0)
    context: dict[str, Any] = {
        "page": page,
        "rows": rows,
        "base_models": BaseModel.objects.order_by("-is_default", "name"),
    }
    chosen = ProjectBaseModel.objects.filter(project=membership.project)
    context["chosen_pk"] = chosen.values_list("base_model", flat=True).first()
    return render_page(request, "training/model_list.html", context)


@require_GET
@login_required
def model_download(request: HttpRequest, slug: str, pk: int) -> HttpResponseBase:
    """The merged weights with tokenizer and card, as one file that is made while it is sent."""
    membership = require_member(request, slug, Role.ADMIN)
    model = get_object_or_404(TunedModel.objects.visible_to(membership), pk=pk)
    if not fetch_model(model=model):
        messages.error(request, _("The model's folder is not on this machine."))
        return redirect("training-model-lineage", slug, pk)
    return send_folder(model.folder, name=model.job.key)


@require_GET
@login_required
def model_gguf(request: HttpRequest, slug: str, pk: int) -> HttpResponseBase:
    """The model as one GGUF file, made at the first time that it is asked for."""
    membership = require_member(request, slug, Role.ADMIN)
    model = get_object_or_404(TunedModel.objects.visible_to(membership).select_related("job"), pk=pk)
    try:
        path = make_gguf(model=model)
    except ExportFailed as error:
        messages.error(request, str(error))
        return redirect("training-model-lineage", slug, pk)
    return send_file(path, name=path.name)


@require_GET
@login_required
def model_lineage(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """What a model is made of: base model, the model that it goes on from, rows by kind, person and instructions."""
    membership = require_member(request, slug, Role.REVIEWER)
    models = TunedModel.everything.visible_to(membership).select_related("base_model", "job__dataset_version")
    model = get_object_or_404(models, pk=pk)
    context = {
        "model": model,
        "version": model.job.dataset_version,
        "ancestors": ancestors_of(model),
        "files": files_of_model(model),
        "sources": sources(model.job.dataset_version),
        "n_retracted": retracted_counts_of_models(membership.project).get(model.pk, 0),
    }
    return render_page(request, "training/model_lineage.html", context)
