"""The whole day of a contractor and of a reviewer without a mouse. Where one stands can always be seen and is never lost."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.web import Stage

pytestmark = pytest.mark.journey

PASSWORD = "correct horse battery staple"
MAKE = """
import json, uuid
from labeling.actions.case import report_output
from labeling.actions.comparison import create_comparison
from labeling.actions.instructions import acknowledge, publish_instructions
from labeling.actions.project import create_project
from labeling.actions.submission import submit
from labeling.actions.task import add_prompts
from labeling.models import Membership, Task, User
from tests.journeys.stage import sign_in
project = create_project(slug="pier", name="Pier")
people = {}
for name, role in (("Kim", "contractor"), ("Rob", "reviewer"), ("Lea", "contractor")):
    user = User.objects.create_user(f"{name.lower()}@pier.example", "PASSWORD", name=name)
    people[name] = Membership.objects.create(project=project, user=user, role=role)
version = publish_instructions(project=project, text="# Answers\\n\\nOne sentence.", by=None, change_note="", based_on=0)
acknowledge(version=version, user=people["Rob"].user)
ask = lambda text: [{"role": "user", "content": text}]
def hand_in(name, question, answer):
    add_prompts(project=project, prompts=[ask(question)])
    task = Task.objects.filter(project=project).latest("pk")
    turns = [*ask(question), {"role": "assistant", "content": answer}]
    return submit(task=task, membership=people[name], messages=turns, idempotency_key=uuid.uuid4())
hand_in("Lea", "Where is the pier?", "It is at the end of Harbour Street, behind the fish market.")
hand_in("Kim", "Who built the pier?", "A company from the mainland built it more than a hundred years ago.")
add_prompts(project=project, prompts=[ask("How long is the pier?"), ask("May I fish there?"), ask("Is it lit at night?")])
report = {"project": project, "model_name": "m", "reason": "wrong", "source": "chat"}
report_output(messages=ask("When was the pier built?"), wrong_output="In 1950.", **report)
report_output(messages=ask("When was the old pier built?"), wrong_output="In 1951.", **report)
report_output(messages=ask("Does the pier cost anything?"), wrong_output="It is free.", **report)
answers = ("It is lit until ten.", "It is lit all night.")
create_comparison(project=project, messages=ask("Is the pier lit?"), answers=answers, source="import")
print(json.dumps(sign_in(people["Rob"].user)))
""".replace("PASSWORD", PASSWORD)
FOCUS = """() => {
  const at = document.activeElement, box = at.getBoundingClientRect();
  const drawn = [at, at.nextElementSibling].some((each) => each && parseFloat(getComputedStyle(each).outlineWidth) > 0
    && getComputedStyle(each).outlineStyle !== "none");
  return {
    lost: at === document.body || at === null,
    seen: at.matches(":focus-visible") && drawn,
    inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    what: at.outerHTML.slice(0, 120),
  };
}"""


class Keyboard:
    """A person's hands on the keys of one page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def write(self, text: str) -> None:
        self.page.keyboard.insert_text(text)

    def tab_to(self, selector: str, *, back: bool = False) -> None:
        """Press Tab until the focus is there, and see that it shows."""
        for _step in range(90):
            self.press("Shift+Tab" if back else "Tab")
            if self.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return self.sees_where()
        pytest.fail(f"Tab does not reach {selector}")

    def stands_on(self, selector: str) -> None:
        """The focus has been brought there by the page."""
        expect(self.page.locator(selector).first).to_be_focused()
        self.sees_where()

    def sees_where(self) -> None:
        focus = self.page.evaluate(FOCUS)
        assert not focus["lost"], "the focus is lost"
        assert focus["seen"], f"no ring around {focus['what']}"
        assert focus["inside"], f"out of sight: {focus['what']}"

    def says(self, words: str) -> None:
        expect(self.page.locator("body")).to_contain_text(words)


@pytest.fixture(scope="module")
def session(stage: Stage) -> str:
    return str(json.loads(stage.run(MAKE)))


@pytest.fixture
def reviewer(stage: Stage, browser: Browser, session: str) -> Iterator[Keyboard]:
    context = stage.enter(browser, "reviewer", session)
    yield Keyboard(context.new_page())
    context.close()


@pytest.fixture
def contractor(stage: Stage, browser: Browser) -> Iterator[Keyboard]:
    context = stage.enter(browser, "nobody")
    yield Keyboard(context.new_page())
    context.close()


def sign_in(keys: Keyboard) -> None:
    keys.page.goto("/accounts/login/?next=/p/pier/")
    if not keys.page.evaluate("document.activeElement.matches('input[name=login]')"):
        keys.tab_to("input[name=login]")
    keys.write("kim@pier.example")
    keys.tab_to("input[type=password]")
    keys.write(PASSWORD)
    keys.press("Enter")
    keys.page.wait_for_url(lambda url: "/accounts/" not in url)


def write_and_hand_in(keys: Keyboard) -> None:
    """Read the instructions, answer with a second exchange and a preview, give a reason where a check objects."""
    keys.press("Tab", "Enter")  # over the navigation, to the content
    keys.stands_on("#main")
    keys.press("w")
    keys.page.wait_for_url("**/instructions/?next=write")
    keys.press("Control+Enter")
    keys.page.wait_for_url("**/write/*/")
    keys.stands_on("#turn-1")
    keys.write("As an AI language model, I cannot measure the pier for you, but the harbour office can.")
    keys.press("Control+Shift+e")
    keys.stands_on("#turn-2")
    keys.write("And the office, where is it?")
    keys.tab_to("#turn-3")
    keys.write("The office is in the **white house** beside the market.")
    keys.press("Control+Shift+p")
    keys.stands_on("[data-turn]:has(#turn-3) [data-previewed]")
    expect(keys.page.locator("[data-previewed]:focus strong")).to_have_text("white house")
    keys.press("Control+Shift+p")
    keys.stands_on("#turn-3")
    keys.press("Control+Enter")
    keys.stands_on("#findings")
    keys.tab_to("textarea[name^=override]")
    keys.write("It quotes the harbour's own assistant.")
    keys.press("Control+Enter")
    keys.says("Handed in")
    keys.stands_on("#turn-1")
    expect(keys.page.locator("#turn-1")).to_have_value("")


def skip(keys: Keyboard) -> None:
    prompt = keys.page.locator(".conversation").inner_text()
    keys.tab_to("button[value=skip]")
    keys.press("Enter")
    keys.page.wait_for_url("**/skip/")
    keys.tab_to("input[name=reason]")
    keys.press("Space", "Control+Enter")
    keys.page.wait_for_url("**/write/*/")
    keys.stands_on("#turn-1")
    assert keys.page.locator(".conversation").inner_text() != prompt


def test_a_contractor_needs_no_mouse(contractor: Keyboard, session: str) -> None:
    keys = contractor
    sign_in(keys)
    write_and_hand_in(keys)
    skip(keys)
    keys.tab_to("button[value=stop]")  # out of the text: letters are keys again
    keys.press("g", "m")
    keys.page.wait_for_url("**/work/**")
    keys.says("Waiting for review")
    keys.says("harbour office")


def review(keys: Keyboard) -> None:
    """Edit and accept Lea's text, send Kim's back, take that back, remark on a passage and send it again."""
    keys.page.goto("/p/pier/")
    keys.press("g", "s")
    keys.page.wait_for_url("**/review/*/")
    keys.says("fish market")
    keys.press("e")
    keys.stands_on("#edit textarea")
    keys.press("Control+End")
    keys.write(" You cannot miss it.")
    keys.press("Control+Enter")
    keys.says("more than a hundred years")
    keys.press("s")
    keys.stands_on("#send-comment")
    keys.write("Which company?")
    keys.press("Control+Enter")
    expect(keys.page.locator(".queue__last")).to_contain_text("Kim")
    keys.press("u")
    keys.says("more than a hundred years")
    keys.press("s")
    keys.stands_on("#send-comment")
    expect(keys.page.locator("#send-comment")).to_have_value("Which company?")
    keys.press("Escape", "c")
    keys.stands_on("[data-passage-row] textarea")
    keys.write("In which year?")
    keys.press("Control+Enter")
    expect(keys.page.locator(".queue__last")).to_contain_text("Kim")


def compare(keys: Keyboard) -> None:
    """Judge two answers, with a reason."""
    keys.press("g", "b")
    keys.page.wait_for_url("**/compare/*/")
    keys.press("1")
    expect(keys.page.locator("input[name=choice]:checked")).to_have_count(1)
    keys.tab_to("#reason")
    keys.write("The harbour office says so.")
    keys.press("Control+Enter")
    keys.says("Nothing to compare")


def merge(keys: Keyboard) -> None:
    """Merge the case that is nearly the same, take that back, and merge it for good."""
    keys.press("g", "a")
    keys.page.wait_for_url("**/cases/")
    keys.tab_to("main table a[href*='/cases/']")
    keys.press("Enter")
    keys.page.wait_for_url("**/cases/*/")
    keys.press("d")
    keys.says("is merged into")
    keys.tab_to("section[aria-labelledby=near-title] a")
    keys.press("Enter")
    keys.says("Undo the merge")
    keys.press("u")
    keys.says("is a case of its own again")
    keys.press("d")
    keys.says("is merged into")


def correct(keys: Keyboard) -> None:
    """Overwrite an answer with a check and a probe."""
    keys.press("g", "a")
    keys.page.wait_for_url("**/cases/")
    keys.tab_to("main table a[href*='/cases/']")
    keys.press("Enter")
    keys.page.wait_for_url("**/cases/*/")
    keys.press("c")
    keys.stands_on("#correction textarea[name=text]")
    keys.press("Control+a")
    keys.write("The pier was built in 1898.")
    expect(keys.page.locator("#correction-preview ins").first).to_be_visible()
    keys.stands_on("#correction textarea[name=text]")
    keys.tab_to("input[name=check_value]")
    keys.write("1898")
    keys.press("Control+e")
    keys.says("Wrong output")
    keys.stands_on("input[name=check_value]")
    keys.tab_to("textarea[name=probes]")
    keys.write("In which year was the pier made?")
    keys.press("Control+Enter")
    keys.says("It is free.")


def dismiss(keys: Keyboard) -> None:
    """Close a case as no fault, and take that back."""
    keys.stands_on("#correction textarea[name=text]")
    keys.tab_to("button[data-add-row]")  # out of the text: letters are keys again
    keys.press("f")
    keys.stands_on("details[open] [name=reason]")
    keys.write("It is free indeed.")
    keys.press("Control+Enter")
    keys.says("is dismissed")
    keys.press("u")
    keys.says("waits for a correction again")


def test_a_reviewer_needs_no_mouse(reviewer: Keyboard) -> None:
    review(reviewer)
    compare(reviewer)
    merge(reviewer)
    correct(reviewer)
    dismiss(reviewer)


def test_the_author_answers_a_comment_without_a_mouse(contractor: Keyboard, reviewer: Keyboard) -> None:
    keys = contractor
    sign_in(keys)
    keys.press("g", "m")
    keys.page.wait_for_url("**/work/**")
    keys.tab_to("nav.tabs a[href='?state=returned']")
    keys.press("Enter")
    keys.page.wait_for_url("**state=returned")
    keys.says("Which company?")
    keys.says("In which year?")
    keys.tab_to(".thread summary")
    keys.press("Enter")
    keys.tab_to(".thread textarea")
    keys.write("The Island Company.")
    keys.tab_to(".thread button[type=submit]")
    keys.press("Enter")
    expect(keys.page.locator(".thread__line--mine")).to_contain_text("The Island Company.")
    keys.stands_on(".thread")
