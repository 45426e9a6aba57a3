from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from labeling.models import Project


class LogSettings(models.Model):
    """How long a project's answers are kept, and with how much of what they say. Without a row: all of it, for ever."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="log_settings")
    retention_days = models.PositiveIntegerField(
        _("days until an answer is deleted"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(36_500)],
        help_text=_("Empty: never. What is part of a case stays; answers asked for with “store” go too."),
    )
    kept_percent = models.PositiveSmallIntegerField(
        _("share of the conversations over the API that keep their texts, in percent"),
        default=100,
        validators=[MaxValueValidator(100)],
        help_text=_(
            "Of the others only figures stay, an hour later. Kept in any case: chats, what was rated or reported, and answers asked for with “store”."
        ),
    )
    redacts = models.BooleanField(
        _("take personal data out"),
        default=False,
        help_text=_(
            "Mail addresses, phone, card, identity and account numbers become [mail], [phone] and so on, in questions and answers, an hour after the answer."
        ),
    )

    @classmethod
    def of(cls, project: Project) -> "LogSettings":
        """Return the project's settings, saved or not."""
        return cls.objects.filter(project=project).first() or cls(project=project)
