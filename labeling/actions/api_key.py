"""Keys of programs: made, found and revoked."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from common.compiled import Compiled
from common.states import record
from labeling.models import ApiKey, Project, User
from labeling.models.api_key import hash_key
from labeling.states import Scope

PREFIX = "sk-emend-"
USE_GRAIN = timedelta(minutes=1)  # a use is written down at most once a minute
_USABLE = Compiled(
    lambda key_hash, now: ApiKey.objects.usable(now).select_related("project", "user").filter(key_hash=key_hash),
    str,
    datetime,
)


@transaction.atomic
def create_key(
    *,
    project: Project,
    name: str,
    user: User | None = None,
    scopes: Sequence[Scope | str] = tuple(Scope),
    expires_at: datetime | None = None,
    requests_per_minute: int | None = None,
) -> tuple[ApiKey, str]:
    """Make a key and return its row with the key itself, which exists nowhere else from then on.

    A key of a person stops working when the person leaves the project. Raises ValueError for an unknown scope.
    """
    text = PREFIX + secrets.token_urlsafe(32)
    row = ApiKey.objects.create(
        project=project,
        user=user,
        name=name,
        key_hash=hash_key(text),
        hint=f"{text[:13]}…{text[-4:]}",
        scopes=[Scope(scope).value for scope in scopes],
        expires_at=expires_at,
        requests_per_minute=requests_per_minute,
    )
    record(row, what="API key", after=f"{name}: {', '.join(row.scopes)}", by=user)
    return row, text


def find_key(*, text: str) -> ApiKey | None:
    """Return the usable key of this text and note its use; None where there is none."""
    now = timezone.now()
    key = _USABLE.first(hash_key(text), now)
    if key is None:
        return None
    if key.last_used_at is None or key.last_used_at < now - USE_GRAIN:
        stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - USE_GRAIN)
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)
    return key


@transaction.atomic
def revoke_key(*, key: ApiKey, by: User | None = None) -> None:
    """End the key at once, for good; a second time changes nothing."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=timezone.now()):
        record(key, what="API key", before=key.name, after="revoked", by=by)
    key.refresh_from_db()
