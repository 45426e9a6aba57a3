"""The lives of a job, an evaluation and a model.

job         validating_files ──► queued ──► running ──► succeeded | failed | cancelled
                   │               ▲  │        │  ▲
                   └──► failed     │  │        ▼  │
                                   │  │      paused
                                   └──┼────────┘     running ──► queued after a crash
                                      └──► cancelled         (also from validating_files and paused)

evaluation  queued ──► running ──► succeeded | failed | cancelled       running ──► queued after a crash
"""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class JobState(TextChoices):
    VALIDATING_FILES = "validating_files", _("Checking files")
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Paused")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


JOB_MOVES = {
    JobState.VALIDATING_FILES: {JobState.QUEUED, JobState.FAILED, JobState.CANCELLED},
    JobState.QUEUED: {JobState.RUNNING, JobState.FAILED, JobState.CANCELLED, JobState.PAUSED},
    JobState.RUNNING: {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.PAUSED, JobState.QUEUED},
    JobState.PAUSED: {JobState.QUEUED, JobState.CANCELLED},
}
JOB_ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class EvaluationState(TextChoices):
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


EVALUATION_MOVES = {
    EvaluationState.QUEUED: {EvaluationState.RUNNING, EvaluationState.FAILED, EvaluationState.CANCELLED},
    EvaluationState.RUNNING: {
        EvaluationState.SUCCEEDED,
        EvaluationState.FAILED,
        EvaluationState.CANCELLED,
        EvaluationState.QUEUED,
    },
}
EVALUATION_ENDED = (EvaluationState.SUCCEEDED, EvaluationState.FAILED, EvaluationState.CANCELLED)


class BaseModelSource(TextChoices):
    BUNDLED = "bundled", _("Bundled")
    FOLDER = "folder", _("Folder")
    HUB = "hub", _("Hub")


class Split(TextChoices):
    TRAIN = "train", _("Training")
    VALID = "valid", _("Validation")


class Suite(TextChoices):
    REGRESSION = "regression", _("Cases")
    PROBE = "probe", _("Probes")
    HELD_OUT = "held_out", _("Held-out demonstrations")
    UNRELATED = "unrelated", _("Unrelated prompts")
