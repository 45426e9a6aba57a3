from django.db import models

from training.models.dataset import DatasetRow, DatasetVersion
from training.models.registry import BaseModel
from training.states import CountState


class DatasetStatistics(models.Model):
    """What was counted of a version, once, by a worker. `data` has the figures (training.actions.statistics)."""

    version = models.OneToOneField(DatasetVersion, models.CASCADE, related_name="statistics")
    state = models.CharField(max_length=10, choices=CountState.choices, default=CountState.COUNTING)
    base_model = models.ForeignKey(BaseModel, models.SET_NULL, null=True, related_name="+", help_text="whose tokens")
    data = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)


class RowFacts(models.Model):
    """What was counted of one row; the row itself stays as it was frozen."""

    row = models.OneToOneField(DatasetRow, models.CASCADE, primary_key=True, related_name="facts")
    language = models.CharField(max_length=12, blank=True, help_text="of the answer; empty where it is uncertain")
    n_tokens = models.PositiveIntegerField(null=True)
