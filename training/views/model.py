from django.contrib.auth.decorators import login_required
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from common.htmx import render_page
from common.pagination import paginate
from labeling.queries import require_member
from labeling.states import Role
from training.models import BaseModel, Evaluation, TunedModel
from training.queries import passes


@require_GET
@login_required
def model_list(request: HttpRequest, slug: str) -> HttpResponse:
    """The project's models, newest first, and the catalog of base models."""
    membership = require_member(request, slug, Role.REVIEWER)
    evaluations = Prefetch("evaluations", Evaluation.objects.select_related("baseline").order_by("-pk"))
    models = TunedModel.objects.visible_to(membership).select_related("base_model", "job__dataset_version")
    page = paginate(request, models.prefetch_related(evaluations))
    rows = [{"model": model, "evaluation": next(iter(model.evaluations.all()), None)} for model in page]
    for row in rows:
        row["passes"] = row["evaluation"] is not None and passes(row["evaluation"])
    context = {"page": page, "rows": rows, "base_models": BaseModel.objects.order_by("-is_default", "name")}
    return render_page(request, "training/model_list.html", context)
