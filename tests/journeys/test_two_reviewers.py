"""Two reviewers on one thing: the lease of the first ran out, the second decided. Nothing is overwritten, nothing is lost."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.conftest import entrance
from tests.journeys.web import Web

pytestmark = pytest.mark.journey

PASSWORD = "correct horse battery staple"
FIRST, SECOND = "The Gull sails at nine.", "The Gull sails at ten, from the east pier."

MAKE = """
from labeling.actions.case import report_output
from labeling.actions.project import create_project
from labeling.actions.submission import submit
from labeling.actions.task import add_prompts, next_task
from labeling.models import Membership, User
import uuid
project = create_project(slug="{slug}", name="Ferry office")
people = []
for name, role in (("Ann", "reviewer"), ("Ben", "reviewer"), ("Cleo", "contractor")):
    user = User.objects.create_user(f"{{name.lower()}}@{slug}.example", "{password}", name=name)
    people.append(Membership.objects.create(project=project, user=user, role=role))
prompt = [{{"role": "user", "content": "When does the Gull sail?"}}]
case = report_output(project=project, messages=prompt, wrong_output="Never.", model_name="m", reason="wrong", source="chat")
add_prompts(project=project, prompts=[prompt])
task = next_task(membership=people[2])
turns = [*prompt, {{"role": "assistant", "content": "Sometimes."}}]
submission = submit(task=task, membership=people[2], messages=turns, idempotency_key=uuid.uuid4())
print(case.pk, submission.pk)
"""
RUN_OUT = """
from datetime import timedelta
from django.utils import timezone
from labeling.models import {model}
{model}.objects.filter(pk={pk}).update(lease_expires_at=timezone.now() - timedelta(minutes=1))
"""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, blank: Path) -> Iterator[Web]:
    web = Web(var=tmp_path_factory.mktemp("web"))
    web.lay_out(blank)
    web.start()
    yield web
    web.kill()


@pytest.fixture
def enter_web(web: Web, browser: Browser) -> Iterator[Callable[[str, str], Page]]:
    yield from entrance(web.url, browser)


def shell(web: Web, code: str) -> list[str]:
    """Run Python with Django set up and return the last line that it printed, in words."""
    lines = web.manage("shell", "--verbosity", "0", "-c", code).strip().splitlines()
    return lines[-1].split() if lines else []


def begin(web: Web, enter: Callable[[str, str], Page], slug: str) -> tuple[Page, Page, int, int]:
    """Make a project with a case and a submission; return the two reviewers' pages and the keys of both."""
    case, submission = shell(web, MAKE.format(slug=slug, password=PASSWORD))
    ann, ben = (enter(f"{name}@{slug}.example", PASSWORD) for name in ("ann", "ben"))
    return ann, ben, int(case), int(submission)


def test_the_second_to_correct_a_case_sees_both_texts(web: Web, enter_web: Callable[[str, str], Page]) -> None:
    ann, ben, case, _submission = begin(web, enter_web, "harbour")
    address = f"/p/harbour/cases/{case}/"
    ann.goto(address)
    ann.keyboard.press("c")
    ann.fill("#correction textarea[name=text]", FIRST)
    expect(ann.locator("#correction-preview ins").first).to_be_visible()  # saved: a later save would prolong her lease
    shell(web, RUN_OUT.format(model="Case", pk=case))

    ben.goto(address)
    ben.keyboard.press("c")
    ben.fill("#correction textarea[name=text]", SECOND)
    ben.keyboard.press("Control+Enter")
    expect(ben.locator("#correction")).to_have_count(0)

    ann.focus("#correction textarea[name=text]")
    ann.keyboard.press("Control+Enter")
    notice = ann.locator("main .notice--warn").filter(has_text=SECOND)
    expect(notice).to_contain_text(FIRST)
    assert web.rows(f"[row.text for row in Correction.objects.filter(case={case})]") == [SECOND]
    assert web.rows(f"[row.content['text'] for row in Draft.objects.filter(case={case})]") == [FIRST]


def test_the_second_to_review_a_text_sees_both_and_keeps_the_draft(
    web: Web, enter_web: Callable[[str, str], Page]
) -> None:
    ann, ben, _case, submission = begin(web, enter_web, "island")
    address = f"/p/island/review/{submission}/"
    ann.goto("/p/island/review/")
    ann.wait_for_url(f"**{address}")
    ann.keyboard.press("e")
    ann.fill("#edit textarea", FIRST)
    expect(ann.locator("#edit ins")).to_contain_text("Gull")
    ben.goto(address)
    expect(ben.locator("main")).to_contain_text("Ann is reviewing this")
    shell(web, RUN_OUT.format(model="Submission", pk=submission))

    ben.goto("/p/island/review/")
    ben.keyboard.press("e")
    ben.fill("#edit textarea", SECOND)
    ben.keyboard.press("Control+Enter")
    expect(ben.locator("main")).to_contain_text("Nothing waits for your review")

    ann.locator("#edit textarea").press_sequentially(" Be early.")
    ann.keyboard.press("Control+Enter")
    notice = ann.locator("main .notice--warn").filter(has_text="before you")
    expect(notice).to_contain_text(f"{FIRST} Be early.")
    expect(notice).to_contain_text(SECOND)
    expect(notice.locator("ins").first).to_be_visible()
    ann.goto(address)
    expect(ann.locator("main")).to_contain_text(f"{FIRST} Be early.")
    # Ben takes it back: his words are in his form again
    ben.keyboard.press("u")
    ben.wait_for_url(f"**{address}")
    ben.keyboard.press("e")
    expect(ben.locator("#edit textarea")).to_have_value(SECOND)
