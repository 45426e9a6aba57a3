"""Examples and their tags."""

from typing import Any

from rest_framework import serializers

from labeling.actions.retraction import retract_example
from labeling.actions.tag import put_tag, take_tag
from labeling.api.criteria import RowsAsked, found
from labeling.api.endpoint import Call, operation
from labeling.api.shapes import ExampleShape, TagNames
from labeling.models import Example
from labeling.states import ExampleKind, Role


class ExamplesAsked(RowsAsked):
    kind = serializers.ChoiceField(required=False, choices=ExampleKind.choices)
    is_retracted = serializers.BooleanField(required=False, default=False)


class TaggedExample(TagNames, ExampleShape):
    class Meta(ExampleShape.Meta):
        fields = [*ExampleShape.Meta.fields, "tags"]


class RetractionAsked(serializers.Serializer):
    reason = serializers.CharField(max_length=500)


class TagAsked(serializers.Serializer):
    name = serializers.CharField(max_length=40)


@operation(Role.REVIEWER, query=ExamplesAsked, answer=TaggedExample, is_list=True)
def example_list(call: Call) -> dict[str, Any]:
    """List examples, the newest first; retracted ones on demand."""
    rows = found(call, "examples").filter(retracted_at__isnull=not call.query["is_retracted"])
    if kind := call.query.get("kind"):
        rows = rows.filter(kind=kind)
    rows = rows.select_related("author", "accepted_by", "instruction_version")
    return call.page(rows.prefetch_related("tags"))


@operation(Role.ADMIN, body=RetractionAsked, answer=TaggedExample)
def example_retract(call: Call, pk: int) -> Example:
    """Take an example out of all later dataset versions."""
    example = call.find(Example.objects.filter(project=call.project), pk=pk)
    retract_example(example=example, by=call.user, reason=call.body["reason"])
    return example


@operation(Role.ADMIN, body=TagAsked, answer=TaggedExample)
def example_tag(call: Call, pk: int) -> Example:
    """Put a tag on an example."""
    example: Example = call.find(Example.objects.filter(project=call.project), pk=pk)
    put_tag(row=example, name=call.body["name"], by=call.user)
    return example


@operation(Role.ADMIN, body=TagAsked, answer=TaggedExample)
def example_untag(call: Call, pk: int) -> Example:
    """Take a tag off an example."""
    example: Example = call.find(Example.objects.filter(project=call.project), pk=pk)
    take_tag(row=example, name=call.body["name"], by=call.user)
    return example
