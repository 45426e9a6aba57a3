from django.db import models
from django.utils import timezone

from labeling.models.instructions import InstructionVersion
from labeling.models.people import Membership, Project, User
from labeling.states import Measure


class AgreementReport(models.Model):
    """When a project's agreement was asked for and when it was last worked out. The figures hang on it."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="agreement_report")
    requested_at = models.DateTimeField(default=timezone.now)
    computed_at = models.DateTimeField(null=True)

    @property
    def is_due(self) -> bool:
        """Whether somebody asked after the figures were worked out."""
        return self.computed_at is None or self.requested_at > self.computed_at


class AgreementFigureQuerySet(models.QuerySet["AgreementFigure"]):
    def visible_to(self, membership: Membership) -> "AgreementFigureQuerySet":
        """Admins see all; others the whole project's and their own."""
        rows = self.filter(report__project_id=membership.project_id)
        if membership.is_admin:
            return rows
        return rows.filter(instruction_version__isnull=True).filter(
            models.Q(person__isnull=True) | models.Q(person_id=membership.user_id)
        )


class AgreementFigure(models.Model):
    """How far people agree on one kind of judgement: in the whole project, with one person, or under one version.

    Shares are of 0 to 1. What is None could not be said: too few items, or everybody said the same all the time.
    """

    report = models.ForeignKey(AgreementReport, models.CASCADE, related_name="figures")
    measure = models.CharField(max_length=12, choices=Measure.choices)
    person = models.ForeignKey(User, models.CASCADE, null=True, related_name="agreement_figures")
    instruction_version = models.ForeignKey(InstructionVersion, models.CASCADE, null=True, related_name="+")
    n_items = models.PositiveIntegerField(help_text="with at least two judgements")
    n_judgements = models.PositiveIntegerField()
    share_same = models.FloatField(null=True)
    share_low = models.FloatField(null=True)
    share_high = models.FloatField(null=True)
    alpha = models.FloatField(null=True)
    alpha_low = models.FloatField(null=True)
    alpha_high = models.FloatField(null=True)
    table = models.JSONField(default=dict, help_text="{values, rows}: how often two people gave which two judgements")

    objects = AgreementFigureQuerySet.as_manager()

    class Meta:
        ordering = ["measure", "person__name", "-instruction_version__number"]
