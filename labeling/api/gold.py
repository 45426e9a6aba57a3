"""Gold tasks, the rules of the qualification, grades, and where a person stands."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from labeling.actions.activity import record_activity
from labeling.actions.gold import mark_gold, unmark_gold
from labeling.actions.grading import (
    decide_qualification,
    grade_submission,
    hold_to_grade,
    leave_ungraded,
    may_retry,
    retry_qualification,
    set_qualification_rules,
    take_to_grade,
)
from labeling.api.case import CheckAsked
from labeling.api.endpoint import Call, operation
from labeling.api.shapes import LONGEST_TEXT, Member, Turn
from labeling.api.task import find_task
from labeling.forms.gold import LIMITS
from labeling.models import GoldTask, Grade, Membership, Project, Submission
from labeling.models.qualification import HIGHEST, LOWEST, RUBRIC
from labeling.queries.gold import check_results, gold_results, gold_table, qualification_progress
from labeling.states import Qualification, Role

RULES = (*LIMITS, "pauses_below_threshold")
SCORE = {"min_value": LOWEST, "max_value": HIGHEST}


def _limited(name: str) -> serializers.Field:
    least, most = LIMITS[name]
    kind = serializers.FloatField if name == "qualification_threshold" else serializers.IntegerField
    return kind(min_value=least, max_value=most)


class CheckShape(serializers.Serializer):
    kind = serializers.CharField()
    value = serializers.CharField(allow_blank=True, required=False)


class GoldAsked(serializers.Serializer):
    reference = serializers.CharField(required=False, allow_blank=True, default="", max_length=LONGEST_TEXT)
    checks = CheckAsked(many=True, required=False)


class GoldShape(serializers.ModelSerializer):
    task = serializers.IntegerField(source="task_id")
    messages = Turn(many=True, source="task.messages")
    checks = CheckShape(many=True)

    class Meta:
        model = GoldTask
        fields = ["id", "task", "messages", "reference", "checks", "marked_at", "unmarked_at"]


class GoldRow(GoldShape):
    n_copies = serializers.IntegerField()
    n_graded = serializers.IntegerField()
    score = serializers.FloatField(allow_null=True, help_text="the mean of all grades, 1 to 7")

    class Meta(GoldShape.Meta):
        fields = [*GoldShape.Meta.fields, "n_copies", "n_graded", "score"]


class RulesShape(serializers.ModelSerializer):
    n_qualification = _limited("n_qualification")
    qualification_threshold = _limited("qualification_threshold")
    n_retries = _limited("n_retries")
    n_graders = _limited("n_graders")
    gold_percent = _limited("gold_percent")
    pauses_below_threshold = serializers.BooleanField()

    class Meta:
        model = Project
        fields = RULES


class QualificationAsked(serializers.Serializer):
    qualification = serializers.ChoiceField(
        choices=[Qualification.QUALIFIED, Qualification.IN_PROGRESS, Qualification.NOT_NEEDED]
    )
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)


class GradeAsked(serializers.Serializer):
    helpful = serializers.IntegerField(**SCORE)
    truthful = serializers.IntegerField(**SCORE)
    harmless = serializers.IntegerField(**SCORE)
    follows = serializers.IntegerField(**SCORE)
    comment = serializers.CharField(required=False, allow_blank=True, default="", max_length=5000)


class GradeShape(serializers.ModelSerializer):
    class Meta:
        model = Grade
        fields = [*RUBRIC, "comment", "created_at"]


class CheckResult(CheckShape):
    is_passed = serializers.BooleanField()


class GoldAnswer(serializers.ModelSerializer):
    """Work to be graded. Whose it is, is not said."""

    messages = Turn(many=True)
    instructions = serializers.IntegerField(source="instruction_version.number", allow_null=True, default=None)
    reference = serializers.CharField(source="task.gold_copy.gold.reference")
    checks = serializers.SerializerMethodField()

    class Meta:
        model = Submission
        fields = ["id", "messages", "instructions", "reference", "checks"]

    @extend_schema_field(CheckResult(many=True))
    def get_checks(self, row: Submission) -> Any:
        return CheckResult(check_results(row), many=True).data


class GoldResult(serializers.Serializer):
    submission = serializers.IntegerField(source="submission.pk")
    score = serializers.FloatField()
    grades = GradeShape(many=True)


class Standing(serializers.Serializer):
    """Where a person stands with their qualification."""

    qualification = serializers.ChoiceField(choices=Qualification.choices)
    attempt = serializers.IntegerField()
    n_needed = serializers.IntegerField()
    n_handed_in = serializers.IntegerField()
    n_graded = serializers.IntegerField()
    mean = serializers.FloatField(allow_null=True)
    may_retry = serializers.BooleanField()
    results = GoldResult(many=True)


class GradeNextAsked(serializers.Serializer):
    after = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**63 - 1)


class NextGoldAnswer(serializers.Serializer):
    submission = GoldAnswer(allow_null=True, help_text="null when nothing waits")


@operation(Role.ADMIN, answer=GoldRow, is_list=True)
def gold_list(call: Call) -> dict[str, Any]:
    """List the gold tasks in use, with how people did."""
    return call.page(gold_table(call.project))


@operation(Role.ADMIN, body=GoldAsked, answer=GoldShape)
def gold_mark(call: Call, pk: int) -> GoldTask:
    """Make a prompt a gold task, or change what its answers are measured against."""
    task = find_task(call, pk)
    if task.is_gold_copy:
        call.find(GoldTask.objects.none())
    checks = [{"kind": each["kind"], "value": each.get("value", "")} for each in call.body.get("checks", ())]
    return mark_gold(task=task, reference=call.body["reference"], checks=checks, by=call.user)


@operation(Role.ADMIN, answer=GoldShape)
def gold_unmark(call: Call, pk: int) -> GoldTask:
    """Hand a gold task out to nobody from now on; grades stay."""
    gold: GoldTask = call.find(GoldTask.objects.filter(task__project=call.project).select_related("task"), pk=pk)
    unmark_gold(gold=gold, by=call.user)
    return gold


@operation(Role.ADMIN, answer=RulesShape)
def rules_show(call: Call) -> Project:
    """Show the rules of the qualification."""
    return call.project


@operation(Role.ADMIN, body=RulesShape, answer=RulesShape)
def rules_set(call: Call) -> Project:
    """Set the rules of the qualification."""
    set_qualification_rules(project=call.project, by=call.user, **call.body)
    return call.project


@operation(Role.ADMIN, body=QualificationAsked, answer=Member)
def qualification_decide(call: Call, pk: int) -> Membership:
    """Say that a contractor counts as qualified, needs no qualification, or does it anew."""
    member: Membership = call.find(call.project.memberships.select_related("user", "project"), pk=pk)
    decide_qualification(
        membership=member,
        qualification=Qualification(call.body["qualification"]),
        by=call.user,
        reason=call.body["reason"],
    )
    return member


@operation(answer=Standing, allows_paused=True)
def standing_show(call: Call) -> dict[str, Any]:
    """Show how far one's own qualification is and what came of it, answer by answer."""
    member = call.membership
    return {
        **vars(qualification_progress(member)),
        "qualification": member.qualification,
        "may_retry": may_retry(member),
        "results": gold_results(member),
    }


@operation()
def standing_retry(call: Call) -> None:
    """Begin the next attempt of the qualification."""
    retry_qualification(membership=call.membership)


def _find_answer(call: Call, pk: int) -> Submission:
    """Return somebody else's gold work; one's own is not there."""
    rows = Submission.objects.filter(project=call.project, is_gold=True).exclude(author=call.user)
    found: Submission = call.find(rows.select_related("project", "task__gold_copy__gold", "instruction_version"), pk=pk)
    return found


@operation(Role.REVIEWER, body=GradeNextAsked, answer=NextGoldAnswer)
def grade_next(call: Call) -> dict[str, Submission | None]:
    """Take the oldest gold work that waits for one's grade."""
    record_activity(membership=call.membership)
    row = take_to_grade(project=call.project, reviewer=call.user, after=call.body["after"])
    return {"submission": row and _find_answer(call, row.pk)}


@operation(Role.REVIEWER, body=GradeAsked, answer=GradeShape, status=201)
def grade_give(call: Call, pk: int) -> Grade:
    """Grade gold work by the rubric, blind."""
    record_activity(membership=call.membership)
    submission = _find_answer(call, pk)
    hold_to_grade(submission=submission, reviewer=call.user)
    scores = {name: call.body[name] for name in RUBRIC}
    return grade_submission(submission=submission, scores=scores, comment=call.body["comment"], by=call.user)


@operation(Role.REVIEWER)
def grade_skip(call: Call, pk: int) -> None:
    """Leave gold work to the other reviewers."""
    leave_ungraded(submission=_find_answer(call, pk), by=call.user)
