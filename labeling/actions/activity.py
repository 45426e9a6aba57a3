"""Active time: how long somebody is at work, summed up from their signs of work."""

import time
from datetime import datetime

from django.db.models import BigIntegerField, Case, F, Value, When
from django.db.models.functions import Greatest, Least
from django.utils import timezone

from labeling.models import ActiveTime, Membership


def record_activity(*, membership: Membership) -> None:
    """Note a sign of work: the time since the last one counts, of a longer pause as much as the project allows.

    One UPDATE does the sum on the row as it is then, so that two tabs, or two requests at once, count each stretch of
    time once. The first sign of a day counts nothing.
    """
    now_ms = time.time_ns() // 1_000_000
    day = datetime.fromtimestamp(now_ms / 1000, timezone.get_default_timezone()).date()
    key = {"project_id": membership.project_id, "user_id": membership.user_id, "day": day}
    big = BigIntegerField()  # Django takes a difference for a small integer
    now, longest = Value(now_ms, big), Value(membership.project.idle_minutes * 60_000, big)
    since = Least(now - F("last_ms"), longest, output_field=big)
    changed = ActiveTime.objects.filter(**key).update(
        active_ms=Case(When(last_ms__lt=now_ms, then=F("active_ms") + since), default=F("active_ms"), output_field=big),
        last_ms=Greatest(F("last_ms"), now),
    )
    if not changed:
        ActiveTime.objects.bulk_create([ActiveTime(**key, last_ms=now_ms)], ignore_conflicts=True)
