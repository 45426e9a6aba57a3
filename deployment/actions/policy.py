"""Cycles that start by themselves: by schedule, or as soon as so many examples are new."""

import logging
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from common.states import record
from deployment.actions.cycle import start_cycle
from deployment.actions.errors import CycleAtWork
from deployment.models import Alert, Cycle, CyclePolicy
from deployment.queries.policy import MONTH, new_examples, next_time, spent
from deployment.states import Reach, SkipCode, Trigger
from labeling.models import Project, User

logger = logging.getLogger(__name__)

# A number of new examples starts no second cycle so soon after the last: one that was refused would come again at once.
PAUSE = timedelta(hours=1)
FIELDS = (
    "at_count",
    "cron",
    "on_alert",
    "at_least",
    "per_month",
    "price_per_cycle",
    "price_per_month",
    "rules_of",
    "preset",
    "measures_replay",
    "reach",
    "canary_percent",
)


@transaction.atomic
def set_policy(*, project: Project, by: User | None = None, **values: Any) -> CyclePolicy:
    """Say when cycles start by themselves and what they learn: values of `FIELDS`; `cron` must be one that `next_time` reads."""
    now = timezone.now()
    policy, _is_new = CyclePolicy.objects.select_for_update().get_or_create(
        project=project, defaults={"looked_at": now}
    )
    before = {name: getattr(policy, name) for name in FIELDS}
    for name in FIELDS:
        setattr(policy, name, values.get(name, before[name]))
    if policy.cron != before["cron"]:
        policy.looked_at = now  # what a former schedule missed is not made up for
    policy.skip, policy.skipped_at = {}, None
    policy.save()
    for name in FIELDS:
        if getattr(policy, name) != before[name]:
            record(
                policy, what=f"cycles: {name}", before=_word(before[name]), after=_word(getattr(policy, name)), by=by
            )
    return policy


def start_due_cycles() -> list[Cycle]:
    """Start what is due, and keep why something was skipped. Safe to call by several processes at once."""
    started = []
    for policy in CyclePolicy.objects.select_related("project"):
        if not policy.cron and policy.at_count is None and not policy.on_alert:
            continue
        trigger = _due(policy, timezone.now())
        if trigger is None:
            continue
        try:
            cycle = start_cycle(
                project=policy.project,
                trigger=trigger,
                reach=Reach(policy.reach),
                canary_percent=policy.canary_percent,
                most_price=_most_price(policy),
            )
        except CycleAtWork:
            _keep_skip(policy, SkipCode.AT_WORK)
        else:
            logger.info("cycle %s of %s starts: %s", cycle.number, policy.project.slug, trigger)
            started.append(cycle)
    return started


def _due(policy: CyclePolicy, now: datetime) -> Trigger | None:
    n_new = new_examples(policy.project).count()
    if policy.cron and next_time(policy.cron, after=policy.looked_at) <= now:
        mine = CyclePolicy.objects.filter(pk=policy.pk, looked_at=policy.looked_at)
        if not mine.update(looked_at=now):
            return None  # another process answers this time
        if n_new < policy.at_least:
            _keep_skip(policy, SkipCode.TOO_FEW, n=n_new, limit=policy.at_least)
            return None
        return Trigger.SCHEDULE if _is_within_budget(policy, now) else None
    if policy.on_alert and _answers_alert(policy):
        return Trigger.ALERT if _is_within_budget(policy, now) else None
    if policy.at_count is None or n_new < policy.at_count:
        return None
    if Cycle.objects.filter(project=policy.project_id, started_at__gt=now - PAUSE).exists():
        return None
    return Trigger.COUNT if _is_within_budget(policy, now) else None


def _answers_alert(policy: CyclePolicy) -> bool:
    """Whether enough was learnt since an open alert began, and no cycle has started since. One alert starts one cycle."""
    alert = Alert.objects.open().filter(project=policy.project_id).order_by("began_at").last()
    if alert is None or Cycle.objects.filter(project=policy.project_id, started_at__gt=alert.began_at).exists():
        return False
    return new_examples(policy.project).filter(accepted_at__gt=alert.began_at).count() >= policy.at_least


def _is_within_budget(policy: CyclePolicy, now: datetime) -> bool:
    if policy.per_month is not None:
        cycles = Cycle.objects.filter(project=policy.project_id, started_at__gt=now - MONTH)
        n = cycles.exclude(trigger=Trigger.HAND).count()
        if n >= policy.per_month:
            _keep_skip(policy, SkipCode.BUDGET, n=n, limit=policy.per_month)
            return False
    if policy.price_per_month is not None:
        cost = spent(policy.project, now=now)
        if cost >= policy.price_per_month:
            _keep_skip(policy, SkipCode.PRICE, n=f"{cost:.2f}", limit=f"{policy.price_per_month:.2f}")
            return False
    return True


def _most_price(policy: CyclePolicy) -> Decimal | None:
    """Return what the next cycle may cost: its own limit, or what is left of the month's."""
    limits = [policy.price_per_cycle] if policy.price_per_cycle is not None else []
    if policy.price_per_month is not None:
        left = policy.price_per_month - spent(policy.project, now=timezone.now())
        limits.append(max(left, Decimal(0)).quantize(Decimal("0.01")))
    return min(limits, default=None)


def _keep_skip(policy: CyclePolicy, code: SkipCode, *, n: int | str = 0, limit: int | str = 0) -> None:
    skip = {"code": str(code), "n": n, "limit": limit}
    if skip != policy.skip or code == SkipCode.TOO_FEW:
        CyclePolicy.objects.filter(pk=policy.pk).update(skip=skip, skipped_at=timezone.now())


def _word(value: object) -> str:
    return "none" if value in (None, "") else str(value)
