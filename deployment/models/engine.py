from django.db import models
from django.utils.translation import gettext_lazy as _

from deployment.states import EngineKind
from labeling.models import Membership, Project
from training.models import BaseModel, TunedModel


class OutsideEngineQuerySet(models.QuerySet["OutsideEngine"]):
    def visible_to(self, membership: Membership) -> "OutsideEngineQuerySet":
        """Admins see the engines of their project."""
        return self.filter(project_id=membership.project_id) if membership.is_admin else self.none()


class OutsideEngine(models.Model):
    """A server of somebody else's, or of one's own, that speaks the OpenAI wire format. Its key is kept sealed.

    What the last look found: `served_names` are the models that it has, `figures` what it says of its load, `problem` why it
    could not be asked. After failures the looks become rarer, up to `next_look_at`.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="outside_engines")
    name = models.CharField(_("name"), max_length=60)
    kind = models.CharField(_("kind"), max_length=10, choices=EngineKind.choices, default=EngineKind.OPENAI)
    url = models.URLField(_("address"), max_length=500)
    sealed_key = models.TextField(blank=True)
    served_names = models.JSONField(default=list)
    figures = models.JSONField(default=dict)
    problem = models.CharField(max_length=500, blank=True)
    n_failures = models.PositiveIntegerField(default=0, help_text="looks in a row that failed")
    looked_at = models.DateTimeField(null=True)
    next_look_at = models.DateTimeField(null=True)

    objects = OutsideEngineQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="outside_engine_name")]

    def __str__(self) -> str:
        return self.name


class ServedModel(models.Model):
    """That an outside engine answers for a model of the project, and what the model is called there."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="served_models")
    engine = models.ForeignKey(OutsideEngine, models.CASCADE, related_name="served")
    tuned_model = models.ForeignKey(TunedModel, models.CASCADE, null=True, related_name="served")
    base_model = models.ForeignKey(BaseModel, models.CASCADE, null=True, related_name="served")
    served_name = models.CharField(_("its name there"), max_length=200)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["project", "tuned_model"], name="served_tuned_once"),
            models.UniqueConstraint(fields=["project", "base_model"], name="served_base_once"),
            models.CheckConstraint(
                condition=models.Q(tuned_model=None, base_model__isnull=False)
                | models.Q(tuned_model__isnull=False, base_model=None),
                name="served_one_model",
            ),
        ]

    @property
    def model_name(self) -> str:
        """What the project calls the model."""
        return self.tuned_model.name if self.tuned_model else self.base_model.slug  # type: ignore[union-attr]
