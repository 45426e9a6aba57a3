from typing import Any

from django.db import models

from labeling.models import Example, Membership, PreferencePair, Project, User
from training.models.file import File
from training.states import RowKind, Split


class DatasetVersionQuerySet(models.QuerySet["DatasetVersion"]):
    def visible_to(self, membership: Membership) -> "DatasetVersionQuerySet":
        """Admins see the versions of their project."""
        return self.filter(project_id=membership.project_id) if membership.is_admin else self.none()

    def own(self) -> "DatasetVersionQuerySet":
        """Versions frozen from the project's examples, not made of uploaded files."""
        return self.filter(training_file__isnull=True)


class DatasetVersion(models.Model):
    """A frozen, content-hashed list of examples. The same content never makes two versions.

    `training_file` says that the rows were uploaded instead: they are no examples of the project and enter no other
    version.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="dataset_versions")
    number = models.PositiveIntegerField()
    content_hash = models.CharField(max_length=64, help_text="SHA-256 over the rows' hashes and splits, in order")
    training_file = models.ForeignKey(File, models.PROTECT, null=True, related_name="dataset_versions")
    validation_file = models.ForeignKey(File, models.PROTECT, null=True, related_name="+")
    n_train = models.PositiveIntegerField()
    n_valid = models.PositiveIntegerField()
    n_test = models.PositiveIntegerField(default=0)
    composition = models.JSONField(default=dict, help_text="the rules by which rows were chosen; empty: all examples")
    note = models.CharField(max_length=500, blank=True)
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = DatasetVersionQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="dataset_version_number"),
            models.UniqueConstraint(fields=["project", "content_hash"], name="dataset_version_content"),
        ]

    def __str__(self) -> str:
        return f"v{self.number}"

    @property
    def n_examples(self) -> int:
        return self.n_train + self.n_valid + self.n_test


class DatasetRow(models.Model):
    """One frozen text. `example` or `pair` says where it came from, neither: from the version's file; the text does not depend on it."""

    version = models.ForeignKey(DatasetVersion, models.CASCADE, related_name="rows")
    position = models.PositiveIntegerField()
    split = models.CharField(max_length=6, choices=Split.choices)
    kind = models.CharField(max_length=15, choices=RowKind.choices)
    row_hash = models.CharField(max_length=64)
    messages = models.JSONField()
    rejected = models.TextField(null=True, help_text="the wrong output of a correction")
    example = models.ForeignKey(Example, models.PROTECT, null=True, related_name="dataset_rows")
    pair = models.ForeignKey(PreferencePair, models.PROTECT, null=True, related_name="dataset_rows")

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["version", "position"], name="dataset_row_position")]

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk:
            raise ValueError("A frozen row is never changed.")
        super().save(*args, **kwargs)
