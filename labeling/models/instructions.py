from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from labeling.models.people import Project, User


class InstructionVersion(models.Model):
    """One numbered version of a project's instructions, in Markdown. Published once, never changed."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="instruction_versions")
    number = models.PositiveIntegerField()
    text = models.TextField(_("instructions"))
    change_note = models.CharField(_("what changed"), max_length=500, blank=True)
    min_words = models.PositiveIntegerField(_("fewest words of a response"), null=True, blank=True)
    max_words = models.PositiveIntegerField(_("most words of a response"), null=True, blank=True)
    language = models.CharField(
        _("language of a response"), max_length=10, blank=True, help_text=_("an ISO code: en, zh")
    )
    published_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    published_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="instruction_version_number")]

    def __str__(self) -> str:
        return f"v{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk:
            raise ValueError("A published version of the instructions is never changed.")
        super().save(*args, **kwargs)


class Illustration(models.Model):
    """A prompt with a good and a bad answer, side by side, in one version of the instructions. Never changed either."""

    version = models.ForeignKey(InstructionVersion, models.CASCADE, related_name="illustrations")
    position = models.PositiveSmallIntegerField()
    prompt = models.TextField()
    good = models.TextField(blank=True)
    bad = models.TextField(blank=True)
    why = models.TextField(blank=True)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["version", "position"], name="illustration_position")]

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk:
            raise ValueError("A published version of the instructions is never changed.")
        super().save(*args, **kwargs)


class Acknowledgement(models.Model):
    """A person has read a version."""

    version = models.ForeignKey(InstructionVersion, models.CASCADE, related_name="acknowledgements")
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "user"], name="acknowledgement_once")]
