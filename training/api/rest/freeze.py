"""Freezing a dataset version at /api/v1, by rules, after a look at what they take."""

import math
from collections import Counter
from typing import Any

from rest_framework import serializers

from labeling.api.endpoint import LARGEST_KEY, Call, operation
from labeling.states import Role
from training.actions.composition import MOST_WEIGHT, Composition
from training.actions.dataset import freeze_dataset
from training.actions.dataset_preview import Preview, preview_dataset
from training.actions.errors import BadComposition, Leak, NothingToFreeze
from training.api.dataset import VersionShape
from training.models import DatasetVersion
from training.queries.lineage import mark_retracted
from training.states import RowKind

MOST_VALUES = 1000


def _list_of(child: serializers.Field, help_text: str = "") -> serializers.ListField:
    return serializers.ListField(child=child, required=False, max_length=MOST_VALUES, help_text=help_text)


def _is_finite(value: float) -> None:
    if not math.isfinite(value):
        raise serializers.ValidationError("A number is wanted.")


class RulesAsked(serializers.Serializer):
    """Which texts a version takes. What is left out takes all accepted ones."""

    kinds = _list_of(serializers.ChoiceField(choices=RowKind.choices), "without it corrections and demonstrations")
    tags = _list_of(serializers.CharField(max_length=100), "any of which an example has")
    without_tags = _list_of(serializers.CharField(max_length=100), "none of which it has")
    since = serializers.DateField(required=False, help_text="accepted from this day on")
    until = serializers.DateField(required=False, help_text="accepted up to this day")
    authors = _list_of(serializers.IntegerField(min_value=1, max_value=LARGEST_KEY), "keys of people")
    without_authors = _list_of(serializers.IntegerField(min_value=1, max_value=LARGEST_KEY))
    instructions = _list_of(serializers.IntegerField(min_value=1, max_value=2**31 - 1), "versions followed")
    languages = _list_of(serializers.CharField(max_length=12), "codes such as en or zh")
    least_score = serializers.FloatField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=7,
        validators=[_is_finite],
        help_text="least mean grade of the author on the rubric",
    )
    without = _list_of(serializers.CharField(max_length=64), "hashes of rows")
    weights = serializers.DictField(
        child=serializers.FloatField(min_value=0.05, max_value=MOST_WEIGHT, validators=[_is_finite]),
        required=False,
        help_text="how often an epoch shows a row, by its kind",
    )
    replay_share = serializers.FloatField(
        required=False,
        min_value=0,
        max_value=1,
        validators=[_is_finite],
        help_text="of the rows that an earlier version has",
    )
    test_share = serializers.FloatField(
        required=False,
        min_value=0,
        max_value=0.5,
        validators=[_is_finite],
        help_text="held out for tests",
    )


class FreezeAsked(RulesAsked):
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


class PreviewShape(serializers.Serializer):
    n_rows = serializers.IntegerField()
    is_whole = serializers.BooleanField(help_text="false: of so many rows some rules and counts were left out")
    kinds = serializers.SerializerMethodField(help_text="number of rows by kind")
    splits = serializers.SerializerMethodField(help_text="by split")
    languages = serializers.SerializerMethodField(help_text='by language, "" where it is uncertain')
    authors = serializers.SerializerMethodField(help_text='by the author\'s key, "" where there is none')
    instructions = serializers.SerializerMethodField(help_text='by version of the instructions, "" where there is none')

    def get_kinds(self, found: Preview) -> dict[str, int]:
        return _by_name(found.kinds)

    def get_splits(self, found: Preview) -> dict[str, int]:
        return _by_name(found.splits)

    def get_languages(self, found: Preview) -> dict[str, int]:
        return _by_name(found.languages)

    def get_authors(self, found: Preview) -> dict[str, int]:
        return _by_name(found.authors)

    def get_instructions(self, found: Preview) -> dict[str, int]:
        return _by_name(found.instructions)


@operation(Role.ADMIN, body=RulesAsked, answer=PreviewShape)
def dataset_preview(call: Call) -> Preview:
    """Count what a version by these rules would take now."""
    return preview_dataset(project=call.project, composition=_composition(call.body))


@operation(Role.ADMIN, body=FreezeAsked, answer=VersionShape, status=201)
def dataset_freeze(call: Call) -> DatasetVersion:
    """Freeze a version by these rules, or return the one that holds just the same."""
    rules = {name: value for name, value in call.body.items() if name != "note"}
    try:
        version = freeze_dataset(
            project=call.project, by=call.user, note=call.body["note"], composition=_composition(rules)
        )
    except NothingToFreeze as error:
        raise serializers.ValidationError({"kinds": [str(error)]}) from error
    except Leak as error:
        raise serializers.ValidationError({"without": [str(error)], "leaked_rows": error.row_hashes}) from error
    mark_retracted(call.project, [version])
    return version


def _composition(rules: dict[str, Any]) -> Composition:
    values: dict[str, Any] = {
        name: tuple(map(str, value) if name == "kinds" else value) if isinstance(value, list) else value
        for name, value in rules.items()
    }
    for name in ("since", "until"):
        if name in values:
            values[name] = values[name].isoformat()
    try:
        return Composition(**values)
    except BadComposition as error:
        raise serializers.ValidationError({error.field: [str(error)]}) from error


def _by_name(counts: "Counter[Any]") -> dict[str, int]:
    return {"" if name is None else str(name): n for name, n in counts.items()}
