from django.db import models

from deployment.models.traffic import Completion
from deployment.states import ExplanationState
from training.models import DatasetVersion


class Explanation(models.Model):
    """The rows that an answer's model learnt which are nearest to the answer: `rows` is a list of {position, score, question,
    answer}, the nearest first."""

    completion = models.OneToOneField(Completion, models.CASCADE, related_name="explanation")
    version = models.ForeignKey(DatasetVersion, models.CASCADE, related_name="+")
    state = models.CharField(max_length=10, choices=ExplanationState.choices, default=ExplanationState.WAITING)
    rows = models.JSONField(default=list)
    asked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.completion_id}: {self.state}"
