from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from common import artefacts
from labeling.models import Membership, Project, User
from training.states import FileFormat, FilePurpose


class FileQuerySet(models.QuerySet["File"]):
    def visible_to(self, membership: Membership) -> "FileQuerySet":
        """Admins see the files of their project."""
        return self.filter(project_id=membership.project_id) if membership.is_admin else self.none()

    def live(self) -> "FileQuerySet":
        """Files that are neither deleted nor past their time."""
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()), deleted_at__isnull=True)


class File(models.Model):
    """A file of the API: uploaded rows, or what a job measured.

    The row stays when the file is deleted, since jobs name it; the bytes go. Files of the same bytes are links to one.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="files")
    key = models.CharField(max_length=40, unique=True, help_text="file-...")
    name = models.CharField(max_length=255)
    purpose = models.CharField(max_length=20, choices=FilePurpose.choices)
    sha256 = models.CharField(max_length=64, db_index=True)
    size_bytes = models.BigIntegerField()
    format = models.CharField(max_length=12, choices=FileFormat.choices, blank=True, help_text="of rows to train on")
    n_rows = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    objects = FileQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        return files_dir() / self.key

    @property
    def is_there(self) -> bool:
        """Whether its bytes are on this machine, after they were fetched where that is needed. Raises OSError."""
        return artefacts.fetch(self.path, sha256=self.sha256)

    @property
    def is_live(self) -> bool:
        return self.deleted_at is None and (self.expires_at is None or self.expires_at > timezone.now())


def files_dir() -> Path:
    return settings.VAR_DIR / "files"
