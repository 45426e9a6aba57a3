"""Tokens as marks on a page. Written here, since white space between tags would become white space between tokens."""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

register = template.Library()

LEARNT, SPECIAL, BYTES = 1, 2, 4  # ml/tokens_shown.py
SPACES = re.compile(r"(\s)")
GLYPHS = {" ": "·", "\n": "↵", "\t": "→"}


@register.simple_tag
def token_row(tokens: Iterable[list[Any]]) -> SafeString:
    """Render [text, n, flags] one after the other: what is learnt as <mark>, control tokens as chips."""
    parts = (_run(is_learnt, list(run)) for is_learnt, run in groupby(tokens, key=lambda token: token[2] & LEARNT))
    return format_html_join("", "{}", ((part,) for part in parts))


def _run(is_learnt: int, tokens: list[list[Any]]) -> SafeString:
    inside = format_html_join("", "{}", ((_token(*token),) for token in tokens))
    return format_html('<mark class="learnt">{}</mark>', inside) if is_learnt else inside


def _token(text: str, n: int, flags: int) -> SafeString:
    if flags & SPECIAL:
        return format_html('<span class="token token--special" title="{}">{}</span>', _("control token"), text)
    if flags & BYTES:
        return format_html('<span class="token token--bytes" title="{}">{}</span>', _("part of a character"), text)
    body = format_html_join("", "{}", ((piece,) for piece in _pieces(text)))
    if n == 1:
        return format_html('<span class="token">{}</span>', body)
    title = ngettext("%(n)d token", "%(n)d tokens", n) % {"n": n}
    return format_html('<span class="token" data-n="{}" title="{}">{}</span>', n, title, body)


def _pieces(text: str) -> Iterator[SafeString | str]:
    for piece in SPACES.split(text):
        if not piece:
            continue
        if piece.isspace():
            # In a text that wraps, a space keeps its place; its sign is put there by the stylesheet.
            yield format_html('<span class="token__space" data-sign="{}">{}</span>', GLYPHS.get(piece, "␣"), piece)
            if piece == "\n":
                yield mark_safe("<wbr>")
        else:
            yield piece
