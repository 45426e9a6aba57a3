"""When cycles start by themselves."""

from datetime import datetime
from typing import Any

from celery.schedules import ParseException, crontab
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from deployment.models import CyclePolicy
from deployment.states import SkipCode
from labeling.models import Project


def next_time(cron: str, *, after: datetime) -> datetime:
    """Return the first time of a schedule "minute hour day month weekday" after another. Raises ValueError."""
    try:
        schedule = crontab.from_string(cron)
        last, ahead, _now = schedule.remaining_delta(after)
    except (ParseException, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(cron) from error
    return last + ahead


def policy_of(project: Project) -> dict[str, Any] | None:
    """Return {policy, next_at, skip}: when the schedule comes next and why a cycle was skipped; None without automatic cycles."""
    policy = CyclePolicy.objects.filter(project=project).first()
    if policy is None or not (policy.cron or policy.at_count or policy.on_alert):
        return None
    next_at = next_time(policy.cron, after=timezone.now()) if policy.cron else None
    return {"policy": policy, "next_at": next_at, "skip": _skip_sentence(policy)}


def _skip_sentence(policy: CyclePolicy) -> str:
    numbers = {"n": policy.skip.get("n"), "limit": policy.skip.get("limit")}
    match policy.skip.get("code"):
        case SkipCode.TOO_FEW:
            return (
                ngettext(
                    "%(n)d example was new, %(limit)d are asked for.",
                    "%(n)d examples were new, %(limit)d are asked for.",
                    numbers["n"] or 0,
                )
                % numbers
            )
        case SkipCode.BUDGET:
            return _("%(n)d cycles started by themselves in the last thirty days; that is the limit.") % numbers
        case SkipCode.AT_WORK:
            return _("A cycle was at work already.")
    return ""
