from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from labeling.models.people import Membership, User
from labeling.models.work import Submission, Task

LOWEST, HIGHEST = 1, 7
RUBRIC = {
    "helpful": _("Helpful"),
    "truthful": _("Truthful"),
    "harmless": _("Harmless"),
    "follows": _("Follows the instructions"),
}


class GoldTaskQuerySet(models.QuerySet["GoldTask"]):
    def in_use(self) -> "GoldTaskQuerySet":
        return self.filter(unmarked_at__isnull=True)


class GoldTask(models.Model):
    """A task that people are measured by. Everybody gets a copy of their own; the task itself is not handed out."""

    task = models.OneToOneField(Task, models.PROTECT, related_name="gold_mark")
    reference = models.TextField(_("reference answer"), blank=True)
    checks = models.JSONField(default=list, help_text='[{"kind": a CheckKind, "value": ...}]')
    marked_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    marked_at = models.DateTimeField(auto_now_add=True)
    unmarked_at = models.DateTimeField(null=True, blank=True)

    objects = GoldTaskQuerySet.as_manager()

    def __str__(self) -> str:
        return f"gold {self.task_id}"


class GoldCopy(models.Model):
    """One person's copy of a gold task. `attempt` is that of the qualification, 0 for one among ordinary work."""

    gold = models.ForeignKey(GoldTask, models.PROTECT, related_name="copies")
    membership = models.ForeignKey(Membership, models.CASCADE, related_name="gold_copies")
    task = models.OneToOneField(Task, models.PROTECT, related_name="gold_copy")
    attempt = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["gold", "membership", "attempt"], name="gold_copy_once")]


def _score() -> models.PositiveSmallIntegerField:
    return models.PositiveSmallIntegerField(validators=[MinValueValidator(LOWEST), MaxValueValidator(HIGHEST)])


class Grade(models.Model):
    """A reviewer's scores of one answer to a gold task, given without knowing whose it is. Written once."""

    submission = models.ForeignKey(Submission, models.PROTECT, related_name="grades")
    reviewer = models.ForeignKey(User, models.PROTECT, related_name="grades")
    helpful = _score()
    truthful = _score()
    harmless = _score()
    follows = _score()
    comment = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["submission", "reviewer"], name="grade_once"),
            models.CheckConstraint(
                condition=models.Q(
                    **{f"{name}__{end}": score for name in RUBRIC for end, score in (("gte", LOWEST), ("lte", HIGHEST))}
                ),
                name="grade_in_range",
            ),
        ]

    @property
    def mean(self) -> float:
        return (self.helpful + self.truthful + self.harmless + self.follows) / len(RUBRIC)
