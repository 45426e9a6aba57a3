"""When cycles start by themselves."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from celery.schedules import ParseException, crontab
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from deployment.models import Cycle, CyclePolicy
from deployment.states import SkipCode
from labeling.models import Example, Project
from training.actions.composition import Composition, chosen_examples
from training.models import Job
from training.queries import unfrozen_examples

MONTH = timedelta(days=30)


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


def rules_of(policy: CyclePolicy | None) -> Composition | None:
    """Return by which rules a cycle's dataset version is composed; None: all examples. Raises BadComposition."""
    return Composition.from_json(policy.rules_of.composition) if policy and policy.rules_of else None


def new_examples(project: Project) -> "QuerySet[Example]":
    """Return what the next cycle would learn anew: the newest dataset version is without it, and the policy's rules take it.

    The rules' languages are not asked: they are told from the texts.
    """
    new = unfrozen_examples(project)
    policy = CyclePolicy.objects.select_related("rules_of").filter(project=project, rules_of__isnull=False).first()
    rules = rules_of(policy)
    return chosen_examples(project, rules).filter(pk__in=new.values("pk")) if rules else new


def spent(project: Project, *, now: datetime) -> Decimal:
    """Return what the trainings of the cycles of the last thirty days cost, those by hand too, at the catalog's prices."""
    cycles = Cycle.objects.filter(project=project, started_at__gt=now - MONTH, job__isnull=False)
    return sum((price_of(cycle.job) for cycle in cycles.select_related("job__base_model") if cycle.job), Decimal(0))


def price_of(job: Job) -> Decimal:
    """Return what a job's training cost, by the tokens that it went through; 0 for one that did not end well."""
    return job.base_model.price_of_training(job.result.get("n_tokens") or 0)


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
        case SkipCode.PRICE:
            return _("The cycles of the last thirty days cost %(n)s; %(limit)s is the limit.") % numbers
        case SkipCode.AT_WORK:
            return _("A cycle was at work already.")
    return ""
