"""Dataset versions in the formats of other programs."""

from typing import Any

from django.http.response import HttpResponseBase
from rest_framework import exceptions, serializers

from common.exports import download, send_file
from labeling.api.endpoint import Call, operation
from labeling.states import Role
from training.actions.export import request_export
from training.formats import FORMATS, Format, find_format
from training.models import DatasetExport, DatasetVersion
from training.queries.exporting import export_text, file_name, find_losses, find_made, read_shapes
from training.states import Split


class SplitAsked(serializers.Serializer):
    split = serializers.ChoiceField(required=False, default="", choices=[("", "all"), *Split.choices])


class FormatAsked(SplitAsked):
    kind = serializers.ChoiceField(
        required=False, default="openai-chat", choices=[each.key for each in FORMATS], help_text="the format"
    )


class LossesShape(serializers.Serializer):
    """How many rows the format leaves out, and of how many it leaves out a part."""

    n_long = serializers.IntegerField(help_text="rows left out: several exchanges")
    n_single = serializers.IntegerField(help_text="rows left out: no rejected answer")
    n_systems = serializers.IntegerField(help_text="rows written without their system message")
    n_rejected = serializers.IntegerField(help_text="rows written without their rejected answer")
    n_weights = serializers.IntegerField(help_text="rows written without the weights of their turns")


class FormatShape(serializers.Serializer):
    format = serializers.CharField(source="wanted.key")
    name = serializers.CharField(source="wanted.name")
    n_rows = serializers.IntegerField(source="losses.n_written")
    losses = LossesShape()
    is_made_ahead = serializers.BooleanField(source="wanted.is_made_ahead", help_text="POST first, then wait")
    state = serializers.CharField(allow_null=True, help_text="of the file, where one is made ahead")
    sha256 = serializers.CharField(allow_null=True)


class ExportShape(serializers.ModelSerializer):
    class Meta:
        model = DatasetExport
        fields = ["format", "split", "state", "n_done", "n_rows", "size_bytes", "sha256", "problem"]


class NotMade(exceptions.APIException):
    status_code = 409
    default_code = "not_made"
    default_detail = "A worker makes this file. POST to this address, then ask again until its state is done."


@operation(Role.ADMIN, query=SplitAsked, answer=FormatShape, is_list=True)
def dataset_export_list(call: Call, number: int) -> list[dict[str, Any]]:
    """List the formats, each with what it would lose of this version."""
    version, split = _version(call, number), call.query["split"]
    shapes = read_shapes(version, split=split)
    made = {row.format: row for row in version.exports.filter(split=split)}
    return [
        {
            "wanted": wanted,
            "losses": find_losses(shapes, wanted),
            "state": made[wanted.key].state if wanted.key in made else None,
            "sha256": made[wanted.key].sha256 or None if wanted.key in made else None,
        }
        for wanted in FORMATS
    ]


@operation(Role.ADMIN, query=FormatAsked, media=("application/jsonl", "text/csv", "application/octet-stream"))
def dataset_export_file(call: Call, number: int) -> HttpResponseBase:
    """Download the version in a format. The same version always gives the same bytes."""
    version, wanted, split = _version(call, number), _format(call.query), call.query["split"]
    name = file_name(version, wanted, split)
    if not wanted.is_made_ahead:
        return download(export_text(version, wanted, split=split), name=name)
    made = find_made(version, wanted, split)
    if made is None:
        raise NotMade
    return send_file(made.path, name=name)


@operation(Role.ADMIN, body=FormatAsked, answer=ExportShape)
def dataset_export_make(call: Call, number: int) -> DatasetExport:
    """Have a worker make the file of a format that is made ahead, or see how far it is."""
    version, wanted = _version(call, number), _format(call.body)
    if not wanted.is_made_ahead:
        fields = {"kind": ["This format is sent at once: GET it."]}
        raise serializers.ValidationError(fields)
    return request_export(version=version, wanted=wanted, split=call.body["split"], by=call.user)


def _version(call: Call, number: int) -> DatasetVersion:
    versions = DatasetVersion.objects.visible_to(call.membership).select_related("project")
    version: DatasetVersion = call.find(versions, number=number)
    return version


def _format(asked: dict[str, Any]) -> Format:
    wanted = find_format(asked["kind"])
    assert wanted is not None
    return wanted
