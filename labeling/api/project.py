"""Projects, instructions and the audit log."""

from typing import Any, ClassVar

from rest_framework import serializers

from common.models import Transition
from labeling.actions.instructions import acknowledge, publish_instructions
from labeling.actions.project import update_project
from labeling.api.endpoint import Call, PageAsked, operation
from labeling.api.shapes import DecisionRecord, IllustrationShape, InstructionsShape, ProjectShape
from labeling.models import ApiKey, InstructionVersion, Project
from labeling.queries.audit import SUBJECTS, Query, audit_rows
from labeling.states import FindingKind, Role


@operation(None, answer=ProjectShape, is_list=True)
def project_list(call: Call) -> dict[str, Any]:
    """List the person's projects; with a key, its own."""
    rows = Project.objects.visible_to(call.user).distinct()
    if isinstance(call.request.auth, ApiKey):
        rows = rows.filter(pk=call.request.auth.project_id)
    return call.page(rows)


@operation(answer=ProjectShape)
def project_show(call: Call) -> Project:
    """Show one project."""
    return call.project


class SettingsShape(serializers.ModelSerializer):
    """What is left out of a change stays as it is."""

    lease_minutes = serializers.IntegerField(required=False, min_value=5, max_value=24 * 60)
    max_held = serializers.IntegerField(required=False, min_value=1, max_value=20)
    double_share = serializers.IntegerField(required=False, min_value=0, max_value=100)
    idle_minutes = serializers.IntegerField(required=False, min_value=1, max_value=60)
    max_send_backs = serializers.IntegerField(required=False, min_value=0, max_value=20)
    is_open_writing = serializers.BooleanField(required=False)
    currency = serializers.CharField(required=False, allow_blank=True, max_length=3, help_text="as EUR or CNY")
    checks_off = serializers.ListField(
        child=serializers.ChoiceField(choices=FindingKind.choices), required=False, max_length=20
    )

    class Meta:
        model = Project
        fields = [
            *("name", "description", "lease_minutes", "is_open_writing", "max_held", "double_share"),
            *("currency", "idle_minutes", "max_send_backs", "checks_off"),
        ]
        extra_kwargs: ClassVar = {"name": {"required": False}, "description": {"required": False}}

    def validate_currency(self, code: str) -> str:
        if code and not (len(code) == 3 and code.isascii() and code.isupper()):
            raise serializers.ValidationError("Three capital letters, as EUR, USD or CNY.")
        return code


@operation(Role.ADMIN, answer=SettingsShape)
def settings_show(call: Call) -> Project:
    """Show the project's settings."""
    return call.project


@operation(Role.ADMIN, body=SettingsShape, answer=SettingsShape)
def settings_change(call: Call) -> Project:
    """Change some of the project's settings."""
    return update_project(project=call.project, by=call.user, **call.body)


class InstructionsAsked(serializers.Serializer):
    text = serializers.CharField(max_length=200_000)
    based_on = serializers.IntegerField(
        min_value=0, max_value=2**31 - 1, help_text="the version you started from, 0: none"
    )
    change_note = serializers.CharField(required=False, allow_blank=True, max_length=500)
    illustrations = IllustrationShape(many=True, required=False)
    min_words = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=100_000)
    max_words = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=100_000)
    language = serializers.CharField(required=False, allow_blank=True, max_length=10)


@operation(answer=InstructionsShape, is_list=True)
def instructions_list(call: Call) -> dict[str, Any]:
    """List the versions of the instructions, the one in force first."""
    rows = call.project.instruction_versions.select_related("published_by").prefetch_related("illustrations")
    return call.page(rows)


@operation(Role.ADMIN, body=InstructionsAsked, answer=InstructionsShape, status=201)
def instructions_publish(call: Call) -> InstructionVersion:
    """Publish the next version."""
    asked = dict(call.body)
    rows = [
        {part: each.get(part, "") for part in ("prompt", "good", "bad", "why")}
        for each in asked.pop("illustrations", ())
    ]
    return publish_instructions(project=call.project, by=call.user, illustrations=rows, **asked)


@operation()
def instructions_acknowledge(call: Call, number: int) -> None:
    """Say that one has read a version."""
    acknowledge(version=call.find(call.project.instruction_versions.all(), number=number), user=call.user)


class AuditAsked(PageAsked):
    person = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    kind = serializers.ChoiceField(required=False, choices=[(kind, kind) for kind in SUBJECTS])
    what = serializers.CharField(required=False, max_length=40)
    since = serializers.DateField(required=False)
    until = serializers.DateField(required=False)
    q = serializers.CharField(required=False, max_length=100, help_text="words of the reason")


@operation(Role.ADMIN, query=AuditAsked, answer=DecisionRecord, is_list=True)
def audit_list(call: Call) -> dict[str, Any]:
    """List the decisions, the newest first."""
    asked = call.query
    query = Query(
        person=str(asked.get("person", "")),
        kind=asked.get("kind", ""),
        what=asked.get("what", ""),
        since=asked.get("since"),
        until=asked.get("until"),
        words=asked.get("q", ""),
    )
    rows: Any = audit_rows(call.project, query) if asked else Transition.objects.none()
    return call.page(rows)
