"""/v1/models: deployments, base models with their old names, and the project's fine-tuned models under both names."""

from datetime import datetime

from django.conf import settings
from django.http import HttpRequest, JsonResponse

from common.wire import WireError
from deployment.actions.errors import ModelIsLive
from deployment.actions.release import retire_model
from deployment.models import Deployment
from labeling.api.key import require_key
from labeling.models import Project
from labeling.states import Scope
from training.actions.errors import ModelInUse
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
    raise _unknown(name)


def delete(request: HttpRequest, name: str) -> JsonResponse:
    """Delete a fine-tuned model that no deployment answers with."""
    key = require_key(request, Scope.JOBS)
    model = TunedModel.objects.filter(project=key.project).named(name).first()
    if model is None:
        if any(known["id"] == name for known in _all_models(key.project)):
            raise WireError(f"The model '{name}' is not a fine-tuned one and stays.", param="model")
        raise _unknown(name)
    try:
        retire_model(model=model, by=key.user)
    except (ModelIsLive, ModelInUse) as error:
        raise WireError(str(error), param="model", code="model_in_use") from error
    return JsonResponse({"id": name, "object": "model", "deleted": True})


def _unknown(name: str) -> WireError:
    message = f"The model '{name[:300]}' does not exist"
    return WireError(message, status=404, param="model", code="model_not_found")


def _all_models(project: Project) -> list[dict[str, object]]:
    """Return all names that can be asked; a name that two could claim is its first one's, as in the gateway."""
    deployments = Deployment.objects.filter(project=project).order_by("pk")
    found = [_show(deployment.name, "deployment", project.created_at) for deployment in deployments]
    base_models = list(BaseModel.objects.order_by("-is_default", "pk"))
    for base_model in base_models:
        names = [base_model.slug, *base_model.aliases]
        found += [_show(name, OWNER, base_model.created_at) for name in names]
    if base_models:
        found += [_show(name, OWNER, base_models[0].created_at) for name in ALIASES]
    for tuned_model in TunedModel.objects.filter(project=project):
        names = [tuned_model.name, *filter(None, [tuned_model.alias])]
        found += [_show(name, settings.ORGANISATION, tuned_model.created_at) for name in names]
    return list({model["id"]: model for model in reversed(found)}.values())[::-1]


def _show(name: str, owner: str, created_at: datetime) -> dict[str, object]:
    return {"id": name, "object": "model", "created": int(created_at.timestamp()), "owned_by": owner}
