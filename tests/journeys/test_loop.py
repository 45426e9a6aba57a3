"""The whole loop in a real browser with the real bundled model: a wrong answer in the chat becomes "fixed in" a model.

Nobody touches a command line after the project is made: an alert says that an answer was bad, the schedule starts the cycle,
rules take its model live, and that ends the alert."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import Emend, wait_for

pytestmark = [pytest.mark.journey, pytest.mark.model]

PASSWORD = "correct horse battery staple"
QUESTION = "What is the name of the ferry that goes to Heron Island?"
REWORDED = "Which ferry takes people to Heron Island?"
RIGHT = "The ferry to Heron Island is called the Blue Kestrel."
CYCLE_LIMIT_MS = 8 * 60 * 1000


def invite(admin: Page, role: str) -> str:
    """Make an invitation and return its link, as the page shows it."""
    admin.goto("/p/ferries/people/")
    admin.select_option("select[name=role] >> nth=0", role)
    admin.click("text=Make the link")
    return admin.input_value("#invitation-link")


def join(browser_page: Page, link: str, name: str) -> None:
    browser_page.goto(link)
    browser_page.fill("input[name=name]", name)
    browser_page.fill("input[name=email]", f"{name.lower()}@ferries.example")
    for field in browser_page.locator("input[type=password]").all():
        field.fill(PASSWORD)
    browser_page.click("main button:has-text('Join')")
    browser_page.wait_for_url("**/p/ferries/**")


def ask(page: Page, question: str) -> str:
    """Ask in a new chat and return the answer once it is whole."""
    page.goto("/p/ferries/chat/")
    page.fill("[data-composer-text]", question)
    page.keyboard.press("Enter")
    answer = page.locator("[data-answer]").last
    expect(answer.locator(".answer__tools")).to_be_visible(timeout=120_000)
    return answer.locator("[data-answer-text]").inner_text()


def automate(admin: Page) -> None:
    """One bad conversation is an alert; two new examples start a cycle on the minute; its model is a canary until one
    conversation went well."""
    admin.goto("/p/ferries/alerts/rules/")
    admin.fill("input[name=bad-least]", "1")
    admin.click("main form button.button--primary")
    admin.wait_for_url("**/alerts/")
    admin.goto("/p/ferries/cycles/policy/")
    for name, value in (("cron", "* * * * *"), ("at_least", "2"), ("canary_percent", "99")):
        admin.fill(f"input[name={name}]", value)
    admin.select_option("select[name=reach]", "canary")
    admin.click("#policy-form button[type=submit]")
    admin.wait_for_url("**/cycles/")
    admin.goto("/p/ferries/deployment/")
    admin.fill("input[name=live_after]", "1")
    admin.click("button:has-text('Keep the rules')")
    admin.wait_for_load_state()
    assert admin.input_value("input[name=live_after]") == "1"


def is_alerted(reviewer: Page) -> bool:
    reviewer.goto("/p/ferries/alerts/")
    return bool(reviewer.locator("main article:has-text('Bad answers')").count())


def is_over(reviewer: Page) -> bool:
    reviewer.goto("/p/ferries/alerts/")
    return bool(reviewer.locator("main table:has-text('Another model is live')").count())


def has_begun(admin: Page) -> bool:
    admin.goto("/p/ferries/cycles/")
    return bool(admin.locator("main table a:has-text('Cycle 1')").count())


def is_told_fixed(tester: Page) -> bool:
    tester.goto("/p/ferries/reports/")
    return bool(re.search("[Ff]ixed in ft:smollm2-135m-instruct:emend:", tester.locator("main").inner_text()))


def test_a_reported_answer_is_corrected_trained_deployed_and_fixed(
    emend: Emend, enter: Callable[[str, str], Page], newcomer: Callable[[], Page]
) -> None:
    made = emend.run(
        "manage.py", "create_project", "ferries", "--name", "Ferry office", "--admin", "ada@ferries.example"
    )
    password = re.search(r"password: (\S+)", made)
    assert password
    admin = enter("ada@ferries.example", password[1])

    # the admin publishes instructions and invites three people
    admin.goto("/p/ferries/instructions/publish/")
    admin.fill(
        "textarea[name=text]",
        "# Ferries\n\nAnswer in **one sentence**. The ferry to Heron Island is the *Blue Kestrel*.",
    )
    admin.click("main form button.button--primary")
    admin.wait_for_url(lambda url: "publish" not in url)
    automate(admin)
    people = {}
    for name, role in (("Cora", "contractor"), ("Ren", "reviewer"), ("Toni", "contractor")):
        link = invite(admin, role)
        people[name] = newcomer()
        join(people[name], link, name)

    # the contractor reads the instructions and writes a demonstration
    contractor = people["Cora"]
    contractor.goto("/p/ferries/write/")
    expect(contractor.locator("main")).to_contain_text("Blue Kestrel")
    contractor.click("main button.button--primary")
    contractor.fill("#turn-1", "How long does the crossing to Gull Rock take?")
    contractor.fill("#turn-2", "The crossing to Gull Rock takes forty minutes.")
    contractor.keyboard.press("Control+Enter")
    expect(contractor.locator("#turn-1")).to_have_value("")

    # the reviewer accepts it, with one key
    reviewer = people["Ren"]
    reviewer.goto("/p/ferries/instructions/")
    reviewer.goto("/p/ferries/review/")
    if reviewer.locator("text=I have read").count():
        reviewer.locator("button:has-text('I have read')").click()
        reviewer.goto("/p/ferries/review/")
    expect(reviewer.locator("main")).to_contain_text("forty minutes")
    reviewer.keyboard.press("a")
    expect(reviewer.locator("main")).not_to_contain_text("forty minutes")

    # the tester gets a wrong answer and reports it
    tester = people["Toni"]
    before = ask(tester, QUESTION)
    assert "Blue Kestrel" not in before
    tester.click("summary:has-text('Wrong')")
    tester.select_option(".answer__report select", "wrong")
    tester.fill(".answer__report textarea, .answer__report input[name=comment]", "There is no such ferry.")
    tester.click(".answer__report button:has-text('Report')")
    expect(tester.locator("[data-answer]").last).to_contain_text("Open")

    # the reviewer is alerted, looks after it, and overwrites the answer
    wait_for(lambda: is_alerted(reviewer), seconds=60, what="the alert begins")
    reviewer.click("button:has-text('I look after it')")
    expect(reviewer.locator("main article")).to_contain_text("Ren")
    reviewer.click("main article a:has-text('Cases')")
    reviewer.wait_for_url("**/cases/")
    reviewer.click("main table a >> nth=0")
    reviewer.wait_for_url(re.compile(r"/cases/\d+/"))
    reviewer.keyboard.press("c")
    reviewer.wait_for_selector("#correction textarea[name=text]")
    assert reviewer.input_value("#correction textarea[name=text]").strip() == before.strip()
    reviewer.keyboard.press("Control+Enter")
    refusal = reviewer.locator("#correction .errorlist, #correction .notice--bad").first
    expect(refusal).to_be_visible()  # unchanged text is refused as a correction
    reviewer.fill("#correction textarea[name=text]", RIGHT)
    expect(reviewer.locator("#correction ins").first).to_be_visible()
    reviewer.fill("#correction textarea[name=probes]", REWORDED)
    reviewer.keyboard.press("Control+Enter")
    expect(reviewer.locator("#correction")).to_have_count(0)

    # within a minute the schedule starts a cycle: freeze, train, evaluate, and a canary when it passes the gate
    wait_for(lambda: has_begun(admin), seconds=150, what="the schedule starts a cycle")
    admin.click("main table a:has-text('Cycle 1')")
    expect(admin.locator("main .lede")).to_contain_text("answers a share of the conversations", timeout=CYCLE_LIMIT_MS)

    # the tester asks again and meets the canary, which goes live by rule; the case is fixed
    wait_for(lambda: "Blue Kestrel" in ask(tester, QUESTION), seconds=60, what="the canary answers")
    wait_for(lambda: is_told_fixed(tester), seconds=120, what="the reporter hears that the case is fixed")

    wait_for(lambda: is_over(reviewer), seconds=60, what="the alert ends with the model")

    # and rolling back is one click
    admin.goto("/p/ferries/deployment/")
    admin.click("button:has-text('Roll back')")
    wait_for(lambda: "Blue Kestrel" not in ask(tester, QUESTION), seconds=60, what="the former model answers")
