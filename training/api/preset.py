"""Presets: settings of a job under a name."""

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from labeling.api.endpoint import Call, operation
from labeling.states import Role
from training.actions.errors import BadHyperparameter, NameTaken
from training.actions.preset import delete_preset, rename_preset, save_preset
from training.models import Preset
from training.states import JobMethod, JobTuning


class PresetShape(serializers.ModelSerializer):
    hyperparameters = serializers.DictField(help_text='each "auto" or a number')
    setup = serializers.DictField(help_text="recipe, processes, fsdp, where asked for")

    class Meta:
        model = Preset
        fields = ["id", "name", "method", "tuning", "setup", "hyperparameters", "created_at"]


class PresetAsked(serializers.Serializer):
    name = serializers.CharField(max_length=60)
    method = serializers.ChoiceField(required=False, default=JobMethod.SFT, choices=JobMethod.choices)
    tuning = serializers.ChoiceField(required=False, default=JobTuning.AUTO, choices=JobTuning.choices)
    setup = serializers.DictField(required=False, default=dict, help_text="recipe, processes, fsdp")
    hyperparameters = serializers.DictField(required=False, default=dict, help_text='each "auto" or a number')


class PresetNameAsked(serializers.Serializer):
    name = serializers.CharField(max_length=60)


@operation(Role.ADMIN, answer=PresetShape, is_list=True)
def preset_list(call: Call) -> dict[str, Any]:
    """List the project's presets."""
    return call.page(_presets(call))


@operation(Role.ADMIN, body=PresetAsked, answer=PresetShape, status=201)
def preset_save(call: Call) -> Preset:
    """Keep settings under a new name."""
    try:
        return save_preset(project=call.project, by=call.user, **call.body)
    except NameTaken as error:
        raise serializers.ValidationError({"name": [str(error)]}) from error
    except BadHyperparameter as error:
        raise serializers.ValidationError({"hyperparameters": {error.field: [str(error)]}}) from error


@operation(Role.ADMIN, answer=PresetShape)
def preset_show(call: Call, pk: int) -> Preset:
    """Show one preset."""
    preset: Preset = call.find(_presets(call), pk=pk)
    return preset


@operation(Role.ADMIN, body=PresetNameAsked, answer=PresetShape)
def preset_rename(call: Call, pk: int) -> Preset:
    """Give a preset another name."""
    preset: Preset = call.find(_presets(call), pk=pk)
    try:
        rename_preset(preset=preset, name=call.body["name"], by=call.user)
    except NameTaken as error:
        raise serializers.ValidationError({"name": [str(error)]}) from error
    return preset


@operation(Role.ADMIN, status=204)
def preset_delete(call: Call, pk: int) -> None:
    """Delete a preset; jobs that used it keep their settings."""
    delete_preset(preset=call.find(_presets(call), pk=pk), by=call.user)


def _presets(call: Call) -> "QuerySet[Preset]":
    return Preset.objects.filter(project=call.project)
