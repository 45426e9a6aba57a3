from django.db import models
from django.db.models import Q

from labeling.models.case import Correction
from labeling.models.instructions import InstructionVersion
from labeling.models.people import Project, User
from labeling.models.prompt_import import ExampleImport
from labeling.models.retraction import Retraction
from labeling.models.tag import Tag
from labeling.models.work import Submission
from labeling.search_text import SearchTextField
from labeling.states import ExampleKind


def _only(origin: str) -> Q:
    return Q(**{f"{name}__isnull": name != origin for name in ("submission", "correction", "example_import")})


class ExampleQuerySet(models.QuerySet["Example"]):
    def trainable(self) -> "ExampleQuerySet":
        return self.filter(retracted_at__isnull=True)

    def retracted(self) -> "ExampleQuerySet":
        """Those that somebody took back; one that a later correction replaced is not among them."""
        return self.filter(retracted_at__isnull=False, retraction__isnull=False)


class Example(models.Model):
    """An accepted training row and where it comes from. `messages` ends with the assistant's ideal response."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="examples")
    kind = models.CharField(max_length=15, choices=ExampleKind.choices)
    messages = models.JSONField()
    content_hash = models.CharField(max_length=64)
    prompt_hash = models.CharField(max_length=64, db_index=True)
    submission = models.OneToOneField(Submission, models.PROTECT, null=True, related_name="example")
    correction = models.OneToOneField(Correction, models.PROTECT, null=True, related_name="example")
    example_import = models.ForeignKey(ExampleImport, models.PROTECT, null=True, related_name="examples")
    import_place = models.CharField(max_length=200, blank=True, help_text="the line, and in an archive the file")
    rejected = models.TextField(
        null=True, help_text="the worse answer of an imported pair; a correction's is its case's"
    )
    author = models.ForeignKey(User, models.PROTECT, null=True, related_name="examples")
    accepted_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    instruction_version = models.ForeignKey(InstructionVersion, models.PROTECT, null=True, related_name="examples")
    accepted_at = models.DateTimeField(auto_now_add=True)
    retracted_at = models.DateTimeField(null=True, blank=True)
    retraction = models.ForeignKey(
        Retraction,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="examples",
        help_text="None: replaced, not retracted",
    )
    tags = models.ManyToManyField(Tag, related_name="examples", blank=True)
    search_text = SearchTextField(sources=("messages",))

    objects = ExampleQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["project", "retracted_at", "id"], name="example_trainable")]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "content_hash"], condition=Q(retracted_at__isnull=True), name="example_once"
            ),
            models.CheckConstraint(
                condition=_only("submission") | _only("correction") | _only("example_import"),
                name="example_has_one_origin",
            ),
        ]
