from django import template
from django.utils.translation import ngettext

from deployment.models import Alert
from labeling.models import Membership

register = template.Library()


@register.simple_tag
def n_alerts(membership: Membership) -> int:
    """How many alerts are open: {% n_alerts membership as n %}."""
    return Alert.objects.visible_to(membership).open().count()


@register.filter
def stretch(minutes: int) -> str:
    """Render a number of minutes in the largest unit that divides it."""
    if minutes % (24 * 60) == 0:
        return ngettext("%(n)d day", "%(n)d days", minutes // (24 * 60)) % {"n": minutes // (24 * 60)}
    if minutes % 60 == 0:
        return ngettext("%(n)d hour", "%(n)d hours", minutes // 60) % {"n": minutes // 60}
    return ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}
