from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from labeling.states import ROLE_RANK, Qualification, Role


class UserManager(BaseUserManager["User"]):
    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):
    """A person; signs in by mail address and has one role in each project."""

    username = None  # type: ignore[assignment]
    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    email = models.EmailField(_("email address"), unique=True)
    name = models.CharField(_("name"), max_length=120, blank=True)

    objects = UserManager()  # type: ignore[misc, assignment]

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.name or self.email

    def get_full_name(self) -> str:
        return str(self)

    def get_short_name(self) -> str:
        return str(self)


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, user: User) -> "ProjectQuerySet":
        """The projects that the person works in, or is paused in; strangers see none, superusers all."""
        if user.is_superuser:
            return self
        present = Q(memberships__is_active=True) | Q(memberships__paused_at__isnull=False)
        return self.filter(present, memberships__user_id=user.pk)


class Project(models.Model):
    """One assistant being taught: people, instructions, data and models belong to exactly one."""

    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(_("name"), max_length=120)
    description = models.TextField(_("description"), blank=True)
    lease_minutes = models.PositiveIntegerField(_("minutes a task is held"), default=60)
    is_open_writing = models.BooleanField(
        _("contractors may write prompts of their own"),
        default=True,
        help_text=_(
            "When no prompt waits for an answer, a contractor is asked to write a prompt and its ideal response."
        ),
    )
    max_held = models.PositiveSmallIntegerField(_("tasks that one person may hold at once"), default=1)
    double_share = models.PositiveSmallIntegerField(_("percent of new prompts that go to two people"), default=0)
    # qualification and gold tasks
    n_qualification = models.PositiveSmallIntegerField(_("gold tasks that a newcomer does first"), default=0)
    qualification_threshold = models.FloatField(_("mean score that is enough"), default=5.0)
    n_retries = models.PositiveSmallIntegerField(_("further attempts after a failed one"), default=1)
    n_graders = models.PositiveSmallIntegerField(_("reviewers who grade each answer"), default=1)
    gold_percent = models.PositiveSmallIntegerField(_("gold tasks among ordinary work, in percent"), default=0)
    pauses_below_threshold = models.BooleanField(_("pause who falls below the score later"), default=False)
    # people's time and pay
    currency = models.CharField(
        _("currency of the rates"),
        max_length=3,
        blank=True,
        validators=[RegexValidator(r"^[A-Z]{3}$", _("Three capital letters, as EUR, USD or CNY."))],
    )
    idle_minutes = models.PositiveSmallIntegerField(_("longest pause that counts as work, in minutes"), default=2)
    max_send_backs = models.PositiveSmallIntegerField(_("send-backs before an admin decides"), default=2)
    # comparisons and second reviews
    n_comparison_people = models.PositiveSmallIntegerField(_("people for each comparison"), default=1)
    needs_comparison_reason = models.BooleanField(_("a vote needs a reason"), default=False)
    second_review_share = models.PositiveSmallIntegerField(
        _("share of decided submissions that get a second review, in percent"), default=0
    )
    checks_off = models.JSONField(_("checks to leave out"), default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """What a person may do in a project. A paused or removed person is inactive: the work stays.

    `paused_at` tells the two apart: a paused person is told why, to a removed one the project does not exist.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.PROTECT, related_name="memberships")
    role = models.CharField(_("role"), max_length=12, choices=Role.choices)
    is_active = models.BooleanField(default=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    pause_reason = models.CharField(max_length=500, blank=True)
    qualification = models.CharField(max_length=12, choices=Qualification.choices, default=Qualification.NOT_NEEDED)
    qualification_attempt = models.PositiveSmallIntegerField(default=0, help_text="the attempt begun last, 0 for none")
    languages = models.JSONField(default=list, blank=True, help_text="codes of the languages that the person works in")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user} · {self.project} · {self.get_role_display()}"

    def has_role(self, role: Role | str) -> bool:
        """Whether the person holds this role or a higher one."""
        return ROLE_RANK[Role(self.role)] >= ROLE_RANK[Role(role)]

    @property
    def admins(self) -> list["User"]:
        """Whom to ask: the active admins of the project."""
        rows = Membership.objects.filter(project_id=self.project_id, role=Role.ADMIN, is_active=True)
        return [row.user for row in rows.select_related("user").order_by("user__name")]

    @property
    def is_paused(self) -> bool:
        return not self.is_active and self.paused_at is not None

    @property
    def is_removed(self) -> bool:
        return not self.is_active and self.paused_at is None

    @property
    def is_reviewer(self) -> bool:
        return self.has_role(Role.REVIEWER)

    @property
    def is_admin(self) -> bool:
        return self.has_role(Role.ADMIN)


class Invitation(models.Model):
    """A link that makes its bearer a member, once. Only the SHA-256 of its token is kept."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="invitations")
    role = models.CharField(_("role"), max_length=12, choices=Role.choices, default=Role.CONTRACTOR)
    email = models.EmailField(_("email address"), blank=True)
    token_hash = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.project} · {self.get_role_display()}"

    @property
    def is_usable(self) -> bool:
        return self.accepted_at is None and self.revoked_at is None and self.expires_at > timezone.now()
