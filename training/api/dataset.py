"""Dataset versions: what they hold, how two differ, where a row comes from."""

from typing import Any

from rest_framework import serializers

from labeling.api.endpoint import LARGEST_KEY, Call, PageAsked, operation
from labeling.api.shapes import Person, Turn
from labeling.states import Role
from training.actions.note import change_note
from training.models import DatasetRow, DatasetStatistics, DatasetVersion
from training.queries import previous_version
from training.queries.diff import KINDS, Change, diff_versions
from training.queries.lineage import mark_retracted, origins_of, versions_with
from training.queries.rows import Criteria, narrow, page_of
from training.states import Split


class VersionShape(serializers.ModelSerializer):
    created_by = Person(allow_null=True)
    n_rows = serializers.IntegerField(source="n_examples")
    n_retracted = serializers.IntegerField(help_text="rows whose text was taken back since")

    class Meta:
        model = DatasetVersion
        fields = [
            "number",
            "content_hash",
            "n_rows",
            "n_train",
            "n_valid",
            "n_test",
            "n_retracted",
            "note",
            "created_by",
            "created_at",
        ]


class WholeVersionShape(VersionShape):
    statistics = serializers.SerializerMethodField(help_text="the figures; null until a worker has counted them")

    class Meta(VersionShape.Meta):
        fields = [*VersionShape.Meta.fields, "statistics"]

    def get_statistics(self, row: DatasetVersion) -> dict[str, Any] | None:
        found = DatasetStatistics.objects.filter(version=row).first()
        return found.data if found is not None and found.finished_at and not found.error else None


class NoteAsked(serializers.Serializer):
    note = serializers.CharField(allow_blank=True, max_length=500)


class RowsAsked(serializers.Serializer):
    """Which rows, and which part of them."""

    q = serializers.CharField(required=False, default="", max_length=200, help_text="words that the row has")
    split = serializers.ChoiceField(required=False, default="", choices=[("", "any"), *Split.choices])
    kind = serializers.CharField(required=False, default="", max_length=15)
    person = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_KEY)
    language = serializers.CharField(required=False, default="", max_length=12)
    is_retracted = serializers.BooleanField(required=False, default=False)
    after = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1, help_text="`next` of a page")
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=200)


class RowShape(serializers.ModelSerializer):
    messages = Turn(many=True)
    kind = serializers.CharField()
    split = serializers.ChoiceField(choices=Split.choices)
    example = serializers.IntegerField(source="example_id", allow_null=True)

    class Meta:
        model = DatasetRow
        fields = ["position", "split", "kind", "messages", "rejected", "row_hash", "example"]


class OriginShape(serializers.Serializer):
    """How a row came about; null for a row of a file."""

    author = Person(allow_null=True)
    reviewer = Person(allow_null=True)
    instructions = serializers.IntegerField(source="instruction_version.number", allow_null=True, default=None)
    submission = serializers.IntegerField(source="example.submission_id", allow_null=True)
    correction = serializers.IntegerField(source="example.correction_id", allow_null=True)
    case = serializers.IntegerField(source="case.pk", allow_null=True, default=None)
    completion = serializers.CharField(
        source="completion_key", help_text="the logged answer, empty where there is none"
    )
    said_by = serializers.CharField(source="model_name", help_text="the model that gave the wrong output")


class WholeRowShape(RowShape):
    origin = OriginShape(allow_null=True)
    comparison = serializers.IntegerField(source="pair.comparison_id", allow_null=True, default=None)
    versions = serializers.ListField(child=serializers.IntegerField(), help_text="numbers of those that hold it")

    class Meta(RowShape.Meta):
        fields = [*RowShape.Meta.fields, "origin", "comparison", "versions"]


class DiffAsked(serializers.Serializer):
    """The older version, and which of the rows."""

    # `with` is a word of the language, so it cannot be an attribute's name.
    def get_fields(self) -> dict[str, Any]:
        return {
            "with": serializers.IntegerField(
                required=False,
                min_value=1,
                max_value=2**31 - 1,
                help_text="number of the older version; else the one before",
            ),
            "show": serializers.ChoiceField(required=False, choices=KINDS, default="added"),
            "start": serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**31 - 1),
            "limit": serializers.IntegerField(required=False, default=50, min_value=1, max_value=200),
        }


class PieceShape(serializers.Serializer):
    kind = serializers.ChoiceField(choices=["same", "removed", "added"])
    text = serializers.CharField()


class TurnDiffShape(serializers.Serializer):
    role = serializers.CharField()
    pieces = PieceShape(many=True)


class ChangeShape(serializers.Serializer):
    old = RowShape(allow_null=True)
    new = RowShape(allow_null=True)
    turns = TurnDiffShape(many=True, help_text="the conversation with its changes, word by word")


class CountShape(serializers.Serializer):
    added = serializers.IntegerField()
    removed = serializers.IntegerField()
    changed = serializers.IntegerField()


class SourceCount(CountShape):
    kind = serializers.CharField(source="label")


class PersonCount(CountShape):
    person = Person(source="label", allow_null=True)


class DiffShape(serializers.Serializer):
    counts = CountShape()
    by_source = SourceCount(many=True)
    by_person = PersonCount(many=True)
    changes = ChangeShape(many=True)
    next = serializers.IntegerField(allow_null=True, help_text="the `start` to go on with, null at the end")


def _find(call: Call, number: int) -> DatasetVersion:
    version = call.find(DatasetVersion.objects.visible_to(call.membership).select_related("created_by"), number=number)
    mark_retracted(call.project, [version])
    return version  # type: ignore[no-any-return]


@operation(Role.ADMIN, query=PageAsked, answer=VersionShape, is_list=True)
def dataset_list(call: Call) -> dict[str, Any]:
    """List dataset versions, the newest first."""
    page = call.page(DatasetVersion.objects.visible_to(call.membership).select_related("created_by"))
    mark_retracted(call.project, page["items"])
    return page


@operation(Role.ADMIN, answer=WholeVersionShape)
def dataset_show(call: Call, number: int) -> DatasetVersion:
    """Show a dataset version with its figures."""
    return _find(call, number)


@operation(Role.ADMIN, body=NoteAsked, answer=WholeVersionShape)
def dataset_note(call: Call, number: int) -> DatasetVersion:
    """Change the note of a dataset version."""
    version = _find(call, number)
    change_note(version=version, note=call.body["note"], by=call.user)
    return version


@operation(Role.ADMIN, query=RowsAsked, answer=RowShape, is_list=True)
def row_list(call: Call, number: int) -> dict[str, Any]:
    """List the rows of a version in their order, searched and filtered."""
    asked = call.query
    criteria = Criteria(
        words=asked["q"].strip(),
        split=asked["split"],
        kind=asked["kind"],
        person=str(asked.get("person", "")),
        language=asked["language"],
        is_retracted=asked["is_retracted"],
    )
    page = page_of(narrow(_find(call, number).rows.all(), criteria), after=asked.get("after"), size=asked["limit"])
    return {"items": page.rows, "next": page.after}


@operation(Role.ADMIN, answer=WholeRowShape)
def row_show(call: Call, number: int, position: int) -> DatasetRow:
    """Show a row with where it comes from and the versions that hold it."""
    row = call.find(_find(call, number).rows.select_related("version"), position=position)
    row.origin = origins_of([row]).get(row.pk)
    row.versions = [version.number for version in versions_with(row)]
    return row  # type: ignore[no-any-return]


@operation(Role.ADMIN, query=DiffAsked, answer=DiffShape)
def dataset_diff(call: Call, number: int) -> dict[str, Any]:
    """Compare a version with an older one: counts by source and person, and the rows of one kind of change."""
    new = _find(call, number)
    old = _find(call, call.query["with"]) if "with" in call.query else previous_version(new)
    if old is None:
        raise serializers.ValidationError({"with": ["There is no version before it: name one."]})
    found, kind, start = diff_versions(old, new), call.query["show"], call.query["start"]
    stop = start + call.query["limit"]
    changes: list[Change] = found.changes(kind, start, stop)
    return {
        "counts": found.counts,
        "by_source": found.by_source,
        "by_person": found.by_person,
        "changes": changes,
        "next": stop if stop < found.counts[kind] else None,
    }
