"""The catalog of base models, which all projects share, for programs."""

from collections.abc import Iterable

from rest_framework import serializers

from labeling.api.endpoint import Call, operation
from labeling.states import Role
from training.models import BaseModel
from training.queries import default_base_model
from training.states import BaseModelState


class BaseModelShape(serializers.ModelSerializer):
    standing = serializers.ChoiceField(choices=BaseModelState.choices, help_text="where its weights are")
    is_project_default = serializers.BooleanField(help_text="whether the project's jobs begin with it")

    class Meta:
        model = BaseModel
        fields = [
            *("slug", "name", "source", "aliases", "n_parameters", "context_tokens", "licence"),
            *("training_price", "inference_price", "standing", "problem", "is_project_default"),
        ]


@operation(Role.ADMIN, answer=BaseModelShape, is_list=True)
def base_model_list(call: Call) -> list[BaseModel]:
    """List the base models, with their prices and where their weights are."""
    return _found(call, BaseModel.objects.order_by("-is_default", "name"))


@operation(Role.ADMIN, answer=BaseModelShape)
def base_model_show(call: Call, key: str) -> BaseModel:
    """Show one base model, by its short name."""
    return _found(call, [call.find(BaseModel.objects.all(), slug=key)])[0]


def _found(call: Call, base_models: Iterable[BaseModel]) -> list[BaseModel]:
    default = default_base_model(call.project)
    found = list(base_models)
    for base_model in found:
        base_model.is_project_default = base_model == default  # type: ignore[attr-defined]
    return found
