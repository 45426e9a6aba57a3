from django.db import models
from django.utils.translation import gettext_lazy as _

from deployment.models.engine import OutsideEngine
from deployment.states import JudgeOutcome
from labeling.models import Comparison, Project


class Judge(models.Model):
    """A model at an engine outside that compares answers as people do. Its numbers count once it agrees with people."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="judge")
    engine = models.ForeignKey(OutsideEngine, models.CASCADE, related_name="judges")
    served_name = models.CharField(_("its name there"), max_length=200)
    is_on = models.BooleanField(_("compare what people are asked to compare"), default=True)

    def __str__(self) -> str:
        return self.served_name


class JudgeVerdict(models.Model):
    """What a judge made of one comparison: asked twice, the second time with the answers in the other order."""

    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="judge_verdicts")
    judge_name = models.CharField(max_length=200, help_text="the model, kept as text")
    outcome = models.CharField(max_length=10, choices=JudgeOutcome.choices)
    words = models.JSONField(default=list, help_text="what it said, in both orders")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["comparison", "judge_name"], name="judge_verdict_once")]
