from pathlib import Path

from django.conf import settings
from django.db import models

from common import artefacts
from labeling.models import Project, User
from training.models.dataset import DatasetVersion
from training.states import EXPORT_AT_WORK, ExportState


class DatasetExport(models.Model):
    """A file of a version in a format that no web process writes. Once made it stays, with its SHA-256."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="+")
    version = models.ForeignKey(DatasetVersion, models.CASCADE, related_name="exports")
    format = models.CharField(max_length=20)
    split = models.CharField(max_length=6, blank=True)
    state = models.CharField(max_length=8, choices=ExportState.choices, default=ExportState.QUEUED)
    n_done = models.PositiveIntegerField(default=0)
    n_rows = models.PositiveIntegerField(default=0)
    size_bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    problem = models.TextField(blank=True)
    seen_at = models.DateTimeField(null=True, help_text="when a worker last showed that it is at it")
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version", "format", "split"], name="dataset_export_once"),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.format}"

    @property
    def path(self) -> Path:
        return Path(settings.VAR_DIR) / "exports" / str(self.pk)

    @property
    def is_there(self) -> bool:
        """Whether its bytes are on this machine, after they were fetched where that is needed. Raises OSError."""
        return artefacts.fetch(self.path, sha256=self.sha256)

    @property
    def is_at_work(self) -> bool:
        return self.state in EXPORT_AT_WORK

    @property
    def percent(self) -> int:
        return min(100, self.n_done * 100 // self.n_rows) if self.n_rows else 0
