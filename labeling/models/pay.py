"""What people are paid for: the time that they are at work, and their rates. Both keep the past as it was."""

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from labeling.models.people import Membership, Project, User
from labeling.states import RateUnit


class ActiveTime(models.Model):
    """How long a person was at work in a project on one day, which begins and ends in the server's time zone.

    Whole milliseconds, because one UPDATE has to do the sum on both databases.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="active_times")
    user = models.ForeignKey(User, models.PROTECT, related_name="active_times")
    day = models.DateField()
    active_ms = models.BigIntegerField(default=0)
    last_ms = models.BigIntegerField(help_text="the person's last sign of work, in milliseconds since 1970")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user", "day"], name="active_time_once")]

    def __str__(self) -> str:
        return f"{self.day}: {self.active_ms // 1000} s"


class Rate(models.Model):
    """What a member earns from a day on. A change is a row of its own, so that past weeks stay as they were."""

    membership = models.ForeignKey(Membership, models.CASCADE, related_name="rates")
    amount = models.DecimalField(_("rate"), max_digits=10, decimal_places=4, validators=[MinValueValidator(Decimal(0))])
    unit = models.CharField(_("paid"), max_length=10, choices=RateUnit.choices, default=RateUnit.PIECE)
    valid_from = models.DateField(_("valid from"))
    set_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    set_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["valid_from"]
        constraints = [models.UniqueConstraint(fields=["membership", "valid_from"], name="rate_once_a_day")]

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.get_unit_display()}"
