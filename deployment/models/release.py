from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from deployment.states import ChangeKind, Stage
from labeling.models import Project, User
from training.models import BaseModel, Evaluation, TunedModel


class Deployment(models.Model):
    """A stable public name that answers with the live model; `live_model` null means the base model as it is.

    The candidate, where there is one, is beside it: in shadow nobody sees its answers, as a canary it has
    `canary_percent` of the conversations.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="deployments")
    name = models.SlugField(max_length=50, default="assistant")
    base_model = models.ForeignKey(BaseModel, models.PROTECT, related_name="+")
    live_model = models.ForeignKey(TunedModel, models.PROTECT, null=True, related_name="+")
    candidate_model = models.ForeignKey(TunedModel, models.PROTECT, null=True, related_name="+")
    stage = models.CharField(max_length=10, choices=Stage.choices, blank=True, help_text="of the candidate")
    canary_percent = models.PositiveSmallIntegerField(default=0, help_text="conversations of the candidate, in percent")
    stage_since = models.DateTimeField(null=True, help_text="when the candidate came to its stage")
    shadow_percent = models.PositiveSmallIntegerField(
        _("share of the prompts that are copied, in percent"),
        default=20,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
    )
    shadow_per_minute = models.PositiveSmallIntegerField(
        _("copies a minute at most"), default=6, validators=[MinValueValidator(1), MaxValueValidator(600)]
    )
    canary_after = models.PositiveIntegerField(
        _("copies in shadow before the canary"),
        default=0,
        validators=[MaxValueValidator(100_000)],
        help_text=_("0: by hand."),
    )
    rule_percent = models.PositiveSmallIntegerField(
        _("share of the canary, in percent"), default=10, validators=[MinValueValidator(1), MaxValueValidator(99)]
    )
    live_after = models.PositiveIntegerField(
        _("conversations as a canary before live"),
        default=0,
        validators=[MaxValueValidator(1_000_000)],
        help_text=_("0: by hand."),
    )
    is_guarded = models.BooleanField(
        _("roll back by itself"),
        default=True,
        help_text=_(
            "A canary, or a model that went live, is taken away when it is worse than the former one beyond doubt."
        ),
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="deployment_name"),
            models.CheckConstraint(
                condition=models.Q(candidate_model=None, stage="", canary_percent=0)
                | models.Q(candidate_model__isnull=False, stage=str(Stage.SHADOW), canary_percent=0)
                | models.Q(
                    candidate_model__isnull=False,
                    stage=str(Stage.CANARY),
                    canary_percent__gte=1,
                    canary_percent__lte=99,
                ),
                name="deployment_stage",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def live_name(self) -> str:
        return self.live_model.name if self.live_model else self.base_model.slug


class DeploymentChange(models.Model):
    """Who changed what the deployment routes to, when, from, to and why. Rolling back is one more row."""

    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="changes")
    kind = models.CharField(max_length=10, choices=ChangeKind.choices)
    from_model = models.ForeignKey(TunedModel, models.PROTECT, null=True, related_name="+")
    to_model = models.ForeignKey(TunedModel, models.PROTECT, null=True, related_name="+")
    weight = models.PositiveSmallIntegerField(default=100, help_text="share of traffic, in percent")
    reason = models.CharField(max_length=500, blank=True)
    evaluation = models.ForeignKey(Evaluation, models.SET_NULL, null=True, related_name="+")
    by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
