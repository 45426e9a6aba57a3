from decimal import Decimal
from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from common import artefacts
from labeling.models import Membership, Project
from training.states import BASE_MODEL_AT_WORK, BaseModelSource, BaseModelState


class BaseModel(models.Model):
    """An entry of the catalog, shared by all projects. `location` is a folder below var/models, an absolute folder or a Hub id."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(_("name"), max_length=120)
    source = models.CharField(max_length=10, choices=BaseModelSource.choices, default=BaseModelSource.BUNDLED)
    location = models.CharField(max_length=300)
    n_parameters = models.BigIntegerField(null=True, blank=True)
    context_tokens = models.PositiveIntegerField(default=2048)
    aliases = models.JSONField(default=list, blank=True, help_text="other names under which the API knows it")
    licence = models.CharField(max_length=60, blank=True)
    is_default = models.BooleanField(default=False)
    setup = models.JSONField(
        default=dict, blank=True, help_text='how its jobs are run, for example {"processes": 8, "fsdp": true}'
    )
    training_price = models.DecimalField(
        _("price of training, per thousand tokens"), max_digits=10, decimal_places=6, default=0
    )
    inference_price = models.DecimalField(
        _("price of answering, per thousand tokens"), max_digits=10, decimal_places=6, default=0
    )
    state = models.CharField(max_length=10, choices=BaseModelState.choices, default=BaseModelState.MISSING)
    problem = models.CharField(max_length=500, blank=True, help_text="why the last look at the weights failed")
    facts = models.JSONField(default=dict, blank=True, help_text="what python -m ml inspect found")
    size_bytes = models.BigIntegerField(default=0)
    n_bytes_done = models.BigIntegerField(default=0)
    seen_at = models.DateTimeField(null=True, blank=True, help_text="last sign of life of who fetches it")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["is_default"], condition=Q(is_default=True), name="base_model_one_default")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> Path:
        return settings.MODELS_DIR / self.location  # an absolute location replaces the first part

    @property
    def is_ready(self) -> bool:
        """Whether the weights lie where the entry says, and nothing that was found in them speaks against them."""
        return self.state != BaseModelState.FAILED and (self.folder / "config.json").is_file()

    @property
    def standing(self) -> str:
        """The state as a person sees it: weights may come and go without the catalog."""
        if self.state in (BaseModelState.MISSING, BaseModelState.PRESENT):
            return BaseModelState.PRESENT if self.is_ready else BaseModelState.MISSING
        return self.state

    @property
    def standing_name(self) -> str:
        return str(BaseModelState(self.standing).label)

    def price_of_training(self, n_tokens: int) -> Decimal:
        return self.training_price * n_tokens / 1000

    @property
    def is_at_work(self) -> bool:
        return self.state in BASE_MODEL_AT_WORK

    @property
    def percent(self) -> int:
        return min(100, 100 * self.n_bytes_done // self.size_bytes) if self.size_bytes else 0


class ProjectBaseModel(models.Model):
    """The base model that a project's jobs begin with, where it is not the catalog's default."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="default_base_model")
    base_model = models.ForeignKey(BaseModel, models.CASCADE, related_name="+")

    def __str__(self) -> str:
        return str(self.base_model)


class TunedModelQuerySet(models.QuerySet["TunedModel"]):
    def visible_to(self, membership: Membership) -> "TunedModelQuerySet":
        return self.filter(project_id=membership.project_id)

    def named(self, name: str) -> "TunedModelQuerySet":
        """The model of that name or alias."""
        return self.filter(Q(name=name) | Q(alias=name))


class LiveModelManager(models.Manager.from_queryset(TunedModelQuerySet)):  # type: ignore[misc]
    def get_queryset(self) -> TunedModelQuerySet:
        return super().get_queryset().filter(deleted_at__isnull=True)


class TunedModel(models.Model):
    """A fine-tuned model in the registry, named ft:<base>:<org>:<suffix>:<id>; `alias` is its legacy name.

    One that was made of a checkpoint has `:ckpt-step-<n>` behind that; `job.tuned_model` is the one that the job ended with.
    A deleted model has lost its weights; its row stays for the history. `objects` does not find it, `everything` does,
    and so do foreign keys.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="tuned_models")
    name = models.CharField(max_length=200, unique=True)
    alias = models.CharField(max_length=200, unique=True, null=True)
    base_model = models.ForeignKey(BaseModel, models.PROTECT, related_name="tuned_models")
    job = models.ForeignKey("training.Job", models.PROTECT, related_name="tuned_models")
    location = models.CharField(max_length=300, help_text="folder of the merged weights below var/")
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True)

    objects = LiveModelManager()
    everything = TunedModelQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> Path:
        return settings.VAR_DIR / self.location

    @property
    def is_here(self) -> bool:
        """Whether its weights are on this machine."""
        return (self.folder / "config.json").is_file()

    @property
    def is_ready(self) -> bool:
        """Whether its weights are here, or can be fetched."""
        return self.is_here or (artefacts.is_remote() and bool(self.kept_files))

    @property
    def kept_files(self) -> dict[str, str]:
        """The SHA-256 of each file that was put into the storage, by its name."""
        return self.job.result.get("kept", {}).get(self.location, {})
