import hashlib
from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from labeling.models.people import Membership, Project, User
from labeling.states import Scope


def all_scopes() -> list[str]:
    return list(Scope.values)


def hash_key(text: str) -> str:
    """A key is long and random, so a plain hash keeps it."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def visible_to(self, membership: Membership) -> "ApiKeyQuerySet":
        return self.filter(project_id=membership.project_id)

    def usable(self, at: datetime | None = None) -> "ApiKeyQuerySet":
        """Neither revoked nor expired, and its person, where it has one, still works in the project."""
        works = Membership.objects.filter(
            project_id=models.OuterRef("project_id"), user_id=models.OuterRef("user_id"), is_active=True
        )
        return self.filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=at or timezone.now()),
            Q(user__isnull=True) | Q(user__is_superuser=True) | models.Exists(works),
            revoked_at__isnull=True,
        ).filter(Q(user__isnull=True) | Q(user__is_active=True))


class ApiKey(models.Model):
    """Lets a program act in one project. Only the SHA-256 is kept; the key itself is shown once."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="api_keys")
    user = models.ForeignKey(User, models.CASCADE, null=True, blank=True, related_name="api_keys")
    name = models.CharField(_("name"), max_length=80)
    key_hash = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=24, help_text="its first and last characters, to tell it from others")
    scopes = models.JSONField(default=all_scopes)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True, help_text="empty: as in the settings")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.name

    def allows(self, scope: Scope) -> bool:
        return str(scope) in self.scopes

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def scope_names(self) -> list[str]:
        return [str(Scope(scope).label) for scope in self.scopes]
