from django.db import models

from labeling.models.people import Project, User
from labeling.states import BULK_AT_WORK, BulkState


class BulkAction(models.Model):
    """One thing done to many rows at once. What it takes to undo it is in its batches."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="bulk_actions")
    kind = models.CharField(max_length=12, help_text="tasks, cases or examples")
    what = models.CharField(max_length=12)
    value = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=10, choices=BulkState.choices, default=BulkState.DONE)
    n_rows = models.PositiveIntegerField(default=0)
    n_handled = models.PositiveIntegerField(default=0)
    n_done = models.PositiveIntegerField(default=0)
    problems = models.JSONField(default=list, help_text="[why not, how many rows]")
    undo_problems = models.JSONField(default=list)
    n_undone = models.PositiveIntegerField(default=0)
    language = models.CharField(max_length=20, blank=True, help_text="in which problems are put into words")
    by = models.ForeignKey(User, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    undone_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    undone_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True, help_text="when a worker last showed that it is at it")

    class Meta:
        indexes = [models.Index(fields=["state", "seen_at"], name="bulk_work")]

    @property
    def is_at_work(self) -> bool:
        return self.state in BULK_AT_WORK

    @property
    def percent(self) -> int:
        """How far the present step is."""
        n_back = self.n_undone + sum(n for _why, n in self.undo_problems)
        done, whole = (n_back, self.n_done) if self.state == BulkState.UNDOING else (self.n_handled, self.n_rows)
        return min(100, done * 100 // whole) if whole else 0


class BulkBatch(models.Model):
    """Some of the rows of a bulk action: those that are done or undone in one transaction."""

    bulk = models.ForeignKey(BulkAction, models.CASCADE, related_name="batches")
    keys = models.JSONField()
    done = models.JSONField(null=True, help_text="[key, former value] of each row that it was done to; null: not yet")
    is_undone = models.BooleanField(default=False)
