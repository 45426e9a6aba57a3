"""Examples, and comparisons of two answers."""

from typing import Any

from rest_framework import serializers

from labeling.actions.comparison import next_comparison, skip_comparison, vote
from labeling.actions.retraction import retract_example
from labeling.api.endpoint import Call, PageAsked, operation
from labeling.api.shapes import ComparisonShape, ExampleShape
from labeling.models import Comparison, Example
from labeling.queries import with_words
from labeling.states import ExampleKind, Role, VoteChoice


class ExamplesAsked(PageAsked):
    kind = serializers.ChoiceField(required=False, choices=ExampleKind.choices)
    is_retracted = serializers.BooleanField(required=False, default=False)
    q = serializers.CharField(required=False, max_length=200)


class RetractionAsked(serializers.Serializer):
    reason = serializers.CharField(max_length=500)


class VoteAsked(serializers.Serializer):
    choice = serializers.ChoiceField(choices=VoteChoice.choices, help_text="of the two answers in the order shown")
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)


class VoteSkipAsked(serializers.Serializer):
    reason = serializers.CharField(max_length=200)


class NextComparison(serializers.Serializer):
    comparison = ComparisonShape(allow_null=True, help_text="null when there is none")


@operation(Role.REVIEWER, query=ExamplesAsked, answer=ExampleShape, is_list=True)
def example_list(call: Call) -> dict[str, Any]:
    """List examples, the newest first; retracted ones on demand."""
    rows = Example.objects.filter(project=call.project, retracted_at__isnull=not call.query["is_retracted"])
    if kind := call.query.get("kind"):
        rows = rows.filter(kind=kind)
    if words := call.query.get("q"):
        rows = with_words(rows, words)
    return call.page(rows.select_related("author", "accepted_by", "instruction_version"))


@operation(Role.ADMIN, body=RetractionAsked, answer=ExampleShape)
def example_retract(call: Call, pk: int) -> Example:
    """Take an example out of all later dataset versions."""
    example = call.find(Example.objects.filter(project=call.project), pk=pk)
    retract_example(example=example, by=call.user, reason=call.body["reason"])
    return example


def _comparison(call: Call, pk: int) -> Comparison:
    comparison = call.find(Comparison.objects.filter(project=call.project), pk=pk)
    comparison.project = call.project
    return comparison


@operation(answer=NextComparison)
def comparison_next(call: Call) -> dict[str, Comparison | None]:
    """Take the next comparison to judge."""
    return {"comparison": next_comparison(membership=call.membership)}


@operation(body=VoteAsked)
def comparison_vote(call: Call, pk: int) -> None:
    """Say which answer is better."""
    choice = VoteChoice(call.body["choice"])
    vote(comparison=_comparison(call, pk), membership=call.membership, choice=choice, reason=call.body["reason"])


@operation(body=VoteSkipAsked)
def comparison_skip(call: Call, pk: int) -> None:
    """Leave a comparison to others."""
    skip_comparison(comparison=_comparison(call, pk), membership=call.membership, reason=call.body["reason"])
