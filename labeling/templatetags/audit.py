"""Lines of the audit log in the reader's language."""

from django import template

from common.models import Transition
from labeling.audit_words import reason_said, thing_changed, value_said

register = template.Library()
register.filter("thing_changed", thing_changed)
register.filter("reason_said", reason_said)


@register.filter
def before_said(row: Transition) -> str:
    return value_said(row, row.before)


@register.filter
def after_said(row: Transition) -> str:
    return value_said(row, row.after)
