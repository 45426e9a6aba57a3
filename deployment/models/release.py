from django.db import models

from deployment.states import ChangeKind
from labeling.models import Project, User
from training.models import BaseModel, Evaluation, TunedModel


class Deployment(models.Model):
    """A stable public name that answers with the live model; `live_model` null means the base model as it is."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="deployments")
    name = models.SlugField(max_length=50, default="assistant")
    base_model = models.ForeignKey(BaseModel, models.PROTECT, related_name="+")
    live_model = models.ForeignKey(TunedModel, models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="deployment_name")]

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
