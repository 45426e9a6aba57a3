from pathlib import Path

from django.conf import settings
from django.db import models

from labeling.models.people import Project, User
from labeling.states import PROMPT_IMPORT_AT_WORK, PromptImportState


class FileImport(models.Model):
    """A file on its way in and how far it is. The file lies under VAR_DIR until the import is over."""

    project: models.ForeignKey[Project, Project]
    project_id: int
    created_by: "models.ForeignKey[User | None, User | None]"
    state = models.CharField(max_length=10, choices=PromptImportState.choices, default=PromptImportState.UPLOADED)
    name = models.CharField(max_length=200, help_text="the file's, as it was uploaded")
    file_key = models.UUIDField(unique=True)
    size_bytes = models.BigIntegerField()
    encoding = models.CharField(max_length=20, default="utf-8")
    language = models.CharField(max_length=20, blank=True, help_text="in which problems are put into words")
    format = models.CharField(max_length=10, blank=True)
    columns = models.JSONField(default=dict, help_text="{recognised: as it is called in the file}")
    unknown_columns = models.JSONField(default=list)
    tags = models.JSONField(default=list, help_text="given to each of the rows")
    preview = models.JSONField(default=list, help_text="the first good rows: {line, messages} and more")
    bad_lines = models.JSONField(default=list, help_text="the first bad rows: [line, why, how it begins]")
    problem = models.TextField(blank=True, help_text="why the whole file cannot be used")
    needs_encoding = models.BooleanField(default=False)
    read_bytes = models.BigIntegerField(default=0)
    n_rows = models.PositiveIntegerField(default=0)
    n_bad = models.PositiveIntegerField(default=0)
    n_handled = models.PositiveIntegerField(
        default=0, help_text="rows whose fate is committed; the import goes on behind them"
    )
    n_added = models.PositiveIntegerField(default=0)
    n_duplicates = models.PositiveIntegerField(default=0)
    n_kept = models.PositiveIntegerField(default=0, help_text="rows that undoing left, for somebody built on them")
    seen_at = models.DateTimeField(null=True, help_text="when a worker last showed that it is at it")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        return Path(settings.VAR_DIR) / "imports" / str(self.file_key)

    @property
    def is_at_work(self) -> bool:
        return self.state in PROMPT_IMPORT_AT_WORK

    @property
    def n_good(self) -> int:
        return self.n_rows - self.n_bad

    @property
    def percent(self) -> int:
        """How far the present step is."""
        if self.state == PromptImportState.CHECKING:
            done, whole = self.read_bytes, self.size_bytes
        else:
            done, whole = self.n_handled, self.n_rows
        return min(100, done * 100 // whole) if whole else 0


class PromptImport(FileImport):
    """A file of prompts that become tasks."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="prompt_imports")
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")

    class Meta:
        indexes = [models.Index(fields=["state", "seen_at"], name="prompt_import_work")]


class ExampleImport(FileImport):
    """A file, or a zip of files, of finished conversations that become examples."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="example_imports")
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    asked_format = models.CharField(max_length=20, blank=True, help_text="empty: recognised")
    skips_near = models.BooleanField(default=True, help_text="leave out what is nearly the same as another example")
    n_near = models.PositiveIntegerField(default=0)
    near_lines = models.JSONField(default=list, help_text="the first ones: [place, the other's key or place]")

    class Meta:
        indexes = [models.Index(fields=["state", "seen_at"], name="example_import_work")]
