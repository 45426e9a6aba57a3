from django.db import models

from deployment.models.release import Deployment
from deployment.models.traffic import Completion
from deployment.states import CompletionState, ShadowVerdict
from labeling.models import Membership, Project, User
from training.models import TunedModel


class ShadowAnswerQuerySet(models.QuerySet["ShadowAnswer"]):
    def visible_to(self, membership: Membership) -> "ShadowAnswerQuerySet":
        """Reviewers see the project's."""
        return self.filter(project_id=membership.project_id) if membership.is_reviewer else self.none()

    def to_judge(self) -> "ShadowAnswerQuerySet":
        """Other answers than the live ones that nobody has judged, of models that are still in shadow, the oldest first."""
        rows = self.filter(state=CompletionState.DONE, is_same=False, verdict="")
        return rows.filter(deployment__candidate_model=models.F("tuned_model")).order_by("pk")


class ShadowAnswer(models.Model):
    """What a candidate in shadow answered to the prompt of a logged answer. Nobody who asked sees it."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="shadow_answers")
    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="shadow_answers")
    completion = models.ForeignKey(Completion, models.CASCADE, related_name="shadow_answers")
    tuned_model = models.ForeignKey(TunedModel, models.CASCADE, related_name="shadow_answers")
    state = models.CharField(max_length=10, choices=CompletionState.choices, default=CompletionState.STREAMING)
    response = models.TextField(blank=True)
    is_same = models.BooleanField(default=False, help_text="as what the live model answered")
    finish_reason = models.CharField(max_length=20, blank=True)
    error = models.CharField(max_length=500, blank=True)
    n_completion_tokens = models.PositiveIntegerField(null=True)
    duration_s = models.FloatField(null=True)
    verdict = models.CharField(max_length=10, choices=ShadowVerdict.choices, blank=True)
    judged_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    judged_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ShadowAnswerQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["completion", "tuned_model"], name="shadow_once")]
        indexes = [models.Index(fields=["deployment", "created_at"], name="shadow_pace")]
