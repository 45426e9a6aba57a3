from pathlib import Path

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from labeling.models import Membership, Project, User
from training.models.dataset import DatasetVersion
from training.models.file import File
from training.models.registry import BaseModel
from training.states import JOB_ENDED, PREFERENCE_METHODS, JobMethod, JobState, JobTuning


class JobQuerySet(models.QuerySet["Job"]):
    def visible_to(self, membership: Membership) -> "JobQuerySet":
        """Admins see the jobs of their project."""
        return self.filter(project_id=membership.project_id) if membership.is_admin else self.none()

    def of_api(self, project: Project, *, is_legacy: bool) -> "JobQuerySet":
        """Jobs that were created over the API, in its present or its legacy form, and not deleted there."""
        return self.filter(project=project, training_file__isnull=False, is_legacy=is_legacy, deleted_at__isnull=True)

    def waiting(self) -> "JobQuerySet":
        """Queued jobs in the order in which they will start."""
        return self.filter(state=JobState.QUEUED).order_by("-priority", "pk")


class Job(models.Model):
    """A fine-tuning job. Its run directory is `var/runs/<key>`; `heartbeat_at` is the worker's sign of life.

    What came over the API is kept beside: the files, `metadata`, and `request`, the words of the request that are echoed.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="jobs")
    key = models.CharField(max_length=40, unique=True, help_text="ftjob-..., legacy: ft-...")
    dataset_version = models.ForeignKey(DatasetVersion, models.PROTECT, related_name="jobs")
    base_model = models.ForeignKey(BaseModel, models.PROTECT, related_name="jobs")
    parent = models.ForeignKey(
        "training.TunedModel", models.SET_NULL, null=True, related_name="continuations", help_text="trained from here"
    )
    tuned_model = models.OneToOneField(
        "training.TunedModel", models.SET_NULL, null=True, related_name="+", help_text="what it has made"
    )
    suffix = models.CharField(max_length=64, blank=True)
    method = models.CharField(max_length=10, choices=JobMethod.choices, default=JobMethod.SFT)
    tuning = models.CharField(max_length=5, choices=JobTuning.choices, default=JobTuning.AUTO)
    seed = models.PositiveIntegerField(default=0)
    hyperparameters = models.JSONField(default=dict, help_text='as asked for, "auto" or a value each')
    setup = models.JSONField(default=dict, blank=True, help_text="recipe, tuning, processes, fsdp, where asked for")
    most_price = models.DecimalField(
        max_digits=12, decimal_places=2, null=True, help_text="it is not started if it will cost more; null: any price"
    )
    state = models.CharField(max_length=20, choices=JobState.choices, default=JobState.VALIDATING_FILES)
    priority = models.SmallIntegerField(default=0)
    step = models.PositiveIntegerField(default=0)
    n_steps = models.PositiveIntegerField(default=0)
    remaining_s = models.FloatField(null=True)
    n_attempts = models.PositiveIntegerField(default=0)
    n_events_read = models.PositiveIntegerField(default=0, help_text="lines of events.jsonl that became Event rows")
    worker = models.CharField(max_length=120, blank=True, help_text="host:pid of the worker that runs it")
    heartbeat_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    error_kind = models.CharField(max_length=12, blank=True)
    error = models.TextField(blank=True)
    result = models.JSONField(default=dict, help_text="result.json of the run")
    training_file = models.ForeignKey(File, models.PROTECT, null=True, related_name="jobs")
    validation_file = models.ForeignKey(File, models.PROTECT, null=True, related_name="+")
    result_file = models.ForeignKey(File, models.PROTECT, null=True, related_name="+")
    is_legacy = models.BooleanField(default=False)
    request = models.JSONField(default=dict)
    metadata = models.JSONField(null=True)
    deleted_at = models.DateTimeField(null=True, help_text="deleted over the API; its pages stay")
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["state", "priority", "id"], name="job_queue")]

    def __str__(self) -> str:
        return self.key

    @property
    def run_dir(self) -> Path:
        return settings.RUNS_DIR / self.key

    @property
    def tensorboard_dir(self) -> Path:
        return self.run_dir / "tensorboard"

    @property
    def has_ended(self) -> bool:
        return self.state in JOB_ENDED

    @property
    def waits_for_start(self) -> bool:
        """Whether its rows were looked at and a person has to start it."""
        if self.state != JobState.VALIDATING_FILES:
            return False
        preflight = getattr(self, "preflight", None)
        return preflight is not None and preflight.waits_for_start and preflight.is_ready

    @property
    def standing_name(self) -> str:
        """Its state as a person sees it."""
        return str(_("Waits for its start")) if self.waits_for_start else str(self.get_state_display())

    @property
    def learns_preferences(self) -> bool:
        return self.method in PREFERENCE_METHODS

    @property
    def base_folder(self) -> Path:
        """The weights that it begins with: its parent's, or its base model's."""
        return (self.parent or self.base_model).folder

    @property
    def percent(self) -> int:
        return 100 if self.state == JobState.SUCCEEDED else int(100 * self.step / self.n_steps) if self.n_steps else 0


class Event(models.Model):
    """One line of a job's append-only, numbered log. `code` is a word of docs/run-directory.md, or the job's new state."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="events")
    number = models.PositiveIntegerField()
    code = models.CharField(max_length=20)
    data = models.JSONField(default=dict)
    at = models.DateTimeField()

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="event_number")]
