"""What the interface answers with: a shape by noun. Names of people, never their addresses, outside of the list of people."""

from rest_framework import serializers

from common.models import Transition
from labeling.actions.comparison import first_side
from labeling.models import (
    Case,
    Comment,
    Comparison,
    Correction,
    Draft,
    Example,
    Illustration,
    InstructionVersion,
    Membership,
    Project,
    Report,
    Review,
    Skip,
    Submission,
    Task,
    User,
)
from labeling.queries.audit import as_record
from labeling.states import (
    CaseState,
    ExampleKind,
    RejectReason,
    Role,
    Severity,
    SkipReason,
    Source,
    SubmissionState,
    TaskKind,
    TaskState,
    Verdict,
)

ROLES = [("system", "system"), ("user", "user"), ("assistant", "assistant")]
LONGEST_TEXT = 100_000


class Turn(serializers.Serializer):
    role = serializers.ChoiceField(choices=ROLES)
    content = serializers.CharField(allow_blank=True, trim_whitespace=False, max_length=LONGEST_TEXT)


class Person(serializers.ModelSerializer):
    name = serializers.CharField(source="__str__", read_only=True)

    class Meta:
        model = User
        fields = ["id", "name"]


class ProjectShape(serializers.ModelSerializer):
    class Meta:
        model = Project
        fields = ["slug", "name", "description", "lease_minutes", "max_held", "created_at"]


class Member(serializers.ModelSerializer):
    user = Person()
    email = serializers.EmailField(source="user.email")
    role = serializers.ChoiceField(choices=Role.choices)
    standing = serializers.SerializerMethodField()

    class Meta:
        model = Membership
        fields = ["id", "user", "email", "role", "standing", "pause_reason", "languages", "created_at"]

    def get_standing(self, row: Membership) -> str:
        return "active" if row.is_active else "paused" if row.is_paused else "removed"


class IllustrationShape(serializers.ModelSerializer):
    class Meta:
        model = Illustration
        fields = ["prompt", "good", "bad", "why"]


class InstructionsShape(serializers.ModelSerializer):
    illustrations = IllustrationShape(many=True)
    published_by = Person(allow_null=True)

    class Meta:
        model = InstructionVersion
        fields = [
            *("number", "text", "change_note", "illustrations", "min_words", "max_words", "language"),
            *("published_by", "published_at"),
        ]


class TaskShape(serializers.ModelSerializer):
    kind = serializers.ChoiceField(choices=TaskKind.choices)
    state = serializers.ChoiceField(choices=TaskState.choices)
    messages = Turn(many=True)
    held_by = Person(source="leased_by", allow_null=True)
    held_until = serializers.DateTimeField(source="lease_expires_at", allow_null=True)

    class Meta:
        model = Task
        fields = ["id", "kind", "state", "messages", "n_people", "held_by", "held_until", "created_at"]


class TagNames(serializers.Serializer):
    """The names of a row's tags."""

    tags = serializers.SlugRelatedField("name", many=True, read_only=True)  # type: ignore[var-annotated]


class SkipShape(serializers.ModelSerializer):
    user = Person()
    reason = serializers.ChoiceField(choices=SkipReason.choices)

    class Meta:
        model = Skip
        fields = ["user", "reason", "comment", "created_at"]


class DraftShape(serializers.ModelSerializer):
    messages = Turn(many=True, source="content.messages")
    task = serializers.IntegerField(source="task_id")
    instructions = serializers.IntegerField(source="instruction_version.number", allow_null=True, default=None)

    class Meta:
        model = Draft
        fields = ["task", "messages", "revision", "instructions", "saved_at"]


class ReviewShape(serializers.ModelSerializer):
    reviewer = Person()
    verdict = serializers.ChoiceField(choices=Verdict.choices)
    reason = serializers.ChoiceField(choices=RejectReason.choices, allow_blank=True)
    messages = Turn(many=True, allow_null=True)

    class Meta:
        model = Review
        fields = ["verdict", "reason", "comment", "messages", "reviewer", "created_at"]


class SubmissionShape(serializers.ModelSerializer):
    task = serializers.IntegerField(source="task_id")
    author = Person()
    state = serializers.ChoiceField(choices=SubmissionState.choices)
    messages = Turn(many=True)
    instructions = serializers.IntegerField(source="instruction_version.number", allow_null=True, default=None)
    review = ReviewShape(allow_null=True, default=None)

    class Meta:
        model = Submission
        fields = [
            *("id", "task", "author", "state", "revision", "messages", "instructions", "needs_admin", "review"),
            "submitted_at",
        ]


class CommentShape(serializers.ModelSerializer):
    submission = serializers.IntegerField(source="submission_id")
    author = Person()

    class Meta:
        model = Comment
        fields = ["id", "submission", "author", "text", "turn", "quote", "is_internal", "created_at"]


class CaseShape(serializers.ModelSerializer):
    state = serializers.ChoiceField(choices=CaseState.choices)
    severity = serializers.ChoiceField(choices=Severity.choices)
    source = serializers.ChoiceField(choices=Source.choices)
    messages = Turn(many=True)
    assignee = Person(allow_null=True)
    held_by = Person(source="leased_by", allow_null=True)
    held_until = serializers.DateTimeField(source="lease_expires_at", allow_null=True)
    merged_into = serializers.IntegerField(source="merged_into_id", allow_null=True)

    class Meta:
        model = Case
        fields = [
            *("id", "state", "severity", "source", "messages", "wrong_output", "model_name", "n_reports", "assignee"),
            *("held_by", "held_until", "merged_into", "fixed_in", "tested_in", "opened_at", "settled_at"),
        ]


class ReportShape(serializers.ModelSerializer):
    case = serializers.IntegerField(source="case_id")

    class Meta:
        model = Report
        fields = ["id", "case", "reason", "comment", "proposal", "created_at"]


class CorrectionShape(serializers.ModelSerializer):
    case = serializers.IntegerField(source="case_id")
    author = Person(allow_null=True)

    class Meta:
        model = Correction
        fields = ["id", "case", "text", "note", "author"]


class ExampleShape(serializers.ModelSerializer):
    kind = serializers.ChoiceField(choices=ExampleKind.choices)
    messages = Turn(many=True)
    author = Person(allow_null=True)
    accepted_by = Person(allow_null=True)
    submission = serializers.IntegerField(source="submission_id", allow_null=True)
    correction = serializers.IntegerField(source="correction_id", allow_null=True)
    instructions = serializers.IntegerField(source="instruction_version.number", allow_null=True, default=None)

    class Meta:
        model = Example
        fields = [
            *("id", "kind", "messages", "author", "accepted_by", "submission", "correction", "instructions"),
            *("accepted_at", "retracted_at"),
        ]


class ComparisonShape(serializers.ModelSerializer):
    """Two answers in the order in which this person sees them; where they come from is not said."""

    messages = Turn(many=True)
    answers = serializers.SerializerMethodField()
    held_until = serializers.DateTimeField(source="lease_expires_at", allow_null=True)

    class Meta:
        model = Comparison
        fields = ["id", "messages", "answers", "held_until"]

    def get_answers(self, row: Comparison) -> list[str]:
        first = first_side(row, self.context["membership"].user)
        return [row.answer(first), row.answer("b" if first == "a" else "a")]


class DecisionRecord(serializers.ModelSerializer):
    """A line of the audit log."""

    by = serializers.CharField(source="by_name")
    by_id = serializers.IntegerField(source="by_pk", allow_null=True)
    kind = serializers.CharField(source="subject_type")
    subject = serializers.CharField(source="subject_pk")
    what = serializers.SerializerMethodField()

    class Meta:
        model = Transition
        fields = ["id", "at", "by", "by_id", "kind", "subject", "what", "before", "after", "reason"]

    def get_what(self, row: Transition) -> str:
        return str(as_record(row)["what"])
