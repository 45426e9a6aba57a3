"""No word is lost: the server dies while somebody types, the network goes away while they hand in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.conftest import wait_for
from tests.journeys.web import Web
from tests.word_counts import WORD_COUNTS

pytestmark = pytest.mark.journey

ANSWER = "#turn-1"
MAX_REQUESTS, MAX_BYTES = 8, 120_000


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, blank: Path) -> Iterator[Web]:
    server = Web(tmp_path_factory.mktemp("web"))
    server.prepare(blank)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def page(web: Web, browser: Browser) -> Iterator[Page]:
    """A contractor's page, signed in. A page error fails the test."""
    errors: list[str] = []
    context = browser.new_context(base_url=web.url, viewport={"width": 1440, "height": 900})
    context.add_cookies([{"name": "emend_session", "value": web.session, "url": web.url}])
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def test_the_labeling_page_is_light_when_cold(web: Web, page: Page) -> None:
    sizes: list[int] = []
    page.on(
        "requestfinished",
        lambda request: sizes.append(
            sum(request.sizes()[part] for part in ("responseBodySize", "responseHeadersSize"))
        ),
    )
    page.goto("/p/kitchen/write/")
    page.wait_for_load_state("networkidle")
    expect(page.locator(ANSWER)).to_be_focused()
    assert len(sizes) <= MAX_REQUESTS  # with the redirect from the next task's address to its own
    assert sum(sizes) <= MAX_BYTES


def test_the_server_dies_while_somebody_types(web: Web, page: Page) -> None:
    page.goto("/p/kitchen/write/")
    page.fill(ANSWER, "")
    page.type(ANSWER, "Six minutes, ")
    expect(page.locator("#save-state")).to_have_text("Saved")
    page.type(ANSWER, "and then cold water")
    web.kill()
    page.type(ANSWER, " for one minute.")
    expect(page.locator("#save-state")).to_contain_text("Offline")
    address = page.url
    page.close(run_before_unload=False)
    web.start()
    saved = web.rows("Draft.objects.get().content['messages'][-1]['content']")
    assert str(saved).startswith("Six minutes, ")
    again = page.context.new_page()
    again.goto(address)
    expect(again.locator(ANSWER)).to_have_value("Six minutes, and then cold water for one minute.")
    expect(again.locator("[data-restored]")).to_be_visible()
    expect(again.locator("#save-state")).to_have_text("Saved")
    whole = web.rows("Draft.objects.get().content['messages'][-1]['content']")
    assert whole == "Six minutes, and then cold water for one minute."


def test_the_network_goes_away_while_somebody_hands_in(web: Web, page: Page) -> None:
    page.goto("/p/kitchen/write/")
    address = page.url
    page.fill(ANSWER, "Eight minutes.")
    expect(page.locator("#save-state")).to_have_text("Saved")
    page.context.set_offline(True)
    page.press(ANSWER, "Control+Enter")
    expect(page.locator("[role=alert][data-waiting]")).to_be_visible()
    expect(page.locator(ANSWER)).to_have_value("Eight minutes.")
    page.context.set_offline(False)
    expect(page.locator("#toasts")).to_contain_text("Handed in")
    expect(page.locator(ANSWER)).to_have_value("")
    assert page.url != address
    rows = "list(Submission.objects.values_list('messages', flat=True))"
    assert [turns[-1]["content"] for turns in web.rows(rows)] == ["Eight minutes."]  # type: ignore[attr-defined]
    assert page.evaluate("Object.keys(localStorage)") == []
    page.go_back()  # to the text that is handed in: the next task, with a word about it
    expect(page.locator("#toasts")).to_contain_text("You have handed that text in")
    assert web.rows("Submission.objects.count()") == 1


def sign_in(page: Page) -> None:
    page.fill("input[name=login]", "cora@example.org")
    page.fill("input[name=password]", "correct horse battery")
    page.click("main button[type=submit]")


def test_the_last_words_go_along_when_the_page_is_left(web: Web, page: Page) -> None:
    questions: list[str] = []
    page.on("dialog", lambda dialog: (questions.append(dialog.type), dialog.accept()))
    page.goto("/p/kitchen/write/")
    page.fill(ANSWER, "")
    page.type(ANSWER, "Last words")
    page.goto("/p/kitchen/")
    assert questions == []
    page.evaluate("localStorage.clear()")  # what follows comes from the server
    drafts = "[draft.content['messages'][-1]['content'] for draft in Draft.objects.all()]"
    wait_for(
        lambda: "Last words" in str(web.rows(drafts)), seconds=30, what="the words that went along are on the server"
    )
    page.goto("/p/kitchen/write/")
    expect(page.locator(ANSWER)).to_have_value("Last words")
    page.type(ANSWER, "First words. ")
    expect(page.locator("#save-state")).to_have_text("Saved")
    expect(page.locator("[data-conflict]")).to_have_count(0)


def test_a_session_that_ended_is_no_end_of_writing(web: Web, page: Page) -> None:
    page.goto("/p/kitchen/write/")
    page.fill(ANSWER, "")
    page.context.clear_cookies(name="emend_session")
    page.type(ANSWER, "After. ")
    expect(page.locator("#save-state")).to_contain_text("Signed out")
    other = page.context.new_page()
    other.goto("/accounts/login/")
    sign_in(other)
    other.wait_for_url(lambda url: "/accounts/login" not in url)
    page.type(ANSWER, "Here again.")
    expect(page.locator("#save-state")).to_have_text("Saved")
    page.context.clear_cookies(name="emend_session")
    page.type(ANSWER, " And out once more.")
    page.locator("#save-state a").click()  # no question: the text is kept here for its owner
    sign_in(page)
    expect(page.locator(ANSWER)).to_have_value("After. Here again. And out once more.")
    expect(page.locator("#save-state")).to_have_text("Saved")


def test_words_are_counted_as_by_the_check_of_the_length(web: Web, page: Page) -> None:
    page.goto("/p/kitchen/write/")
    texts = [text for text, _n in WORD_COUNTS]
    script = "async (texts) => { const { words } = await import('/static/js/counts.js'); return texts.map(words); }"
    assert page.evaluate(script, texts) == [n for _text, n in WORD_COUNTS]


def test_signing_out_sends_what_the_server_lacks_and_leaves_nothing_behind(web: Web, page: Page) -> None:
    page.context.clear_cookies(name="emend_session")
    page.goto("/p/kitchen/write/")
    sign_in(page)
    page.fill(ANSWER, "")
    page.context.set_offline(True)
    page.type(ANSWER, "Only here")
    with page.expect_event("dialog") as asked:
        page.once("dialog", lambda dialog: dialog.dismiss())
        page.locator("form[data-sign-out] button").first.dispatch_event("click")
    assert "not on the server yet" in asked.value.message
    expect(page.locator(ANSWER)).to_have_value("Only here")
    page.context.set_offline(False)
    page.locator("form[data-sign-out] button").first.dispatch_event("click")
    page.wait_for_url("**/accounts/login/**")
    assert page.evaluate("Object.keys(localStorage)") == []
    page.goto("/p/kitchen/write/")
    sign_in(page)
    expect(page.locator(ANSWER)).to_have_value("Only here")
