from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q

from labeling.models import Membership, Project, RegressionTest, User
from training.models.dataset import DatasetVersion
from training.models.registry import BaseModel, TunedModel
from training.states import EVALUATION_ENDED, EvaluationState, Suite


class EvaluationQuerySet(models.QuerySet["Evaluation"]):
    def visible_to(self, membership: Membership) -> "EvaluationQuerySet":
        """Reviewers and admins see the evaluations of their project."""
        return self.filter(project_id=membership.project_id) if membership.is_reviewer else self.none()


class Evaluation(models.Model):
    """One model run against the project's suites as they stood then (`suite_hash`).

    `tuned_model` null: the base model itself. `baseline` is the evaluation of the model that was live, against the same
    suites: the pair is what the page compares.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="evaluations")
    key = models.CharField(max_length=40, unique=True, help_text="eval-...")
    base_model = models.ForeignKey(BaseModel, models.PROTECT, related_name="+")
    tuned_model = models.ForeignKey(TunedModel, models.CASCADE, null=True, related_name="evaluations")
    baseline = models.ForeignKey("self", models.SET_NULL, null=True, related_name="candidates")
    dataset_version = models.ForeignKey(DatasetVersion, models.PROTECT, null=True, related_name="evaluations")
    suite_hash = models.CharField(max_length=64)
    has_probes = models.BooleanField(default=True)
    state = models.CharField(max_length=12, choices=EvaluationState.choices, default=EvaluationState.QUEUED)
    n_done = models.PositiveIntegerField(default=0)
    n_total = models.PositiveIntegerField(default=0)
    n_attempts = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=120, blank=True)
    heartbeat_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    metrics = models.JSONField(default=dict)
    gate = models.JSONField(
        default=list, help_text="the gate's rules and their results, written once both sides are measured"
    )
    comparison = models.JSONField(
        default=dict, help_text="intervals of its measures, and of the differences from the baseline's, with the gate"
    )
    error = models.TextField(blank=True)
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    objects = EvaluationQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.key

    @property
    def run_dir(self) -> Path:
        return settings.RUNS_DIR / self.key

    @property
    def has_ended(self) -> bool:
        return self.state in EVALUATION_ENDED

    @property
    def model_name(self) -> str:
        return self.tuned_model.name if self.tuned_model else self.base_model.slug


class GateLimits(models.Model):
    """Where a project's gate differs from `GATE_DEFAULTS`: {a GateRule: a limit, or null for a rule that is not asked}."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="gate_limits")
    limits = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"gate of {self.project_id}"


class EvaluationResult(models.Model):
    """One prompt's outcome: a line of results.jsonl. `probe` null in suite `regression` and in the loss suites."""

    evaluation = models.ForeignKey(Evaluation, models.CASCADE, related_name="results")
    suite = models.CharField(max_length=10, choices=Suite.choices)
    test = models.ForeignKey(RegressionTest, models.CASCADE, null=True, related_name="results")
    row_id = models.CharField(max_length=80)
    probe = models.PositiveIntegerField(null=True)
    messages = models.JSONField(default=list, help_text="the prompt that was asked")
    answer = models.TextField(blank=True)
    is_right = models.BooleanField(null=True)
    data = models.JSONField(default=dict, help_text="the whole line: log-likelihoods, chrF, checks, loss")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["evaluation", "suite", "row_id", "probe"],
                name="evaluation_result_once",
                condition=Q(probe__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["evaluation", "suite", "row_id"],
                name="evaluation_result_plain_once",
                condition=Q(probe__isnull=True),
            ),
        ]
