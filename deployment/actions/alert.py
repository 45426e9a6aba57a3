"""Alerts: a share that is above its limit beyond doubt is said once, and once more when that is over."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from common.states import record
from deployment.models import Alert, AlertRule, Deployment
from deployment.queries.alert import Standing, standing
from deployment.states import ALERTS_OF_THE_MODEL, AlertEnd, AlertMeasure
from deployment.tasks import tell_of_alert
from labeling.actions.webhook import announce
from labeling.models import Project, User
from labeling.states import WebhookEvent

logger = logging.getLogger(__name__)

RULE_FIELDS = ("is_on", "threshold", "seconds", "window", "least", "mails")
TOLD_WITHIN = timedelta(days=1)  # a mail that could not be sent so long is not sent any more


def watch_deployments() -> None:
    """Look at the rules of every deployment, and send the mails that did not go out yet."""
    for deployment in Deployment.objects.select_related("project", "live_model", "base_model"):
        open_now = {alert.measure: alert for alert in Alert.objects.open().filter(project=deployment.project)}
        for rule in AlertRule.all_of(deployment.project):
            alert = open_now.get(rule.measure)
            if rule.is_on or alert is not None:
                _look(rule, deployment, alert, timezone.now())
    for pk in to_tell().values_list("pk", flat=True):
        tell_of_alert.delay(pk)


def to_tell() -> Any:
    """Return the alerts of which the newest is not mailed yet."""
    rows = Alert.objects.filter(is_silent=False, seen_at__gt=timezone.now() - TOLD_WITHIN)
    return rows.filter(ended_at=None, told="") | rows.filter(ended_at__isnull=False, told="began")


def _look(rule: AlertRule, deployment: Deployment, alert: Alert | None, now: datetime) -> None:
    if alert is None:
        found = standing(rule, deployment, now)
        if found.n >= rule.least and found.surely > rule.threshold / 100:
            _begin(rule, deployment, found, now)
    elif not rule.is_on:
        _end(alert, AlertEnd.OFF, now)
    elif rule.measure in ALERTS_OF_THE_MODEL and alert.model_name != deployment.live_name:
        _end(alert, AlertEnd.OTHER_MODEL, now)
    else:
        found = standing(rule, deployment, now)
        if not found.n:
            _end(alert, AlertEnd.QUIET, now)
        elif found.share <= rule.threshold / 100:
            _end(alert, AlertEnd.RECOVERED, now, found)
        else:
            Alert.objects.filter(pk=alert.pk).update(n=found.n, n_bad=found.n_bad, seen_at=now)


def _begin(rule: AlertRule, deployment: Deployment, found: Standing, now: datetime) -> None:
    try:
        with transaction.atomic():
            alert = Alert.objects.create(
                project=deployment.project,
                measure=rule.measure,
                threshold=rule.threshold,
                model_name=deployment.live_name,
                n=found.n,
                n_bad=found.n_bad,
                began_at=now,
                seen_at=now,
                is_silent=rule.silenced_until is not None and rule.silenced_until > now,
                told="" if rule.mails else "none",
            )
            _announce(alert, WebhookEvent.ALERT_BEGAN)
    except IntegrityError:
        return  # another process was first
    logger.warning("alert in %s: %s, %s of %s", deployment.project.slug, alert.measure, found.n_bad, found.n)


def _end(alert: Alert, end: AlertEnd, now: datetime, found: Standing | None = None) -> None:
    with transaction.atomic():
        mine = Alert.objects.open().filter(pk=alert.pk)
        if not mine.update(ended_at=now, end=end, seen_at=now):
            return
        alert.refresh_from_db()
        if found is not None:
            alert.n, alert.n_bad = found.n, found.n_bad
            alert.save(update_fields=["n", "n_bad"])
        _announce(alert, WebhookEvent.ALERT_ENDED)


def _announce(alert: Alert, event: WebhookEvent) -> None:
    if alert.is_silent:
        return
    data = {
        "alert": alert.pk,
        "measure": alert.measure,
        "model": alert.model_name,
        "threshold_percent": alert.threshold,
        "n_conversations": alert.n,
        "n_bad": alert.n_bad,
        "end": alert.end or None,
    }
    announce(project_pk=alert.project_id, event=event, data=data)


@transaction.atomic
def set_alert_rules(*, project: Project, values: Sequence[dict[str, Any]], by: User) -> None:
    """Set the rules: for each measure {measure, and of RULE_FIELDS what it is to be}."""
    Project.objects.select_for_update().get(pk=project.pk)
    rules = {rule.measure: rule for rule in AlertRule.all_of(project)}
    for row in values:
        rule = rules[row["measure"]]
        before = _word(rule)
        for name in RULE_FIELDS:
            setattr(rule, name, row.get(name, getattr(rule, name)))
        if _word(rule) != before:
            rule.save()
            record(rule, what=f"alert: {rule.measure}", before=before, after=_word(rule), by=by)


def _word(rule: AlertRule) -> str:
    if not rule.is_on:
        return "off"
    slow = f", {rule.seconds:g} s" if rule.measure == AlertMeasure.SLOW else ""
    mail = ", mails" if rule.mails else ""
    return f"above {rule.threshold:g} %{slow} of at least {rule.least} conversations in {rule.window} minutes{mail}"


@transaction.atomic
def silence(*, project: Project, measure: AlertMeasure, hours: int, by: User) -> AlertRule:
    """Tell nobody of alerts of this measure that begin in the next hours, nor of the end of the open one; 0 ends a silence."""
    Project.objects.select_for_update().get(pk=project.pk)
    rule = next(rule for rule in AlertRule.all_of(project) if rule.measure == measure)
    rule.silenced_until = timezone.now() + timedelta(hours=hours) if hours else None
    rule.save()
    if hours:
        Alert.objects.open().filter(project=project, measure=measure).update(is_silent=True)
    record(rule, what=f"alert: {rule.measure}", after=f"silent for {hours} hours" if hours else "not silent", by=by)
    return rule


def take(*, alert: Alert, by: User) -> bool:
    """Say that one looks after an alert; false when somebody else does already."""
    mine = Alert.objects.filter(pk=alert.pk, taken_by=None)
    with transaction.atomic():
        is_mine = bool(mine.update(taken_by=by, taken_at=timezone.now()))
        if is_mine:
            record(alert, what="alert taken", after=alert.measure, by=by)
    return is_mine
