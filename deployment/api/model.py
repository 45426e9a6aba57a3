"""GET /v1/models: deployments, base models with their old names, and the project's fine-tuned models."""

from datetime import datetime

from django.conf import settings
from django.http import HttpRequest, JsonResponse

from common.wire import WireError
from deployment.models import Deployment
from labeling.api import require_key
from labeling.models import Project
from training.models import BaseModel, TunedModel
from training.queries import ALIASES

OWNER = "emend"


def index(request: HttpRequest) -> JsonResponse:
    key = require_key(request)
    return JsonResponse({"object": "list", "data": _all_models(key.project)})


def show(request: HttpRequest, name: str) -> JsonResponse:
    key = require_key(request)
    for model in _all_models(key.project):
        if model["id"] == name:
            return JsonResponse(model)
    raise WireError(f"The model '{name}' does not exist", status=404, param="model", code="model_not_found")


def _all_models(project: Project) -> list[dict[str, object]]:
    base_models = list(BaseModel.objects.order_by("-is_default", "pk"))
    found = [
        _show(name, "deployment", project.created_at)
        for name in Deployment.objects.filter(project=project).order_by("pk").values_list("name", flat=True)
    ]
    found += [_show(model.slug, OWNER, model.created_at) for model in base_models]
    if base_models:
        found += [_show(alias, OWNER, base_models[0].created_at) for alias in ALIASES]
    tuned = TunedModel.objects.filter(project=project).only("name", "created_at")
    return found + [_show(model.name, settings.ORGANISATION, model.created_at) for model in tuned]


def _show(name: str, owner: str, created_at: datetime) -> dict[str, object]:
    return {"id": name, "object": "model", "created": int(created_at.timestamp()), "owned_by": owner}
