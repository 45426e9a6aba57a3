from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from deployment.states import AlertEnd, AlertMeasure
from labeling.models import Membership, Project, User


class AlertRule(models.Model):
    """When a project is alerted of one measure: its share is above `threshold` beyond doubt among the last conversations.

    A project without a row of a measure has the defaults.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="alert_rules")
    measure = models.CharField(max_length=10, choices=AlertMeasure.choices)
    is_on = models.BooleanField(_("on"), default=True)
    threshold = models.FloatField(_("limit, in percent"), validators=[MinValueValidator(0.1), MaxValueValidator(99)])
    seconds = models.FloatField(
        _("seconds to the first word"), default=10, validators=[MinValueValidator(0.1), MaxValueValidator(600)]
    )
    window = models.PositiveIntegerField(
        _("minutes looked back"), validators=[MinValueValidator(1), MaxValueValidator(30 * 24 * 60)]
    )
    least = models.PositiveIntegerField(
        _("conversations at least"), validators=[MinValueValidator(1), MaxValueValidator(100_000)]
    )
    mails = models.BooleanField(_("mail to the admins"), default=True)
    silenced_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "measure"], name="alert_rule_once")]

    DEFAULTS = {
        AlertMeasure.BAD: {"threshold": 10.0, "window": 24 * 60, "least": 20},
        AlertMeasure.FAILED: {"threshold": 5.0, "window": 15, "least": 10},
        AlertMeasure.SLOW: {"threshold": 20.0, "window": 15, "least": 10},
        AlertMeasure.CUT: {"threshold": 20.0, "window": 60, "least": 10},
    }

    @classmethod
    def all_of(cls, project: Project) -> "list[AlertRule]":
        """Return the project's rules, saved or not, one of each measure."""
        rows = {row.measure: row for row in cls.objects.filter(project=project)}
        return [
            rows.get(measure.value) or cls(project=project, measure=measure.value, **values)
            for measure, values in cls.DEFAULTS.items()
        ]


class AlertQuerySet(models.QuerySet["Alert"]):
    def visible_to(self, membership: Membership) -> "AlertQuerySet":
        """Reviewers see the project's alerts."""
        return self.filter(project_id=membership.project_id) if membership.is_reviewer else self.none()

    def open(self) -> "AlertQuerySet":
        return self.filter(ended_at=None)


class Alert(models.Model):
    """A time in which a measure was above its limit beyond doubt. `n_bad` of `n` conversations: at the last look."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="alerts")
    measure = models.CharField(max_length=10, choices=AlertMeasure.choices)
    threshold = models.FloatField(help_text="percent, as it was then")
    model_name = models.CharField(max_length=200, help_text="what was live")
    n = models.PositiveIntegerField()
    n_bad = models.PositiveIntegerField()
    began_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="when it was last looked at")
    ended_at = models.DateTimeField(null=True)
    end = models.CharField(max_length=12, choices=AlertEnd.choices, blank=True)
    taken_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", help_text="who looks after it")
    taken_at = models.DateTimeField(null=True)
    is_silent = models.BooleanField(default=False, help_text="it began in a silence: nobody was told")
    told = models.CharField(max_length=6, blank=True, help_text="the last mail that went out: began or ended")
    claimed_at = models.DateTimeField(null=True, help_text="when a worker began to send the mail")

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "measure"], condition=models.Q(ended_at=None), name="alert_one_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_measure_display()} · {self.project}"

    @property
    def share(self) -> float:
        return self.n_bad / self.n if self.n else 0.0
