"""A text in Simplified Chinese, from the input method to the accepted example, on pages without an English sentence."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.web import Stage

pytestmark = pytest.mark.journey

PASSWORD = "correct horse battery staple"
QUESTION, ANSWER = "渡轮几点开？", "早上九点从东码头出发，晚上六点回来。"
MAKE = """
from labeling.actions.instructions import acknowledge, publish_instructions
from labeling.actions.project import create_project
from labeling.actions.task import add_prompts
from labeling.models import Membership, User
project = create_project(slug="matou", name="码头")
for name, email, role in (("王莉", "wang", "contractor"), ("陈默", "chen", "reviewer")):
    user = User.objects.create_user(f"{email}@matou.example", "PASSWORD", name=name)
    Membership.objects.create(project=project, user=user, role=role)
version = publish_instructions(
    project=project, text="# 回答\\n\\n一句话就够。", by=None, change_note="", based_on=0
)
acknowledge(version=version, user=User.objects.get(name="陈默"))
add_prompts(project=project, prompts=[[{"role": "user", "content": "QUESTION"}]])
print("made")
""".replace("PASSWORD", PASSWORD).replace("QUESTION", QUESTION)
ALLOWED = {"Emend", "API", "JSON", "JSONL", "CSV", "Markdown", "Ctrl", "Esc", "English"}
# What the product says: all visible text but keys, and what people wrote.
SAID = """() => {
  const written = "[dir=auto], .prose, .message__text, .queue__words, textarea, kbd, code, script, style, template, body [lang]";
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), said = [document.title];
  while (walk.nextNode()) {
    const box = walk.currentNode.parentElement;
    if (!box.closest(written) && box.checkVisibility()) said.push(walk.currentNode.textContent.trim());
  }
  return said.filter(text => text);
}"""


def speaks_chinese(page: Page) -> None:
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    said = page.evaluate(SAID)
    assert [text for text in said if set(re.findall("[A-Za-z]{2,}", text)) - ALLOWED] == []


@pytest.fixture
def made(stage: Stage) -> None:
    stage.run(MAKE)


@pytest.fixture
def pages(stage: Stage, browser: Browser, made: None) -> Iterator[list[Page]]:
    """The contractor's and the reviewer's page, signed in, switched to Chinese by the button of the page."""
    contexts = [stage.enter(browser, "nobody") for _person in range(2)]
    opened = []
    for context, name in zip(contexts, ("wang", "chen"), strict=True):
        page = context.new_page()
        page.goto("/accounts/login/?next=/p/matou/")
        page.fill("input[name=login]", f"{name}@matou.example")
        page.fill("input[name=password]", PASSWORD)
        page.click("main button[type=submit]")
        page.click("button[value=zh-hans]")
        expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
        opened.append(page)
    yield opened
    for context in contexts:
        context.close()


def compose(page: Page, text: str) -> None:
    """Type through an input method: pinyin that is being composed, Enter that belongs to it, then the chosen words."""
    method = page.context.new_cdp_session(page)
    method.send("Input.imeSetComposition", {"text": "zao shang", "selectionStart": 9, "selectionEnd": 9})
    for keys in ("Control+Enter", "Control+s", "?"):
        before = page.url
        press = {"type": "rawKeyDown", "windowsVirtualKeyCode": 229, "key": keys.split("+")[-1], "code": "Enter"}
        method.send("Input.dispatchKeyEvent", press | {"modifiers": 2 if "+" in keys else 0})
        assert page.url == before
    expect(page.locator("#keys")).to_be_hidden()
    expect(page.locator("#turn-1")).to_have_value("zao shang")
    method.send("Input.insertText", {"text": text})
    expect(page.locator("#turn-1")).to_have_value(text)


def test_a_text_is_written_and_accepted_in_chinese(pages: list[Page]) -> None:
    contractor, reviewer = pages
    speaks_chinese(contractor)
    contractor.goto("/p/matou/write/")
    speaks_chinese(contractor)  # the instructions, to be read first
    contractor.keyboard.press("Control+Enter")
    contractor.wait_for_url("**/write/*/")
    sent: list[str] = []
    contractor.on("request", lambda request: sent.append(request.url) if request.url.endswith("/submit/") else None)
    expect(contractor.locator("#turn-1")).to_be_focused()
    compose(contractor, ANSWER)
    assert sent == []
    speaks_chinese(contractor)
    contractor.keyboard.press("Control+Enter")
    expect(contractor.locator("#turn-1")).to_have_value("")
    assert len(sent) == 1
    speaks_chinese(contractor)  # the next task
    contractor.goto("/p/matou/work/")
    expect(contractor.locator("main")).to_contain_text(ANSWER)
    speaks_chinese(contractor)

    speaks_chinese(reviewer)
    reviewer.goto("/p/matou/review/")
    reviewer.wait_for_url("**/review/*/")
    expect(reviewer.locator("main")).to_contain_text(ANSWER)
    speaks_chinese(reviewer)
    reviewer.keyboard.press("a")
    expect(reviewer.locator("main")).not_to_contain_text(ANSWER)
    speaks_chinese(reviewer)
    contractor.goto("/p/matou/work/?state=accepted")
    expect(contractor.locator("main")).to_contain_text(ANSWER)
    speaks_chinese(contractor)
