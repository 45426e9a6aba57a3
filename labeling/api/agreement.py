"""How far people agree."""

from typing import Any

from rest_framework import serializers

from labeling.actions.agreement import request_agreement
from labeling.api.endpoint import Call, operation
from labeling.api.shapes import Person
from labeling.models import AgreementFigure, AgreementReport
from labeling.states import Measure, Role


class FigureShape(serializers.ModelSerializer):
    """Shares are of 0 to 1; null could not be said. Without person and instructions it is the whole project's."""

    measure = serializers.ChoiceField(choices=Measure.choices)
    person = Person(allow_null=True)
    instructions = serializers.IntegerField(source="instruction_version.number", allow_null=True, default=None)

    class Meta:
        model = AgreementFigure
        fields = [
            *("measure", "person", "instructions", "n_items", "n_judgements", "share_same", "share_low", "share_high"),
            *("alpha", "alpha_low", "alpha_high"),
        ]


class AgreementShape(serializers.Serializer):
    computed_at = serializers.DateTimeField(allow_null=True)
    is_due = serializers.BooleanField(help_text="newer figures are being worked out")
    figures = FigureShape(many=True)


@operation(Role.REVIEWER, answer=AgreementShape)
def agreement_show(call: Call) -> dict[str, Any]:
    """Show how far people agree: admins all of it, reviewers the whole project and themselves."""
    report = AgreementReport.objects.filter(project=call.project).first()
    figures = AgreementFigure.objects.visible_to(call.membership).select_related("person", "instruction_version")
    return {
        "computed_at": report and report.computed_at,
        "is_due": report is not None and report.is_due,
        "figures": figures,
    }


@operation(Role.ADMIN)
def agreement_refresh(call: Call) -> None:
    """Have the figures worked out anew, in the background."""
    request_agreement(project=call.project)
