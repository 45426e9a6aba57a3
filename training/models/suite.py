"""What a project measures its models by besides cases: suites of its own, and people who compare blindly."""

from django.db import models

from labeling.models import Comparison, Membership, Project, User


class OwnSuiteQuerySet(models.QuerySet["OwnSuite"]):
    def visible_to(self, membership: Membership) -> "OwnSuiteQuerySet":
        return self.filter(project_id=membership.project_id)


class OwnSuite(models.Model):
    """Rows that every evaluation asks: {messages, chosen, rejected, checks}, as docs/run-directory.md has them."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="own_suites")
    name = models.CharField(max_length=80)
    rows = models.JSONField()
    n_rows = models.PositiveIntegerField()
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OwnSuiteQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="own_suite_name_once")]

    def __str__(self) -> str:
        return self.name


class BlindPair(models.Model):
    """A prompt that a candidate and the live model answered differently, put before people who do not see whose is whose."""

    evaluation = models.ForeignKey("training.Evaluation", models.CASCADE, related_name="blind_pairs")
    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="+")
    is_candidate_a = models.BooleanField(help_text="whether answer A is the candidate's")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["evaluation", "comparison"], name="blind_pair_once")]

    def __str__(self) -> str:
        return f"{self.evaluation_id}: #{self.comparison_id}"
