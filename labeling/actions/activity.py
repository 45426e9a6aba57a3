"""Active time: how long somebody is at work, summed up from their signs of work."""

import time
from datetime import datetime

from django.db import connection
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
    longest = membership.project.idle_minutes * 60_000
    least, greatest = ("MIN", "MAX") if connection.vendor == "sqlite" else ("LEAST", "GREATEST")
    # written out, as every save and every submission runs it: to build it anew each time costs more than to run it
    sql = f"""
        UPDATE {ActiveTime._meta.db_table}
        SET active_ms = active_ms + CASE WHEN last_ms < %s THEN {least}(%s - last_ms, %s) ELSE 0 END,
            last_ms = {greatest}(last_ms, %s)
        WHERE project_id = %s AND user_id = %s AND day = %s"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [now_ms, now_ms, longest, now_ms, membership.project_id, membership.user_id, str(day)])
        changed = cursor.rowcount
    if not changed:
        ActiveTime.objects.bulk_create([ActiveTime(**key, last_ms=now_ms)], ignore_conflicts=True)
