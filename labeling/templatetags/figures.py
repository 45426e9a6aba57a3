"""Filters for people's figures."""

from decimal import Decimal

from django import template
from django.utils.formats import number_format
from django.utils.translation import get_language_info
from django.utils.translation import gettext as _

register = template.Library()


@register.filter
def worktime(seconds: float | None) -> str:
    """Render seconds as hours and minutes; a dash for none."""
    minutes = round((seconds or 0) / 60)
    if not minutes:
        return "–" if not seconds else _("under a minute")
    if minutes < 60:
        return _("%(minutes)d min") % {"minutes": minutes}
    return _("%(hours)d h %(minutes)d min") % {"hours": minutes // 60, "minutes": minutes % 60}


@register.filter
def money(amount: Decimal | None, currency: str = "") -> str:
    """Render an amount with its currency; a dash for None."""
    if amount is None:
        return "–"
    return f"{number_format(amount, 2, use_l10n=True, force_grouping=True)}\N{NO-BREAK SPACE}{currency}".rstrip()


@register.filter
def language(code: str) -> str:
    """Render a language code as the language's name, where it is known."""
    try:
        return str(get_language_info(code.lower())["name_translated"])
    except KeyError:
        return code
