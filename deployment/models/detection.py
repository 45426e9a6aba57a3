from django.db import models
from django.utils.translation import gettext_lazy as _

from deployment.models.traffic import Completion
from deployment.states import DETECTORS_OFF, SAMPLERS, Detector
from labeling.models import Case, Project


class DetectorSettings(models.Model):
    """Which detectors look at a project's answers, and its own rules. A project without a row has the defaults."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="detector_settings")
    off = models.JSONField(default=list)
    forbidden_words = models.TextField(_("words that no answer may have"), blank=True, help_text=_("One on each line."))
    forbidden_pattern = models.CharField(_("pattern that no answer may match"), max_length=500, blank=True)
    must_be_json = models.BooleanField(_("every answer must be JSON"), default=False)
    max_cases_per_day = models.PositiveSmallIntegerField(_("cases opened in a day, at most"), default=50)
    samples_per_day = models.PositiveSmallIntegerField(_("answers a day that are put before reviewers"), default=0)

    @classmethod
    def of(cls, project: Project) -> "DetectorSettings":
        """Return the project's settings, saved or not."""
        row = cls.objects.filter(project=project).first()
        return row or cls(project=project, off=[str(each) for each in DETECTORS_OFF])

    @property
    def on(self) -> list[str]:
        return [each for each in Detector.values if each not in self.off and each not in SAMPLERS]


class Detection(models.Model):
    """One detector's finding in one logged answer, and the case that it was reported to."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="detections")
    completion = models.ForeignKey(Completion, models.CASCADE, related_name="detections")
    case = models.ForeignKey(Case, models.CASCADE, related_name="detections")
    detector = models.CharField(max_length=12, choices=Detector.choices)
    has_opened = models.BooleanField(help_text="the case was opened by this finding")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["completion", "detector"], name="detection_once")]
        indexes = [models.Index(fields=["project", "created_at"], name="detection_day")]
