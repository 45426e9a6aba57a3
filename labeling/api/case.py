"""Cases: reported, triaged, corrected."""

from typing import Any

from rest_framework import serializers

from labeling.actions.activity import record_activity
from labeling.actions.case import (
    claim_case,
    correct_case,
    dismiss_case,
    release_case,
    reopen_case,
    report_output,
    save_case_draft,
    take_case,
)
from labeling.actions.case_triage import assign_case, merge_cases, set_severity, unmerge_case
from labeling.actions.errors import NotAssignable
from labeling.api.criteria import KEY, RowsAsked, found
from labeling.api.endpoint import Call, operation
from labeling.api.shapes import LONGEST_TEXT, CaseShape, CorrectionShape, ReportShape, Turn
from labeling.models import Case, Correction, Draft, User
from labeling.queries.case import NearCase, near_cases, reports_of
from labeling.states import CaseState, CheckKind, Role, Severity, Source


class CasesAsked(RowsAsked):
    state = serializers.ChoiceField(required=False, choices=CaseState.choices)
    severity = serializers.ChoiceField(required=False, choices=Severity.choices)
    assignee = serializers.IntegerField(required=False, **KEY)


class ReportAsked(serializers.Serializer):
    messages = Turn(many=True, help_text="the prompt: it ends with the user")
    wrong_output = serializers.CharField(max_length=LONGEST_TEXT)
    model_name = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)
    reason = serializers.CharField(required=False, default="other", max_length=40, help_text="one of the project's")
    comment = serializers.CharField(required=False, allow_blank=True, default="", max_length=LONGEST_TEXT)
    proposal = serializers.CharField(required=False, allow_blank=True, default="", max_length=LONGEST_TEXT)


class CheckAsked(serializers.Serializer):
    kind = serializers.ChoiceField(choices=CheckKind.choices)
    value = serializers.CharField(required=False, allow_blank=True, max_length=500)


class CorrectionAsked(serializers.Serializer):
    text = serializers.CharField(max_length=LONGEST_TEXT, trim_whitespace=False)
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)
    checks = CheckAsked(many=True, required=False)
    probes = serializers.ListField(child=serializers.CharField(max_length=LONGEST_TEXT), required=False, max_length=100)
    seen = serializers.IntegerField(
        required=False, min_value=0, max_value=2**63 - 1, help_text="the last correction that you know, 0: none"
    )
    is_confirmed = serializers.BooleanField(required=False, default=False)


class CaseDraftAsked(serializers.Serializer):
    text = serializers.CharField(allow_blank=True, max_length=LONGEST_TEXT, trim_whitespace=False)
    note = serializers.CharField(required=False, allow_blank=True, max_length=500)
    checks = CheckAsked(many=True, required=False, default=list)
    probes = serializers.CharField(required=False, allow_blank=True, max_length=LONGEST_TEXT, help_text="one a line")
    revision = serializers.IntegerField(min_value=0, max_value=2**31 - 1, help_text="of the draft you know, 0: none")


class CaseDraftShape(serializers.ModelSerializer):
    case = serializers.IntegerField(source="case_id")
    content = serializers.DictField(help_text="text, note, checks and probes as they were sent")

    class Meta:
        model = Draft
        fields = ["case", "content", "revision", "saved_at"]


class NearShape(serializers.Serializer):
    case = CaseShape()
    alike = serializers.IntegerField(help_text="how near the prompts are, in percent")
    may_come = serializers.BooleanField(help_text="it may be merged into the case")
    may_go = serializers.BooleanField(help_text="the case may be merged into it")


class DismissalAsked(serializers.Serializer):
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)


class MergeAsked(serializers.Serializer):
    into = serializers.IntegerField(**KEY)


class AssignmentAsked(serializers.Serializer):
    assignee = serializers.IntegerField(allow_null=True, **KEY)


class SeverityAsked(serializers.Serializer):
    severity = serializers.ChoiceField(choices=Severity.choices)


class CaseNextAsked(serializers.Serializer):
    after = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**63 - 1)


class NextCase(serializers.Serializer):
    case = CaseShape(allow_null=True, help_text="null when none waits")


def find_case(call: Call, pk: int) -> Case:
    rows = Case.objects.visible_to(call.membership).select_related("project", "leased_by", "assignee", "merged_into")
    return call.find(rows, pk=pk)


@operation(query=CasesAsked, answer=CaseShape, is_list=True)
def case_list(call: Call) -> dict[str, Any]:
    """List cases, the newest first: reviewers all, contractors those that they reported."""
    rows = found(call, "cases").select_related("leased_by", "assignee")
    wanted = {name: call.query[name] for name in ("state", "severity", "assignee") if name in call.query}
    return call.page(rows.filter(**wanted))


@operation(answer=CaseShape)
def case_show(call: Call, pk: int) -> Case:
    """Show one case."""
    return find_case(call, pk)


@operation(answer=ReportShape, is_list=True)
def case_reports(call: Call, pk: int) -> dict[str, Any]:
    """List the reports of a case and of those merged into it: reviewers all, others their own."""
    rows = reports_of(find_case(call, pk))
    return call.page(rows if call.membership.is_reviewer else rows.filter(reporter=call.user))


@operation(Role.REVIEWER, answer=NearShape, is_list=True)
def case_near(call: Call, pk: int) -> list[NearCase]:
    """List the cases that may be the same misbehaviour, the nearest first."""
    return near_cases(find_case(call, pk))


@operation(Role.REVIEWER, answer=CaseDraftShape)
def case_draft_show(call: Call, pk: int) -> Draft:
    """Show one's own unfinished correction."""
    return call.find(Draft.objects.all(), case=find_case(call, pk), user=call.user)


@operation(Role.REVIEWER, body=CaseDraftAsked, answer=CaseDraftShape)
def case_draft_save(call: Call, pk: int) -> Draft:
    """Keep an unfinished correction; a later one is never overwritten."""
    record_activity(membership=call.membership)
    content = {name: call.body.get(name, "") for name in ("text", "note", "probes")}
    content["checks"] = [{"kind": each["kind"], "value": each.get("value", "")} for each in call.body["checks"]]
    return save_case_draft(case=find_case(call, pk), by=call.user, content=content, revision=call.body["revision"])


@operation(body=ReportAsked, answer=CaseShape, status=201)
def case_report(call: Call) -> Case:
    """Report a wrong output: a case is opened, or joined."""
    return report_output(project=call.project, reporter=call.user, source=Source.API, **call.body)


@operation(Role.REVIEWER, body=CaseNextAsked, answer=NextCase)
def case_next(call: Call) -> dict[str, Case | None]:
    """Claim the first case of the queue."""
    record_activity(membership=call.membership)
    return {"case": take_case(project=call.project, by=call.user, after=call.body["after"])}


@operation(Role.REVIEWER, answer=CaseShape)
def case_claim(call: Call, pk: int) -> Case:
    """Claim a case, or prolong one's claim."""
    case = find_case(call, pk)
    claim_case(case=case, by=call.user)
    return case


@operation(Role.REVIEWER, answer=CaseShape)
def case_release(call: Call, pk: int) -> Case:
    """Give a case back to the queue."""
    case = find_case(call, pk)
    release_case(case=case, by=call.user)
    return case


@operation(Role.REVIEWER, body=CorrectionAsked, answer=CorrectionShape, status=201)
def case_correct(call: Call, pk: int) -> Correction:
    """Overwrite the wrong output with the right one."""
    record_activity(membership=call.membership)
    asked = dict(call.body)
    asked["checks"] = [{"kind": each["kind"], "value": each.get("value", "")} for each in asked.pop("checks", ())]
    return correct_case(case=find_case(call, pk), by=call.user, **asked)


@operation(Role.REVIEWER, body=DismissalAsked, answer=CaseShape)
def case_dismiss(call: Call, pk: int) -> Case:
    """Say that the output was fine."""
    case = find_case(call, pk)
    dismiss_case(case=case, by=call.user, **call.body)
    return case


@operation(Role.REVIEWER, answer=CaseShape)
def case_reopen(call: Call, pk: int) -> Case:
    """Take a dismissal back."""
    case = find_case(call, pk)
    reopen_case(case=case, by=call.user)
    return case


@operation(Role.REVIEWER, body=MergeAsked, answer=CaseShape)
def case_merge(call: Call, pk: int) -> Case:
    """Make a case a part of another one, which is answered."""
    target = find_case(call, call.body["into"])
    merge_cases(source=find_case(call, pk), target=target, by=call.user)
    target.refresh_from_db()
    return target


@operation(Role.REVIEWER, answer=CaseShape)
def case_unmerge(call: Call, pk: int) -> Case:
    """Make a merged case one of its own again."""
    case = find_case(call, pk)
    unmerge_case(case=case, by=call.user)
    return case


@operation(Role.REVIEWER, body=AssignmentAsked, answer=CaseShape)
def case_assign(call: Call, pk: int) -> Case:
    """Say who is to correct a case, null for nobody in particular."""
    case, key = find_case(call, pk), call.body["assignee"]
    person = User.objects.filter(memberships__project=call.project, pk=key).first() if key else None
    if key and person is None:
        raise NotAssignable
    assign_case(case=case, assignee=person, by=call.user)
    return case


@operation(Role.REVIEWER, body=SeverityAsked, answer=CaseShape)
def case_severity(call: Call, pk: int) -> Case:
    """Say how bad a case is."""
    case = find_case(call, pk)
    set_severity(case=case, by=call.user, **call.body)
    return case
