"""Markdown that a person wrote, as HTML. Raw HTML stays text; only plain elements and http, https, mailto links come out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

_MARKDOWN = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code"),
    *("em", "strong", "s", "a", "table", "thead", "tbody", "tr", "th", "td"),
}


@dataclass(frozen=True)
class Section:
    """A heading of the text's uppermost level with what follows it. The text before the first one has no title."""

    anchor: str
    title: str
    html: SafeString


def render(text: str) -> SafeString:
    """Return the whole text. Its headings begin at h2: the page has its own h1."""
    return _html(_MARKDOWN.parse(text or ""))


def sections(text: str) -> list[Section]:
    """Split the text at the headings of its uppermost level. Together the sections are the whole text."""
    tokens = _MARKDOWN.parse(text or "")
    levels = [token.tag for token in tokens if token.type == "heading_open" and token.level == 0]
    top = min(levels, default="")
    starts = [
        n for n, token in enumerate(tokens) if token.type == "heading_open" and not token.level and token.tag == top
    ]
    found = []
    if starts[:1] != [0] and tokens:
        found.append(Section("", "", _html(tokens[: starts[0]] if starts else tokens)))
    for number, (start, end) in enumerate(pairwise([*starts, len(tokens)]), 1):
        found.append(Section(f"section-{number}", _plain(tokens[start + 1]), _html(tokens[start + 3 : end])))
    return found


def _plain(heading: Token) -> str:
    """Return a heading's words without its marks."""
    return "".join(child.content for child in heading.children or [] if child.type in ("text", "code_inline")).strip()


def _html(tokens: Sequence[Token]) -> SafeString:
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
    html = nh3.clean(
        _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}),
        tags=_TAGS,
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return mark_safe(html)
