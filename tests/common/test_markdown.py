from html.parser import HTMLParser

import pytest

from common.templatetags.page import markdown


class Elements(HTMLParser):
    """Collects every element and its attributes, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, dict(attrs)))


def test_structure_is_rendered() -> None:
    html = markdown(
        "# Tone\n\n- be **kind**\n- `short`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n~~old~~ [more](https://example.org)"
    )
    for piece in ("<h2>Tone</h2>", "<strong>kind</strong>", "<code>short</code>", "<td>2</td>", "<s>old</s>"):
        assert piece in html
    assert '<a href="https://example.org" rel="noopener noreferrer nofollow">more</a>' in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "![x](javascript:alert(1))",
        "![x](https://example.org/pixel.gif)",
        "<a href='javascript:alert(1)'>x</a>",
        "<svg/onload=alert(1)>",
        "<iframe src=//example.org></iframe>",
        '[x](https://example.org "\\" onmouseover=alert(1) \\"")',
        "```\n</code></pre><script>alert(1)</script>\n```",
        '<https://example.org/?a="onclick=alert(1)>',
        "<style>body{display:none}</style>",
    ],
)
def test_nothing_that_runs_or_loads_comes_out(text: str) -> None:
    page = Elements()
    page.feed(markdown(text))
    for tag, attributes in page.found:
        assert tag not in {"script", "img", "svg", "iframe", "style", "object", "form", "input"}
        assert set(attributes) <= {"href", "title", "rel", "start"}
        assert attributes.get("href", "https:").startswith(("https:", "http:", "mailto:"))


def test_markup_of_the_chat_format_stays_text() -> None:
    assert markdown("<|im_start|>system") == "<p>&lt;|im_start|&gt;system</p>\n"


def test_empty_text_gives_nothing() -> None:
    assert markdown("") == ""
