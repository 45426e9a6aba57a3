"""Alerts as mails to a project's admins: at least once, also when the mail server is away for a while."""

from datetime import timedelta

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import Q
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from deployment.actions.alert import to_tell
from deployment.models import Alert
from deployment.queries.alert import say_alert, title_of
from labeling.models import Membership
from labeling.states import Role

UNDER_WAY = timedelta(minutes=2)  # so long no other worker sends the same mail


def mail_alert(*, alert_pk: int) -> bool:
    """Send what is new of an alert; false when there is nothing, or another worker is at it.

    SMTPException and OSError mean that it did not go out: the next sweep tries again.
    """
    now = timezone.now()
    free = Q(claimed_at=None) | Q(claimed_at__lt=now - UNDER_WAY)
    if not to_tell().filter(free, pk=alert_pk).update(claimed_at=now):
        return False
    alert = Alert.objects.select_related("project").get(pk=alert_pk)
    admins = Membership.objects.filter(project=alert.project_id, role=Role.ADMIN, is_active=True)
    addresses = sorted(admins.values_list("user__email", flat=True))
    link = settings.PUBLIC_URL + reverse("deployment-alert-list", args=[alert.project.slug])
    text = render_to_string("deployment/alert_mail.txt", {"alert": alert, "sentence": say_alert(alert), "link": link})
    if addresses:
        send_mail(title_of(alert), text, None, addresses)
    Alert.objects.filter(pk=alert.pk).update(told="ended" if alert.ended_at else "began", claimed_at=None)
    return True
