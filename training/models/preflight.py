from django.db import models

from training.models.job import Job


class JobPreflight(models.Model):
    """What was known of a job before it could take a slot. It stays with the job, to be held against what came of it.

    While `finished_at` is null a worker looks at the run directory, or is about to; `heartbeat_at` is its sign of life.
    """

    job = models.OneToOneField(Job, models.CASCADE, related_name="preflight")
    waits_for_start = models.BooleanField(default=False, help_text="a person looks at it first and starts the job")
    report = models.JSONField(default=dict, help_text="preflight.json of the run directory")
    estimate = models.JSONField(default=dict, help_text="seconds with an interval, price, and what they stand on")
    problems = models.JSONField(default=list, help_text="what stops the job")
    worker = models.CharField(max_length=120, blank=True)
    heartbeat_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"preflight of {self.job}"

    @property
    def is_ready(self) -> bool:
        """Whether it is over and nothing stands in the way."""
        return self.finished_at is not None and not self.problems
