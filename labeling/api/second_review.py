"""Blind second reviews, and what becomes of a disagreement."""

from typing import Any

from rest_framework import serializers

from labeling.actions.activity import record_activity
from labeling.actions.second_review import (
    judge_again,
    release_second_review,
    settle_disagreement,
    take_second_review,
)
from labeling.api.endpoint import Call, PageAsked, operation
from labeling.api.shapes import Person, Turn
from labeling.models import SecondReview
from labeling.states import Role, Settlement, Verdict


class SecondReviewShape(serializers.ModelSerializer):
    """A decided text. Neither its author nor the first verdict is said."""

    messages = Turn(many=True, source="submission.messages")
    instructions = serializers.IntegerField(
        source="submission.instruction_version.number", allow_null=True, default=None
    )
    held_until = serializers.DateTimeField(source="lease_expires_at", allow_null=True)

    class Meta:
        model = SecondReview
        fields = ["id", "messages", "instructions", "held_until"]


class NextSecondReview(serializers.Serializer):
    second_review = SecondReviewShape(allow_null=True, help_text="null when none waits")


class SecondNextAsked(serializers.Serializer):
    after = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**63 - 1)


class JudgementAsked(serializers.Serializer):
    is_accepted = serializers.BooleanField()
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)


class Disagreement(serializers.ModelSerializer):
    """Both verdicts on one submission."""

    submission = serializers.IntegerField(source="submission_id")
    first_verdict = serializers.ChoiceField(source="submission.review.verdict", choices=Verdict.choices)
    first_reviewer = Person(source="submission.review.reviewer")
    reviewer = Person()
    settlement = serializers.ChoiceField(choices=Settlement.choices, allow_blank=True)

    class Meta:
        model = SecondReview
        fields = [
            *("id", "submission", "first_verdict", "first_reviewer", "is_accepted", "reviewer", "reason"),
            *("settlement", "judged_at"),
        ]


class DisagreementsAsked(PageAsked):
    is_settled = serializers.BooleanField(required=False, default=False)


class SettlementAsked(serializers.Serializer):
    settlement = serializers.ChoiceField(choices=Settlement.choices)
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)


def _find(call: Call, pk: int) -> SecondReview:
    """Return one that this person may give or has given; their own text and first verdicts are not there."""
    rows = SecondReview.objects.filter(submission__project=call.project).exclude(submission__author=call.user)
    rows = rows.exclude(submission__review__reviewer=call.user)
    found: SecondReview = call.find(rows.select_related("submission__instruction_version"), pk=pk)
    return found


@operation(Role.REVIEWER, body=SecondNextAsked, answer=NextSecondReview)
def second_review_next(call: Call) -> dict[str, SecondReview | None]:
    """Take the oldest decided text that waits for a second verdict."""
    record_activity(membership=call.membership)
    row = take_second_review(project=call.project, reviewer=call.user, after=call.body["after"])
    return {"second_review": row and _find(call, row.pk)}


@operation(Role.REVIEWER, body=JudgementAsked)
def second_review_judge(call: Call, pk: int) -> None:
    """Say whether one would accept it."""
    record_activity(membership=call.membership)
    judge_again(second=_find(call, pk), by=call.user, **call.body)


@operation(Role.REVIEWER)
def second_review_skip(call: Call, pk: int) -> None:
    """Leave it to the other reviewers."""
    release_second_review(second=_find(call, pk), by=call.user)


def _disagreements(call: Call) -> Any:
    rows = SecondReview.objects.all().disagreeing(call.membership)
    return rows.select_related("reviewer", "submission__review__reviewer")


@operation(Role.ADMIN, query=DisagreementsAsked, answer=Disagreement, is_list=True)
def disagreement_list(call: Call) -> dict[str, Any]:
    """List where two reviewers differ, the newest first."""
    rows = _disagreements(call)
    return call.page(rows.exclude(settlement="") if call.query["is_settled"] else rows.filter(settlement=""))


@operation(Role.ADMIN, body=SettlementAsked, answer=Disagreement)
def disagreement_settle(call: Call, pk: int) -> SecondReview:
    """Keep the first verdict, or have the text reviewed once more."""
    row: SecondReview = call.find(_disagreements(call), pk=pk)
    settle_disagreement(
        second=row,
        settlement=Settlement(call.body["settlement"]),
        membership=call.membership,
        reason=call.body["reason"],
    )
    row.refresh_from_db(fields=["settlement"])
    return row
