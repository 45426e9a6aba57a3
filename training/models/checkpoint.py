from pathlib import Path

from django.conf import settings
from django.db import models

from labeling.models import User
from training.models.job import Job
from training.models.registry import TunedModel
from training.states import CHECKPOINT_AT_WORK, CheckpointState


class Checkpoint(models.Model):
    """A checkpoint that a job has kept. The losses are those at its step; a value that was not measured is null.

    `seen_at` is the sign of life of the worker that makes it a model.
    """

    job = models.ForeignKey(Job, models.CASCADE, related_name="checkpoints")
    step = models.PositiveIntegerField()
    train_loss = models.FloatField(null=True)
    valid_loss = models.FloatField(null=True)
    valid_token_accuracy = models.FloatField(null=True)
    size_bytes = models.BigIntegerField(default=0)
    state = models.CharField(max_length=8, choices=CheckpointState.choices, default=CheckpointState.KEPT)
    problem = models.TextField(blank=True)
    model = models.OneToOneField(TunedModel, models.SET_NULL, null=True, related_name="checkpoint")
    wanted_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    seen_at = models.DateTimeField(null=True)
    n_attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["job", "step"], name="checkpoint_step")]

    def __str__(self) -> str:
        return f"{self.job}, step {self.step}"

    @property
    def project_id(self) -> int:
        return self.job.project_id

    @property
    def folder(self) -> Path:
        return self.job.run_dir / "checkpoints" / f"checkpoint-{self.step}"

    @property
    def run_dir(self) -> Path:
        """Where it is made a model."""
        return settings.RUNS_DIR / self.job.key / f"step-{self.step}"

    @property
    def is_at_work(self) -> bool:
        return self.state in CHECKPOINT_AT_WORK
