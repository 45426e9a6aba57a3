from django import template
from django.utils.translation import gettext as _

register = template.Library()


@register.filter
def duration(seconds: float | str | None) -> str:
    """Render a number of seconds in its two largest units; a dash for None, and for "" as templates give what is not there."""
    if seconds is None or isinstance(seconds, str):
        return "–"
    whole = round(seconds)
    values = {"h": whole // 3600, "min": whole % 3600 // 60, "s": whole % 60}
    if whole >= 3600:
        return _("%(h)d h %(min)d min") % values
    if whole >= 60:
        return _("%(min)d min %(s)d s") % values
    return _("%(s)d s") % values
