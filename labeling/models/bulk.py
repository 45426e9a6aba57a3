from django.db import models

from labeling.models.people import Project, User


class BulkAction(models.Model):
    """One thing done to many rows at once, with what it takes to undo it: `done` holds [key, former value] of each row."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="bulk_actions")
    kind = models.CharField(max_length=12, help_text="tasks, cases or examples")
    what = models.CharField(max_length=12)
    value = models.CharField(max_length=500, blank=True)
    done = models.JSONField(default=list)
    problems = models.JSONField(default=list, help_text="[why not, how many rows]")
    undo_problems = models.JSONField(default=list)
    n_undone = models.PositiveIntegerField(default=0)
    by = models.ForeignKey(User, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True)
