"""Addresses of other products that are told what happens, and every attempt to tell them."""

import json

from django.db import models
from django.utils.translation import gettext_lazy as _

from labeling.models.people import Project, User
from labeling.states import DeliveryState, WebhookEvent


class Webhook(models.Model):
    """One address. Its secret is kept sealed: it is needed for signing and is shown once."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="webhooks")
    url = models.URLField(_("address"), max_length=500)
    events = models.JSONField(default=list, help_text="values of WebhookEvent")
    sealed_secret = models.TextField()
    is_active = models.BooleanField(default=True)
    failing_since = models.DateTimeField(null=True, blank=True, help_text="nothing was delivered from then on")
    disabled_at = models.DateTimeField(null=True, blank=True, help_text="switched off by itself after days of failure")
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.url

    @property
    def event_names(self) -> list[str]:
        return [str(WebhookEvent(event).label) for event in self.events]


class WebhookDelivery(models.Model):
    """One message to one address: written with the event, tried until it is taken or given up."""

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=40)
    event_key = models.CharField(max_length=40, help_text="the same for all addresses and attempts")
    payload = models.JSONField()
    state = models.CharField(max_length=10, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    n_attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    status_code = models.PositiveSmallIntegerField(null=True)
    answer = models.TextField(
        blank=True, help_text="the beginning of what the other side said, or why it was not reached"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    attempted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["state", "next_attempt_at"], name="delivery_due")]
        constraints = [models.UniqueConstraint(fields=["webhook", "event_key"], name="delivery_once")]

    @property
    def payload_text(self) -> str:
        """The body as it is sent."""
        return json.dumps(self.payload, ensure_ascii=False)
