"""Fine-tuned models at /api/v1."""

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from rest_framework import exceptions

from common.exports import send_file, send_folder
from labeling.api.endpoint import Call, operation
from labeling.states import Role
from training.actions.artefacts import fetch_model
from training.actions.errors import ExportFailed
from training.actions.model_files import make_gguf
from training.api.rest.shapes import ModelShape, WholeModelShape
from training.models import TunedModel
from training.queries import files_of_model


class NotHere(exceptions.APIException):
    status_code = 409
    default_code = "not_here"
    default_detail = "The model's folder is not on this machine."


@operation(Role.REVIEWER, answer=ModelShape, is_list=True)
def model_list(call: Call) -> dict[str, Any]:
    """List the models, newest first."""
    return call.page(_models(call))


@operation(Role.REVIEWER, answer=WholeModelShape)
def model_show(call: Call, pk: int) -> TunedModel:
    """Show a model, with its files and what the trainer measured."""
    model = _model(call, pk)
    model.files = [{"name": name, "size_bytes": size} for name, size in files_of_model(model)]  # type: ignore[attr-defined]
    return model


@operation(Role.ADMIN, media=("application/x-tar",))
def model_download(call: Call, pk: int) -> HttpResponseBase:
    """Download the merged weights with tokenizer and card, as one tar file."""
    model = _model(call, pk)
    if not fetch_model(model=model):
        raise NotHere
    return send_folder(model.folder, name=model.job.key)


@operation(Role.ADMIN, media=("application/octet-stream",))
def model_gguf(call: Call, pk: int) -> HttpResponseBase:
    """Download the model as one GGUF file, which is made at the first time."""
    try:
        path = make_gguf(model=_model(call, pk))
    except ExportFailed as error:
        raise NotHere(str(error)) from error
    return send_file(path, name=path.name)


def _models(call: Call) -> "QuerySet[TunedModel]":
    models = TunedModel.objects.visible_to(call.membership)
    return models.select_related("base_model", "job__dataset_version", "job__parent")


def _model(call: Call, pk: int) -> TunedModel:
    model: TunedModel = call.find(_models(call), pk=pk)
    return model
