"""Files of prompts on their way into the queue."""

from typing import Any

from rest_framework import serializers

from labeling.actions.prompt_import import cancel_import, read_again, start_import, undo_import, upload_prompts
from labeling.api.endpoint import Call, operation
from labeling.api.shapes import Person, Turn
from labeling.models import PromptImport
from labeling.states import PromptImportState, Role


class UploadAsked(serializers.Serializer):
    file = serializers.FileField(allow_empty_file=True, max_length=200, help_text="CSV or JSONL, at most 200 MB")
    tags = serializers.ListField(
        child=serializers.CharField(max_length=40), required=False, max_length=20, help_text="for all of its prompts"
    )


class EncodingAsked(serializers.Serializer):
    encoding = serializers.CharField(max_length=20, help_text="such as gb18030")


class PreviewRow(serializers.Serializer):
    line = serializers.IntegerField()
    messages = Turn(many=True)
    tags = serializers.ListField(child=serializers.CharField())
    n_people = serializers.IntegerField(allow_null=True)
    position = serializers.IntegerField()


class ImportShape(serializers.ModelSerializer):
    state = serializers.ChoiceField(choices=PromptImportState.choices)
    columns = serializers.DictField(help_text="what is recognised, and its name in the file")
    unknown_columns = serializers.ListField(child=serializers.CharField())
    tags = serializers.ListField(child=serializers.CharField())
    preview = PreviewRow(many=True, help_text="the first good rows, shortened")
    bad_lines = serializers.ListField(child=serializers.ListField(), help_text="[line, why, how it begins]: the first")
    created_by = Person(allow_null=True)

    class Meta:
        model = PromptImport
        fields = [
            *("id", "name", "state", "percent", "size_bytes", "encoding", "needs_encoding", "format", "columns"),
            *("unknown_columns", "tags", "preview", "problem", "bad_lines", "n_rows", "n_bad", "n_added"),
            *("n_duplicates", "n_kept", "created_by", "created_at"),
        ]


def _find(call: Call, pk: int) -> PromptImport:
    row: PromptImport = call.find(call.project.prompt_imports.select_related("created_by"), pk=pk)
    return row


@operation(Role.ADMIN, answer=ImportShape, is_list=True)
def import_list(call: Call) -> dict[str, Any]:
    """List the files so far, the newest first."""
    return call.page(call.project.prompt_imports.select_related("created_by"))


@operation(Role.ADMIN, body=UploadAsked, answer=ImportShape, status=201)
def import_upload(call: Call) -> PromptImport:
    """Upload a file of prompts; it is read in the background, then waits to be started.

    As `multipart/form-data`. Ask for it until its state is `ready` or `failed`.
    """
    file = call.body["file"]
    tags = list(dict.fromkeys(" ".join(tag.split()) for tag in call.body.get("tags", ())))
    return upload_prompts(project=call.project, name=file.name or "", chunks=file.chunks(), tags=tags, by=call.user)


@operation(Role.ADMIN, answer=ImportShape)
def import_show(call: Call, pk: int) -> PromptImport:
    """Show what the file says, how far it is, its first and its bad rows."""
    return _find(call, pk)


@operation(Role.ADMIN, answer=ImportShape)
def import_start(call: Call, pk: int) -> PromptImport:
    """Import what was read."""
    row = _find(call, pk)
    start_import(prompt_import=row, by=call.user)
    return row


@operation(Role.ADMIN, answer=ImportShape)
def import_cancel(call: Call, pk: int) -> PromptImport:
    """Stop it where it stands; what is imported stays and can be undone."""
    row = _find(call, pk)
    cancel_import(prompt_import=row, by=call.user)
    return row


@operation(Role.ADMIN, answer=ImportShape)
def import_undo(call: Call, pk: int) -> PromptImport:
    """Take its tasks out again, but for those that somebody worked on."""
    row = _find(call, pk)
    undo_import(prompt_import=row, by=call.user)
    return row


@operation(Role.ADMIN, body=EncodingAsked, answer=ImportShape)
def import_read(call: Call, pk: int) -> PromptImport:
    """Read a failed file anew, in another encoding."""
    row = _find(call, pk)
    read_again(prompt_import=row, by=call.user, **call.body)
    return row
