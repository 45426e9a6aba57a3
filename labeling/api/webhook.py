"""Webhooks: which addresses are told what, and the log of what was sent."""

from typing import Any

from rest_framework import serializers

from labeling.actions.webhook import add_webhook, change_webhook, delete_webhook, send_again, send_test
from labeling.api.endpoint import Call, operation
from labeling.models import Webhook, WebhookDelivery
from labeling.states import DeliveryState, Role, WebhookEvent


class WebhookAsked(serializers.Serializer):
    url = serializers.URLField(max_length=500)
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=WebhookEvent.choices), allow_empty=False, max_length=20
    )


class WebhookChangeAsked(WebhookAsked):
    is_active = serializers.BooleanField()


class WebhookShape(serializers.ModelSerializer):
    events = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Webhook
        fields = ["id", "url", "events", "is_active", "failing_since", "disabled_at", "created_at"]


class WebhookMade(serializers.Serializer):
    webhook = WebhookShape()
    secret = serializers.CharField(help_text="with which messages are signed; shown once")


class DeliveryShape(serializers.ModelSerializer):
    state = serializers.ChoiceField(choices=DeliveryState.choices)

    class Meta:
        model = WebhookDelivery
        fields = [
            *("id", "event", "event_key", "state", "n_attempts", "next_attempt_at", "status_code", "answer"),
            *("created_at", "attempted_at"),
        ]


def _find(call: Call, pk: int) -> Webhook:
    webhook: Webhook = call.find(call.project.webhooks.select_related("project"), pk=pk)
    return webhook


@operation(Role.ADMIN, answer=WebhookShape, is_list=True)
def webhook_list(call: Call) -> dict[str, Any]:
    """List the addresses that are told what happens."""
    return call.page(call.project.webhooks.all())


@operation(Role.ADMIN, body=WebhookAsked, answer=WebhookMade, status=201)
def webhook_add(call: Call) -> dict[str, Any]:
    """Add an address; its secret is shown once."""
    webhook, secret = add_webhook(project=call.project, by=call.user, **call.body)
    return {"webhook": webhook, "secret": secret}


@operation(Role.ADMIN, answer=WebhookShape)
def webhook_show(call: Call, pk: int) -> Webhook:
    """Show one address."""
    return _find(call, pk)


@operation(Role.ADMIN, body=WebhookChangeAsked, answer=WebhookShape)
def webhook_change(call: Call, pk: int) -> Webhook:
    """Change an address, what it is told, and whether it is told anything."""
    webhook = _find(call, pk)
    change_webhook(webhook=webhook, by=call.user, **call.body)
    return webhook


@operation(Role.ADMIN)
def webhook_delete(call: Call, pk: int) -> None:
    """Remove an address with its log."""
    delete_webhook(webhook=_find(call, pk), by=call.user)


@operation(Role.ADMIN, answer=DeliveryShape, status=201)
def webhook_test(call: Call, pk: int) -> WebhookDelivery:
    """Send a message that only says hello."""
    return send_test(webhook=_find(call, pk))


@operation(Role.ADMIN, answer=DeliveryShape, is_list=True)
def delivery_list(call: Call, pk: int) -> dict[str, Any]:
    """List what was sent to an address, the newest first."""
    return call.page(_find(call, pk).deliveries.all())


@operation(Role.ADMIN, answer=DeliveryShape)
def delivery_again(call: Call, pk: int) -> WebhookDelivery:
    """Send a message again."""
    delivery: WebhookDelivery = call.find(WebhookDelivery.objects.filter(webhook__project=call.project), pk=pk)
    send_again(delivery=delivery)
    delivery.refresh_from_db()
    return delivery
