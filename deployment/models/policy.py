from django.db import models

from deployment.states import Reach
from labeling.models import Project


class CyclePolicy(models.Model):
    """When cycles start by themselves, and how far they go. A project without a row runs them by hand only.

    `looked_at` is up to when the schedule has been answered: a time after it that has passed is due.
    """

    project = models.OneToOneField(Project, models.CASCADE, related_name="cycle_policy")
    at_count = models.PositiveIntegerField(
        null=True, help_text="so many new examples start a cycle; null: no number does"
    )
    cron = models.CharField(max_length=100, blank=True, help_text="minute hour day month weekday; empty: no schedule")
    on_alert = models.BooleanField(
        default=False, help_text="an open alert starts one, when enough is new since it began"
    )
    at_least = models.PositiveIntegerField(default=1, help_text="the schedule skips a cycle with fewer new examples")
    per_month = models.PositiveIntegerField(null=True, help_text="most cycles in thirty days; null: any number")
    reach = models.CharField(max_length=10, choices=Reach.choices, default=Reach.LIVE)
    canary_percent = models.PositiveSmallIntegerField(default=10)
    looked_at = models.DateTimeField()
    skipped_at = models.DateTimeField(null=True)
    skip = models.JSONField(default=dict, help_text="why the last one was skipped: {code, n, limit}")

    def __str__(self) -> str:
        return f"cycles of {self.project_id}"
