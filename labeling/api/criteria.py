"""What lists and bulk actions are narrowed by: the filters of the search page."""

from typing import Any

from rest_framework import serializers

from labeling.api.endpoint import Call, PageAsked
from labeling.queries.search import Criteria, narrow, rows_of

KEY = {"min_value": 1, "max_value": 2**63 - 1}


class CriteriaAsked(serializers.Serializer):
    """What is left out narrows nothing; a kind of rows that has no such thing fits no value of it."""

    q = serializers.CharField(required=False, max_length=200, help_text="words, each by its beginning")
    person = serializers.IntegerField(required=False, help_text="who made it or holds it", **KEY)
    tag = serializers.CharField(required=False, max_length=40)
    since = serializers.DateField(required=False)
    until = serializers.DateField(required=False, help_text="the last day")
    instructions = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1, help_text="a version")
    model = serializers.CharField(required=False, max_length=200, help_text="a part of its name")


class RowsAsked(CriteriaAsked, PageAsked):
    """A list by the filters of the search page."""


def criteria(asked: dict[str, Any], *, state: str = "") -> Criteria:
    return Criteria(
        words=asked.get("q", ""),
        person=asked.get("person"),
        state=state,
        tag=asked.get("tag", ""),
        since=asked.get("since"),
        until=asked.get("until"),
        version=asked.get("instructions"),
        model=asked.get("model", ""),
    )


def found(call: Call, kind: str) -> Any:
    """Return the rows of a kind that the person may see and that fit the query."""
    return narrow(rows_of(kind, call.membership), kind, criteria(call.query))
