"""Tags and filters that pages of several apps use; built in, no load needed."""

from datetime import datetime
from functools import lru_cache

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from common.markdown import Section, sections
from common.markdown import render as render_markdown

register = template.Library()

# The tone of every state word of the product: ok, bad, busy, wait, idle. The pill shows word and mark, never colour alone.
TONES = {
    "accepted": "ok",
    "succeeded": "ok",
    "fixed": "ok",
    "promoted": "ok",
    "done": "ok",
    "corrected": "ok",
    "decided": "ok",
    "live": "ok",
    "present": "ok",
    "pulling": "busy",
    "waiting": "wait",
    "aside": "wait",
    "rejected": "bad",
    "failed": "bad",
    "not_fixed": "bad",
    "wrong": "bad",
    "running": "busy",
    "streaming": "busy",
    "in_training": "busy",
    "training": "busy",
    "evaluating": "busy",
    "leased": "busy",
    "claimed": "busy",
    "validating_files": "busy",
    "collecting": "busy",
    "open": "wait",
    "submitted": "wait",
    "queued": "wait",
    "uploaded": "wait",
    "ready": "wait",
    "checking": "busy",
    "importing": "busy",
    "making": "busy",
    "undoing": "busy",
    "returned": "wait",
    "paused": "wait",
    "set_aside": "wait",
    "awaiting_approval": "wait",
}


@register.simple_tag
def state_pill(state: str, label: str = "") -> SafeString:
    """Render a state as a pill: `{% state_pill case.state case.get_state_display %}`."""
    return format_html('<span class="pill pill--{}">{}</span>', TONES.get(str(state), "idle"), label or state)


@register.simple_tag
def when(at: datetime | None) -> SafeString:
    """Render a time as words ("3 hours ago") with the exact moment as its title; a dash for None."""
    if at is None:
        return mark_safe("–")
    exact = date_format(timezone.localtime(at), "DATETIME_FORMAT")
    seconds = (timezone.now() - at).total_seconds()
    words = _("just now") if 0 <= seconds < 60 else _("%(time)s ago") % {"time": timesince(at, depth=1)}
    if seconds < 0:
        words = exact
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact, words)


@register.filter
def percent(share: float | None, digits: int = 0) -> str:
    """Render a share of 0 to 1 as a percentage; a dash for None."""
    return "–" if share in (None, "") else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


@register.inclusion_tag("_nav_link.html", takes_context=True)
def nav_link(context: template.Context, name: str, label: str, key: str) -> dict[str, object]:
    """Render one entry of the project's navigation; it is current on its page and on the pages below it."""
    url = reverse(name, args=[context["project"].slug])
    path = context["request"].path
    is_home = name == "labeling-project-home"
    return {"url": url, "label": label, "key": key, "is_current": path == url if is_home else path.startswith(url)}


@register.filter
@lru_cache(maxsize=64)  # the instructions stand beside every task
def markdown(text: str) -> SafeString:
    """Render Markdown that a person wrote. Raw HTML stays text; only plain elements and http, https, mailto links come out."""
    return render_markdown(text)


@register.filter
@lru_cache(maxsize=64)
def markdown_sections(text: str) -> list[Section]:
    """Split Markdown at the headings of its uppermost level; each has `anchor`, `title` and `html`."""
    return sections(text)
