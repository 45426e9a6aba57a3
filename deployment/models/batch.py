from pathlib import Path

from django.conf import settings
from django.db import models

from deployment.states import BATCH_AT_WORK, BatchState
from labeling.models import ApiKey, Project
from training.models import File


class Batch(models.Model):
    """Requests of one file of the API, answered one after the other; the answers are files again.

    What was answered lies line by line in `folder` until the end: a worker that takes over goes on after it.
    `heartbeat_at` is the worker's sign of life.
    """

    key = models.CharField(max_length=40, unique=True, help_text="batch_...")
    project = models.ForeignKey(Project, models.CASCADE, related_name="batches")
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="batches")
    endpoint = models.CharField(max_length=40)
    input_file = models.ForeignKey(File, models.PROTECT, related_name="+")
    output_file = models.ForeignKey(File, models.SET_NULL, null=True, related_name="+")
    error_file = models.ForeignKey(File, models.SET_NULL, null=True, related_name="+")
    metadata = models.JSONField(null=True)
    state = models.CharField(max_length=12, choices=BatchState.choices, default=BatchState.VALIDATING)
    errors = models.JSONField(default=list, help_text="lines that are no requests")
    n_total = models.PositiveIntegerField(default=0)
    n_completed = models.PositiveIntegerField(default=0)
    n_failed = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=100, blank=True, help_text="host:pid")
    heartbeat_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    in_progress_at = models.DateTimeField(null=True)
    finalizing_at = models.DateTimeField(null=True)
    cancelling_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.key

    @property
    def folder(self) -> Path:
        return settings.VAR_DIR / "batches" / self.key

    @property
    def is_at_work(self) -> bool:
        return self.state in BATCH_AT_WORK
