"""Telling other products what happens: the message is written with the event and sent afterwards, until it is taken."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from common.seal import seal, unseal
from common.states import record
from labeling.actions.errors import BadAddress
from labeling.models import Project, User, Webhook, WebhookDelivery
from labeling.outside import Unreachable, post
from labeling.states import TEST_EVENT, DeliveryState, WebhookEvent
from labeling.tasks import deliver_webhook

PREFIX = "whsec_"
PURPOSE = "webhook"
BACK_OFF = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
)
UNDER_WAY = timedelta(minutes=1)  # so long nobody else tries the same message
DISABLED_AFTER = timedelta(days=3)
N_SWEPT = 200


@transaction.atomic
def add_webhook(*, project: Project, url: str, events: Sequence[str], by: User) -> tuple[Webhook, str]:
    """Make a webhook and return it with its secret, which is shown once. Raises BadAddress."""
    secret = PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    webhook = Webhook.objects.create(
        project=project,
        url=_checked(url),
        events=[WebhookEvent(event).value for event in events],
        sealed_secret=seal(secret, purpose=PURPOSE),
        created_by=by,
    )
    record(webhook, what="webhook", after=f"{url}: {', '.join(webhook.events)}", by=by)
    return webhook, secret


def _checked(url: str) -> str:
    """Return the address. What it resolves to is checked when it is asked, each time."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise BadAddress
    return url


@transaction.atomic
def change_webhook(*, webhook: Webhook, url: str, events: Sequence[str], is_active: bool, by: User) -> None:
    """Change the address, what it is told, and whether it is told anything. Raises BadAddress."""
    before = f"{webhook.url}: {', '.join(webhook.events)}{'' if webhook.is_active else ' (paused)'}"
    if is_active and not webhook.is_active:
        webhook.failing_since = webhook.disabled_at = None
    webhook.url, webhook.events, webhook.is_active = _checked(url), [WebhookEvent(e).value for e in events], is_active
    webhook.save(update_fields=["url", "events", "is_active", "failing_since", "disabled_at"])
    after = f"{webhook.url}: {', '.join(webhook.events)}{'' if is_active else ' (paused)'}"
    if before != after:
        record(webhook, what="webhook", before=before, after=after, by=by)


@transaction.atomic
def delete_webhook(*, webhook: Webhook, by: User) -> None:
    """Remove the address with its log."""
    record(webhook, what="webhook", before=webhook.url, after="deleted", by=by)
    webhook.delete()


def announce(*, project_pk: int, event: WebhookEvent, data: dict[str, Any]) -> None:
    """Write the message for every address that wants to know. Call it in the transaction of the event."""
    for webhook in Webhook.objects.filter(project_id=project_pk, is_active=True):
        if event.value in webhook.events:
            _write(webhook, event.value, data)


def send_test(*, webhook: Webhook) -> WebhookDelivery:
    """Send a message that says nothing but hello, to a paused address too."""
    return _write(webhook, TEST_EVENT, {"hello": webhook.project.name})


def send_again(*, delivery: WebhookDelivery) -> None:
    """Try a message again from the start of its schedule."""
    with transaction.atomic():
        WebhookDelivery.objects.filter(pk=delivery.pk).update(
            state=DeliveryState.PENDING, n_attempts=0, next_attempt_at=timezone.now()
        )
        transaction.on_commit(lambda: deliver_webhook.delay(delivery.pk), robust=True)


def _write(webhook: Webhook, event: str, data: dict[str, Any]) -> WebhookDelivery:
    now = timezone.now()
    payload = {"type": event, "timestamp": now.isoformat(), "project": webhook.project.slug, "data": data}
    with transaction.atomic():
        delivery = WebhookDelivery.objects.create(
            webhook=webhook,
            event=event,
            event_key=f"msg_{secrets.token_urlsafe(18)}",
            payload=payload,
            next_attempt_at=now,
        )
        transaction.on_commit(lambda: deliver_webhook.delay(delivery.pk), robust=True)
    return delivery


def sign(*, secret: str, key: str, timestamp: int, body: bytes) -> str:
    """Return the signature of the Standard Webhooks convention."""
    signed = f"{key}.{timestamp}.".encode() + body
    digest = hmac.new(base64.b64decode(secret.removeprefix(PREFIX)), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def deliver(*, delivery: WebhookDelivery) -> None:
    """Try one message once. Of two workers at once one tries; a message whose worker died is tried again a minute later."""
    now = timezone.now()
    mine = WebhookDelivery.objects.filter(pk=delivery.pk, state=DeliveryState.PENDING, next_attempt_at__lte=now)
    wanted = Q(webhook__is_active=True) | Q(event=TEST_EVENT)
    if not mine.filter(wanted).exists() or not mine.update(next_attempt_at=now + UNDER_WAY):
        return
    webhook = delivery.webhook
    body = delivery.payload_text.encode()
    timestamp = int(now.timestamp())
    secret = unseal(webhook.sealed_secret, purpose=PURPOSE)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Emend",
        "webhook-id": delivery.event_key,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret=secret, key=delivery.event_key, timestamp=timestamp, body=body),
    }
    try:
        answer = post(webhook.url, body=body, headers=headers)
    except Unreachable as error:
        _note(delivery, status=None, text=str(error))
    else:
        _note(delivery, status=answer.status, text=answer.text)


@transaction.atomic
def _note(delivery: WebhookDelivery, *, status: int | None, text: str) -> None:
    """Write down how an attempt went and when the next one is due."""
    row = WebhookDelivery.objects.select_for_update(of=("self",)).select_related("webhook").get(pk=delivery.pk)
    now, webhook = timezone.now(), row.webhook
    row.n_attempts, row.status_code, row.answer, row.attempted_at = row.n_attempts + 1, status, text, now
    is_taken = status is not None and 200 <= status < 300
    if is_taken:
        row.state, row.next_attempt_at = DeliveryState.DELIVERED, None
        Webhook.objects.filter(pk=webhook.pk, failing_since__isnull=False).update(failing_since=None)
    elif row.n_attempts > len(BACK_OFF) or row.event == TEST_EVENT or status == 410:
        row.state, row.next_attempt_at = DeliveryState.FAILED, None
    else:
        row.next_attempt_at = now + BACK_OFF[row.n_attempts - 1]
    row.save()
    if not is_taken:
        _note_failure(webhook, is_gone=status == 410)


def _note_failure(webhook: Webhook, *, is_gone: bool) -> None:
    """Remember since when nothing arrives; after days of that, or where the other side says so, stop."""
    now = timezone.now()
    Webhook.objects.filter(pk=webhook.pk, failing_since__isnull=True).update(failing_since=now)
    dead = Q(failing_since__lte=now - DISABLED_AFTER) | Q(pk=webhook.pk if is_gone else None)
    if Webhook.objects.filter(dead, pk=webhook.pk, is_active=True).update(is_active=False, disabled_at=now):
        reason = _("The other side said that it is gone.") if is_gone else _("Nothing was delivered for three days.")
        record(webhook, what="webhook", before=webhook.url, after="paused", reason=reason)


def nudge_due() -> int:
    """Send the messages that are due and that no worker has; return how many."""
    due = WebhookDelivery.objects.filter(state=DeliveryState.PENDING, next_attempt_at__lte=timezone.now())
    keys = list(due.filter(webhook__is_active=True).order_by("next_attempt_at").values_list("pk", flat=True)[:N_SWEPT])
    for key in keys:
        deliver_webhook.delay(key)
    return len(keys)
