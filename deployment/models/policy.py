from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models

from deployment.states import Reach
from labeling.models import Project
from training.models import DatasetVersion, Preset

LEAST_PRICE = Decimal("0.01")


class CyclePolicy(models.Model):
    """When cycles start by themselves, what they learn and how far they go. A project without a row runs them by hand only.

    What is learnt (`rules_of`, `preset`, `measures_replay`) holds for every cycle; the rest for those that start by themselves.

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
    price_per_cycle = models.DecimalField(
        max_digits=12,
        decimal_places=2,
        null=True,
        validators=[MinValueValidator(LEAST_PRICE)],
        help_text="a job that will cost more is not started; null: any price",
    )
    price_per_month = models.DecimalField(
        max_digits=12,
        decimal_places=2,
        null=True,
        validators=[MinValueValidator(LEAST_PRICE)],
        help_text="what the cycles of thirty days may cost together; null: any price",
    )
    rules_of = models.ForeignKey(
        DatasetVersion, models.SET_NULL, null=True, related_name="+", help_text="composed alike; null: all examples"
    )
    preset = models.ForeignKey(
        Preset, models.SET_NULL, null=True, related_name="+", help_text="how it is trained; null: all automatic"
    )
    measures_replay = models.BooleanField(default=True, help_text="the drift of former cycles sets the replay's weight")
    reach = models.CharField(max_length=10, choices=Reach.choices, default=Reach.LIVE)
    canary_percent = models.PositiveSmallIntegerField(default=10)
    looked_at = models.DateTimeField()
    skipped_at = models.DateTimeField(null=True)
    skip = models.JSONField(default=dict, help_text="why the last one was skipped: {code, n, limit}")

    def __str__(self) -> str:
        return f"cycles of {self.project_id}"
