from django.db import models
from django.utils.translation import gettext_lazy as _

from labeling.models import Project, User
from training.states import JobMethod, JobTuning


class Preset(models.Model):
    """Settings of a job under a name, for the next one."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="presets")
    name = models.CharField(_("name"), max_length=60)
    method = models.CharField(max_length=10, choices=JobMethod.choices, default=JobMethod.SFT)
    tuning = models.CharField(max_length=5, choices=JobTuning.choices, default=JobTuning.AUTO)
    setup = models.JSONField(default=dict, blank=True, help_text="as a job's: recipe, processes, fsdp, where asked for")
    hyperparameters = models.JSONField(default=dict, help_text='as a job\'s: "auto" or a value each')
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="preset_name")]

    def __str__(self) -> str:
        return self.name
