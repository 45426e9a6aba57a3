from common.markdown import render, sections


def test_a_text_is_split_at_its_uppermost_headings() -> None:
    text = "Before.\n\n## One *and* `two`\n\nBody.\n\n### Deeper\n\n> ## quoted\n\n## Three"
    found = sections(text)
    assert [(part.anchor, part.title) for part in found] == [
        ("", ""),
        ("section-1", "One and two"),
        ("section-2", "Three"),
    ]
    assert "<h4>Deeper</h4>" in found[1].html
    assert "quoted" in found[1].html
    assert found[2].html == ""


def test_a_text_without_headings_is_one_part() -> None:
    assert [part.title for part in sections("Only this.")] == [""]
    assert sections("") == []


def test_html_stays_text_in_a_section_too() -> None:
    assert "<script" not in sections("# A\n\n<script>x</script> [a](javascript:x)")[0].html
    assert render("# A") == "<h2>A</h2>\n"
