"""Comparisons of two answers: judging them, and looking after them."""

import json
from typing import Any

from django.db.models import Count
from rest_framework import serializers

from labeling.actions.activity import record_activity
from labeling.actions.comparison import (
    next_comparison,
    restore_comparison,
    retire_comparison,
    skip_comparison,
    vote,
)
from labeling.actions.comparison_import import ImportedComparisons, import_comparisons, pair_submissions
from labeling.actions.project import update_judging
from labeling.api.endpoint import Call, PageAsked, operation
from labeling.api.shapes import LONGEST_TEXT, ComparisonShape, Person, Turn
from labeling.forms.comparison import MAX_PEOPLE
from labeling.models import Comparison, Project, Vote
from labeling.queries import with_words
from labeling.states import ComparisonOutcome, ComparisonSource, ComparisonState, Role, VoteChoice


class VoteAsked(serializers.Serializer):
    choice = serializers.ChoiceField(choices=VoteChoice.choices, help_text="of the two answers in the order shown")
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)


class WhyAsked(serializers.Serializer):
    reason = serializers.CharField(max_length=200)


class NextComparison(serializers.Serializer):
    comparison = ComparisonShape(allow_null=True, help_text="null when there is none")


class ComparisonsAsked(PageAsked):
    state = serializers.ChoiceField(required=False, choices=ComparisonState.choices)
    q = serializers.CharField(required=False, max_length=200)


class PairAsked(serializers.Serializer):
    messages = Turn(many=True, allow_empty=False, help_text="the prompt: it ends with the user")
    answer_a = serializers.CharField(max_length=LONGEST_TEXT, trim_whitespace=False)
    answer_b = serializers.CharField(max_length=LONGEST_TEXT, trim_whitespace=False)
    origin_a = serializers.CharField(required=False, allow_blank=True, max_length=200)
    origin_b = serializers.CharField(required=False, allow_blank=True, max_length=200)


class PairsAsked(serializers.Serializer):
    comparisons = PairAsked(many=True, allow_empty=False, max_length=1000)
    n_people = serializers.IntegerField(
        required=False, min_value=1, max_value=MAX_PEOPLE, help_text="who judge each; the project's number without it"
    )


class PairsAdded(serializers.Serializer):
    n_added = serializers.IntegerField()
    n_there = serializers.IntegerField()
    bad = serializers.SerializerMethodField(help_text="[number from 1, why]")

    def get_bad(self, row: ImportedComparisons) -> list[list[Any]]:
        return [[number, str(why)] for number, why, _line in row.bad_lines]


class ComparisonRow(serializers.ModelSerializer):
    """A comparison with where its answers come from, for admins."""

    state = serializers.ChoiceField(choices=ComparisonState.choices)
    messages = Turn(many=True)
    source = serializers.ChoiceField(choices=ComparisonSource.choices)
    outcome = serializers.ChoiceField(choices=ComparisonOutcome.choices, allow_blank=True)
    n_votes = serializers.IntegerField()

    class Meta:
        model = Comparison
        fields = [
            *("id", "state", "messages", "answer_a", "answer_b", "origin_a", "origin_b", "source", "n_people"),
            *("n_votes", "outcome", "created_at", "decided_at"),
        ]


class VoteShape(serializers.ModelSerializer):
    person = Person()
    choice = serializers.ChoiceField(choices=VoteChoice.choices)
    first_side = serializers.ChoiceField(choices=[("a", "a"), ("b", "b")])

    class Meta:
        model = Vote
        fields = ["person", "choice", "first_side", "reason", "created_at"]


class ComparisonSkipShape(serializers.Serializer):
    person = Person()
    reason = serializers.CharField()


class ComparisonWhole(ComparisonRow):
    votes = VoteShape(many=True)
    skips = ComparisonSkipShape(many=True)

    class Meta(ComparisonRow.Meta):
        fields = [*ComparisonRow.Meta.fields, "votes", "skips"]


class JudgingShape(serializers.ModelSerializer):
    n_comparison_people = serializers.IntegerField(min_value=1, max_value=MAX_PEOPLE)
    needs_comparison_reason = serializers.BooleanField()
    second_review_share = serializers.IntegerField(min_value=0, max_value=100, help_text="percent of what is decided")

    class Meta:
        model = Project
        fields = ["n_comparison_people", "needs_comparison_reason", "second_review_share"]


def _find(call: Call, pk: int) -> Comparison:
    comparison: Comparison = call.find(Comparison.objects.filter(project=call.project), pk=pk)
    comparison.project = call.project
    return comparison


def _rows(call: Call) -> Any:
    return Comparison.objects.filter(project=call.project).annotate(n_votes=Count("votes"))


@operation(answer=NextComparison)
def comparison_next(call: Call) -> dict[str, Comparison | None]:
    """Take the next comparison to judge."""
    record_activity(membership=call.membership)
    return {"comparison": next_comparison(membership=call.membership)}


@operation(body=VoteAsked)
def comparison_vote(call: Call, pk: int) -> None:
    """Say which answer is better."""
    record_activity(membership=call.membership)
    choice = VoteChoice(call.body["choice"])
    vote(comparison=_find(call, pk), membership=call.membership, choice=choice, reason=call.body["reason"])


@operation(body=WhyAsked)
def comparison_skip(call: Call, pk: int) -> None:
    """Leave a comparison to others."""
    skip_comparison(comparison=_find(call, pk), membership=call.membership, reason=call.body["reason"])


@operation(Role.ADMIN, query=ComparisonsAsked, answer=ComparisonRow, is_list=True)
def comparison_list(call: Call) -> dict[str, Any]:
    """List the comparisons, the newest first, with where their answers come from."""
    rows = _rows(call)
    if state := call.query.get("state"):
        rows = rows.filter(state=state)
    if words := call.query.get("q"):
        rows = with_words(rows, words)
    return call.page(rows)


@operation(Role.ADMIN, body=PairsAsked, answer=PairsAdded, status=201)
def comparison_add(call: Call) -> ImportedComparisons:
    """Queue pairs of answers to be compared; a bad one stops nothing, one that is there is counted."""
    lines = [json.dumps(each) for each in call.body["comparisons"]]
    n_people = call.body.get("n_people") or call.project.n_comparison_people
    return import_comparisons(project=call.project, lines=lines, n_people=n_people, by=call.user)


@operation(Role.ADMIN, answer=PairsAdded, status=201)
def comparison_pair(call: Call) -> ImportedComparisons:
    """Make comparisons of what two people wrote for the same prompt."""
    return pair_submissions(project=call.project, by=call.user)


@operation(Role.ADMIN, answer=ComparisonWhole)
def comparison_show(call: Call, pk: int) -> Comparison:
    """Show one with its votes and skips."""
    row: Comparison = call.find(_rows(call).prefetch_related("votes__person", "skips__person"), pk=pk)
    return row


@operation(Role.ADMIN, body=WhyAsked, answer=ComparisonWhole)
def comparison_retire(call: Call, pk: int) -> Comparison:
    """Take a comparison out for good, with its preference pair."""
    retire_comparison(comparison=_find(call, pk), by=call.user, reason=call.body["reason"])
    row: Comparison = call.find(_rows(call), pk=pk)
    return row


@operation(Role.ADMIN, answer=ComparisonWhole)
def comparison_restore(call: Call, pk: int) -> Comparison:
    """Offer a comparison again that was set aside after three skips."""
    restore_comparison(comparison=_find(call, pk), by=call.user)
    row: Comparison = call.find(_rows(call), pk=pk)
    return row


@operation(Role.ADMIN, answer=JudgingShape)
def judging_show(call: Call) -> Project:
    """Show the settings of comparisons and second reviews."""
    return call.project


@operation(Role.ADMIN, body=JudgingShape, answer=JudgingShape)
def judging_set(call: Call) -> Project:
    """Set how many people judge a comparison, whether they say why, and how much gets a second review."""
    return update_judging(project=call.project, by=call.user, **call.body)
