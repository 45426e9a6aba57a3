from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from labeling.models.instructions import InstructionVersion
from labeling.models.people import Membership, Project, User
from labeling.models.retraction import Retraction
from labeling.models.work import Leased
from labeling.search_text import SearchTextField
from labeling.states import CASE_CORRECTABLE, CASE_LIVE, CaseState, Reason, Severity, Source


class CaseQuerySet(models.QuerySet["Case"]):
    def visible_to(self, membership: Membership) -> "CaseQuerySet":
        """Reviewers see all cases of the project, others those that they reported."""
        rows = self.filter(project_id=membership.project_id)
        if membership.is_reviewer:
            return rows
        return rows.filter(pk__in=Report.objects.filter(reporter_id=membership.user_id).values("case_id"))

    def to_correct(self) -> "CaseQuerySet":
        """Open, claimed and not fixed ones: harmful first, then by reports, then the oldest."""
        return self.filter(state__in=CASE_CORRECTABLE).order_by(F("severity").desc(), F("n_reports").desc(), "pk")

    def free_for(self, user: User) -> "CaseQuerySet":
        """None that another reviewer holds."""
        return self.filter(Q(leased_by__isnull=True) | Q(leased_by=user) | Q(lease_expires_at__lte=timezone.now()))

    def queue_of(self, user: User) -> "CaseQuerySet":
        """What waits for this person: their own assignments and what is assigned to nobody, none that another holds."""
        return self.to_correct().free_for(user).filter(Q(assignee__isnull=True) | Q(assignee=user))


class Case(Leased):
    """A misbehaviour: one wrong output to one prompt, and all reports of it. `messages` is the prompt."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="cases")
    state = models.CharField(max_length=12, choices=CaseState.choices, default=CaseState.OPEN)
    messages = models.JSONField()
    wrong_output = models.TextField()
    prompt_hash = models.CharField(max_length=64)
    output_hash = models.CharField(max_length=64)
    model_name = models.CharField(max_length=200, blank=True, help_text="who said it")
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.CHAT)
    severity = models.PositiveSmallIntegerField(choices=Severity.choices, default=Severity.MINOR)
    is_severity_set = models.BooleanField(default=False, help_text="a reviewer set it; reports change it no more")
    assignee = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="assigned_cases")
    merged_into = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="merged_cases")
    n_reports = models.PositiveIntegerField(default=0)
    n_seen = models.PositiveIntegerField(default=0, help_text="logged answers to its prompt since it was opened")
    fixed_in = models.CharField(max_length=200, blank=True, help_text="the model that was deployed with the fix")
    tested_in = models.CharField(max_length=200, blank=True, help_text="the deployed model that the state speaks of")
    opened_at = models.DateTimeField(auto_now_add=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    search_text = SearchTextField(sources=("messages", "wrong_output"))

    objects = CaseQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "state", "severity", "n_reports"], name="case_queue"),
            models.Index(fields=["project", "prompt_hash"], name="case_prompt"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "prompt_hash", "output_hash"],
                condition=Q(state__in=[str(state) for state in CASE_LIVE]),
                name="case_live_once",
            )
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"

    @property
    def standing(self) -> "Case":
        """The case whose state speaks for this one: itself, or the one that it was merged into."""
        case = self
        while case.state == CaseState.MERGED and case.merged_into is not None:
            case = case.merged_into
        return case

    @property
    def can_be_corrected(self) -> bool:
        """Whether the case waits for a correction, be it under somebody's lease or not."""
        return self.state in CASE_CORRECTABLE


class CaseKey(models.Model):
    """One of the few hashes by which cases with nearly the same prompt find each other (labeling.near)."""

    case = models.ForeignKey(Case, models.CASCADE, related_name="keys")
    project = models.ForeignKey(Project, models.CASCADE, related_name="+")
    key = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["project", "key"], name="case_key")]


class CaseMerge(models.Model):
    """One merging of a case into another, with what it takes to undo it."""

    source = models.ForeignKey(Case, models.CASCADE, related_name="merges")
    target = models.ForeignKey(Case, models.CASCADE, related_name="merges_into")
    state_before = models.CharField(max_length=12, choices=CaseState.choices)
    added_probes = models.JSONField(default=list, help_text="prompt hashes of the probes that the target's test gained")
    added_checks = models.JSONField(default=list, help_text="checks that the target's test gained")
    had_active_test = models.BooleanField(default=False, help_text="the source's own test was in the suite")
    n_corrections = models.PositiveIntegerField(help_text="corrections of the target at that time")
    by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True)


class CaseReason(models.Model):
    """A reason that a person can give for calling an output wrong. A project without rows has the standard ones."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="case_reasons")
    key = models.SlugField(max_length=40)
    label = models.CharField(max_length=60, blank=True, help_text="empty: the standard word of a standard reason")
    severity = models.PositiveSmallIntegerField(choices=Severity.choices, default=Severity.MINOR)
    is_active = models.BooleanField(default=True)
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "pk"]
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="case_reason_once")]

    def __str__(self) -> str:
        return self.label or str(dict(Reason.choices).get(self.key, self.key))


class Report(models.Model):
    """One signal that an output was wrong. `completion_key` names the logged answer, where there is one."""

    case = models.ForeignKey(Case, models.CASCADE, related_name="reports")
    reporter = models.ForeignKey(User, models.PROTECT, null=True, related_name="reports")
    reason = models.CharField(max_length=40, default=Reason.OTHER, help_text="the key of a reason of the project")
    comment = models.TextField(blank=True)
    proposal = models.TextField(blank=True, help_text="the right answer, as the reporter sees it; a reviewer decides")
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.CHAT)
    completion_key = models.CharField(max_length=60, blank=True, db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)


class MachineDraft(models.Model):
    """A right answer as a model proposes it, under a reviewer's remark. It corrects nothing by itself."""

    case = models.ForeignKey(Case, models.CASCADE, related_name="machine_drafts")
    by = models.ForeignKey(User, models.PROTECT, related_name="+", help_text="who asked for it")
    model_name = models.CharField(max_length=200)
    remark = models.TextField(blank=True)
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)


class Correction(models.Model):
    """The answer that overwrites a case's wrong output. The wrong one stays on the case."""

    case = models.ForeignKey(Case, models.PROTECT, related_name="corrections")
    author = models.ForeignKey(User, models.PROTECT, null=True, related_name="corrections")
    instruction_version = models.ForeignKey(InstructionVersion, models.PROTECT, null=True, related_name="corrections")
    text = models.TextField()
    note = models.CharField(max_length=500, blank=True, help_text="what was wrong, in a sentence")
    machine_draft = models.ForeignKey(MachineDraft, models.SET_NULL, null=True, related_name="corrections")
    drafted_by = models.CharField(max_length=200, blank=True, help_text="the model whose draft the text began as")
    is_draft_edited = models.BooleanField(default=False, help_text="a person changed the model's draft")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        get_latest_by = "pk"


class PreferencePair(models.Model):
    """Of a correction: chosen is the correction, rejected what the model said. Of a comparison: the better and the other."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="preference_pairs")
    correction = models.OneToOneField(Correction, models.PROTECT, null=True, related_name="preference_pair")
    comparison = models.OneToOneField("labeling.Comparison", models.PROTECT, null=True, related_name="preference_pair")
    messages = models.JSONField()
    chosen = models.TextField()
    rejected = models.TextField()
    retracted_at = models.DateTimeField(null=True)
    retraction = models.ForeignKey(Retraction, models.SET_NULL, null=True, related_name="pairs")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(correction__isnull=False) ^ Q(comparison__isnull=False),
                name="preference_pair_has_one_origin",
            )
        ]


class RegressionTest(models.Model):
    """A case kept as a test, in the project's regression suite for good. A later correction of the case replaces it."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="regression_tests")
    case = models.OneToOneField(Case, models.PROTECT, related_name="test")
    correction = models.ForeignKey(Correction, models.PROTECT, related_name="+")
    messages = models.JSONField()
    chosen = models.TextField()
    rejected = models.TextField()
    checks = models.JSONField(default=list, help_text='[{"kind": a CheckKind, "value": ...}]')
    is_active = models.BooleanField(default=True)
    retraction = models.ForeignKey(Retraction, models.SET_NULL, null=True, related_name="tests")


class Probe(models.Model):
    """A held-out paraphrase of a case's prompt: tested, never trained on."""

    test = models.ForeignKey(RegressionTest, models.CASCADE, related_name="probes")
    messages = models.JSONField()
    prompt_hash = models.CharField(max_length=64, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["test", "prompt_hash"], name="probe_once")]
