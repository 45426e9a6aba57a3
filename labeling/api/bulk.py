"""One thing done to many rows, and undone."""

from typing import Any

from rest_framework import serializers

from labeling.actions.bulk import run_bulk, stop_bulk, undo_bulk
from labeling.actions.bulk_deeds import DEEDS, ROLES
from labeling.api.criteria import KEY, CriteriaAsked, criteria
from labeling.api.endpoint import Call, operation
from labeling.api.shapes import Person
from labeling.models import BulkAction
from labeling.queries.search import narrow, rows_of
from labeling.states import BulkState, Role

KINDS = [(kind, kind) for kind in ROLES]
MOST_KEYS = 10_000


class BulkFilters(CriteriaAsked):
    state = serializers.CharField(required=False, max_length=20, help_text="of a row; of examples also the kind")


class BulkAsked(serializers.Serializer):
    rows = serializers.ChoiceField(choices=KINDS)
    what = serializers.ChoiceField(
        choices=sorted({name for deeds in DEEDS.values() for name in deeds}),
        help_text="; ".join(f"{kind}: {', '.join(deeds)}" for kind, deeds in DEEDS.items()),
    )
    value = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=400, help_text="the tag, the reason, 1 to 3, a person"
    )
    ids = serializers.ListField(child=serializers.IntegerField(**KEY), required=False, max_length=MOST_KEYS)
    matching = BulkFilters(required=False, help_text="instead of `ids`: all rows that fit, {} for all of the project")

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if ("ids" in asked) == ("matching" in asked):
            raise serializers.ValidationError("Give either `ids` or `matching`.")
        return asked


class BulkShape(serializers.ModelSerializer):
    rows = serializers.ChoiceField(choices=KINDS, source="kind")
    state = serializers.ChoiceField(choices=BulkState.choices)
    problems = serializers.ListField(child=serializers.ListField(), help_text="[why it was not done, to how many rows]")
    undo_problems = serializers.ListField(child=serializers.ListField())
    by = Person()

    class Meta:
        model = BulkAction
        fields = [
            *("id", "rows", "what", "value", "state", "percent", "n_rows", "n_handled", "n_done", "problems"),
            *("n_undone", "undo_problems", "by", "created_at", "undone_at"),
        ]


def _find(call: Call, pk: int) -> BulkAction:
    bulk: BulkAction = call.find(call.project.bulk_actions.select_related("by", "undone_by"), pk=pk)
    call.require(ROLES[bulk.kind])
    return bulk


@operation(Role.REVIEWER, body=BulkAsked, answer=BulkShape, status=201)
def bulk_run(call: Call) -> BulkAction:
    """Do one thing to many rows: cases, and for admins tasks and examples.

    More than a thousand rows are done in the background: the answer then has the state `running`.
    """
    asked = call.body
    kind = asked["rows"]
    call.require(ROLES[kind])
    rows = rows_of(kind, call.membership)
    if "ids" in asked:
        rows = rows.filter(pk__in=asked["ids"])
    else:
        filters = asked["matching"]
        rows = narrow(rows, kind, criteria(filters, state=filters.get("state", "")))
    keys = rows.order_by("pk").values_list("pk", flat=True)
    return run_bulk(project=call.project, kind=kind, what=asked["what"], value=asked["value"], keys=keys, by=call.user)


@operation(Role.REVIEWER, answer=BulkShape)
def bulk_show(call: Call, pk: int) -> BulkAction:
    """Show how far it is, what was done and what could not be."""
    return _find(call, pk)


@operation(Role.REVIEWER, answer=BulkShape)
def bulk_stop(call: Call, pk: int) -> BulkAction:
    """Leave the rest of the rows as they are."""
    bulk = _find(call, pk)
    stop_bulk(bulk=bulk, by=call.user)
    return bulk


@operation(Role.REVIEWER, answer=BulkShape)
def bulk_undo(call: Call, pk: int) -> BulkAction:
    """Give each row its former value back, but for those that changed since."""
    bulk = _find(call, pk)
    undo_bulk(bulk=bulk, by=call.user)
    return bulk
