from typing import Any, NoReturn

from django.db import models


class HistoryIsFixed(ValueError):
    """A history row is written once; nothing changes or removes it."""

    def __init__(self) -> None:
        super().__init__("A history row is written once and never changed.")


class TransitionQuerySet(models.QuerySet["Transition"]):
    def of(self, subject: models.Model) -> "TransitionQuerySet":
        """The history of one row, oldest first."""
        return self.filter(subject_type=subject._meta.label_lower, subject_pk=str(subject.pk)).order_by("pk")

    def update(self, **_kwargs: Any) -> NoReturn:
        raise HistoryIsFixed

    def delete(self) -> NoReturn:
        raise HistoryIsFixed

    delete.alters_data = True  # type: ignore[attr-defined]


class Transition(models.Model):
    """One decision about any row: who, when, from, to and why. Written once, never changed.

    A change of state has the two states as `before` and `after` and no `what`; any other change says in `what` which
    thing changed ("role", "rate", "settings") and carries the values as people read them.
    Names are kept beside keys because a history outlives the people and rows in it.
    """

    subject_type = models.CharField(max_length=60)
    subject_pk = models.CharField(max_length=40)
    project_pk = models.BigIntegerField(null=True)
    what = models.CharField(max_length=40, blank=True)
    before = models.CharField(max_length=400, blank=True)
    after = models.CharField(max_length=400, blank=True)
    by_pk = models.BigIntegerField(null=True)
    by_name = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)
    at = models.DateTimeField(auto_now_add=True)

    objects = TransitionQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["subject_type", "subject_pk"], name="transition_subject"),
            models.Index(fields=["project_pk", "at", "id"], name="transition_time"),
            models.Index(fields=["project_pk", "by_pk", "at", "id"], name="transition_person"),
            models.Index(fields=["project_pk", "subject_type", "at", "id"], name="transition_kind"),
            models.Index(fields=["project_pk", "what", "at", "id"], name="transition_what"),
        ]

    def __str__(self) -> str:
        return f"{self.subject_type} {self.subject_pk}: {self.before} → {self.after}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk:
            raise HistoryIsFixed
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise HistoryIsFixed
