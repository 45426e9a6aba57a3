"""The reasons for which an output can be reported."""

from typing import Any

from rest_framework import serializers

from labeling.actions.reason import add_reason, change_reason, write_standard_reasons
from labeling.api.endpoint import Call, operation
from labeling.models import CaseReason
from labeling.queries.case import case_reasons
from labeling.states import Role, Severity


class CaseReasonAsked(serializers.Serializer):
    label = serializers.CharField(max_length=60)
    severity = serializers.ChoiceField(choices=Severity.choices)


class CaseReasonChange(CaseReasonAsked):
    is_active = serializers.BooleanField()


class CaseReasonShape(serializers.ModelSerializer):
    label = serializers.CharField(source="__str__")
    severity = serializers.ChoiceField(choices=Severity.choices)

    class Meta:
        model = CaseReason
        fields = ["key", "label", "severity", "is_active"]


@operation(answer=CaseReasonShape, is_list=True)
def reason_list(call: Call) -> list[CaseReason]:
    """List the reasons that a report may give, in their order."""
    return case_reasons(call.project)


@operation(Role.ADMIN, body=CaseReasonAsked, answer=CaseReasonShape, status=201)
def reason_add(call: Call) -> CaseReason:
    """Add a reason at the end."""
    return add_reason(project=call.project, by=call.user, **call.body)


@operation(Role.ADMIN, body=CaseReasonChange, answer=CaseReasonShape)
def reason_change(call: Call, key: str) -> CaseReason:
    """Rename, rate or switch a reason off."""
    if key not in {row.key for row in case_reasons(call.project)}:
        call.find(CaseReason.objects.none())
    write_standard_reasons(project=call.project)
    reason: Any = CaseReason.objects.get(project=call.project, key=key)
    change_reason(reason=reason, by=call.user, **call.body)
    return reason
