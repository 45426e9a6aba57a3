"""Every page of the product, for every role, in light and dark, wide and narrow: axe-core finds nothing to mend."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from playwright.sync_api import Browser, Page, expect

from tests.journeys.web import Stage

pytestmark = pytest.mark.journey

SLUG = "demo"
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
KNOWN_COLOURS = {**WCAG, "rules": {"color-contrast": {"enabled": False}}}
# What can differ in dark, and on a phone: the page's code is the same.
DARK = {"runOnly": {"type": "rule", "values": ["color-contrast"]}, "resultTypes": ["violations"]}
NARROW_RULES = ["target-size", "scrollable-region-focusable", "button-name", "link-name", "label"]
NARROW = {"runOnly": {"type": "rule", "values": NARROW_RULES}, "resultTypes": ["violations"]}
PREPARE = """() => {
  document.querySelectorAll("main details").forEach(each => { each.open = true });
  document.querySelectorAll("main tbody tr:nth-child(n+4), main article:nth-of-type(n+4)").forEach(each => each.remove());
}"""
ROLES = ("admin", "reviewer", "contractor", "nobody")
OURS = ("labeling-", "training-", "deployment-", "account_", "mfa_")
# What answers a GET with something that is not a page.
NO_PAGE = {
    "labeling-people-export": "CSV",
    "labeling-audit-csv": "CSV",
    "labeling-audit-jsonl": "JSONL",
    "labeling-submission-export": "JSONL",
    "labeling-search-counts": "a piece of the search",
    "training-project-summary": "a piece of the home page",
    "training-submission-uses": "a piece of My work",
    "training-dataset-download": "JSONL",
    "training-export-file": "a file",
    "training-job-stream": "events",
    "training-model-download": "a tar file",
    "training-evaluation-download": "CSV",
    "training-model-gguf": "a GGUF file",
    "training-job-tensorboard": "a tar file",
    "deployment-log-export": "JSONL",
    "deployment-completion-why": "a piece of an answer's page",
    "deployment-judge-result": "a piece of an evaluation's page",
    "deployment-health-show": "JSON",
    "deployment-metrics-show": "text for machines",
    "deployment-answer-show": "a piece of the chat",
    "deployment-project-summary": "a piece of the home page",
    "mfa_download_recovery_codes": "a text file",
    "account_inactive": "closed in the product: nobody is made inactive there",
    "account_confirm_email": "only with the key of a mail",
    "account_reset_password_from_key": "only with the key of a mail",
}
# Which row of the stage a page shows: {argument: key}. Pages of the project alone are not listed.
ROWS = {
    "labeling-invitation-accept": {"token": "token"},
    "labeling-webhook-show": {"pk": "webhook"},
    "labeling-member-show": {"pk": "member"},
    "labeling-gold-edit": {"pk": "gold_task"},
    "labeling-grade-show": {"pk": "grade"},
    "labeling-task-write": {"pk": "task"},
    "labeling-task-skip": {"pk": "task"},
    "labeling-review-submission": {"pk": "submission"},
    "labeling-bulk-show": {"pk": "bulk"},
    "labeling-prompt-import-show": {"pk": "import"},
    "labeling-comparison-vote": {"pk": "vote"},
    "labeling-comparison-show": {"pk": "comparison"},
    "labeling-second-review-judge": {"pk": "second"},
    "labeling-case-show": {"pk": "case"},
    "labeling-example-retract": {"pk": "example"},
    "training-dataset-show": {"number": "version"},
    "training-export-list": {"number": "version"},
    "training-example-import-show": {"pk": "example_import"},
    "training-job-show": {"key": "job"},
    "training-model-lineage": {"pk": "model"},
    "training-job-preflight": {"key": "job"},
    "training-base-model-show": {"pk": "base_model"},
    "training-base-model-edit": {"pk": "base_model"},
    "training-dataset-statistics": {"number": "version"},
    "training-dataset-diff": {"number": "version"},
    "training-row-show": {"number": "version", "position": "row"},
    "training-evaluation-show": {"key": "evaluation"},
    "deployment-case-draft": {"pk": "case"},
    "deployment-engine-edit": {"pk": "engine"},
    "deployment-retraction-show": {"pk": "retraction"},
    "deployment-retraction-person": {"pk": "member"},
    "deployment-conversation-show": {"pk": "conversation"},
    "deployment-completion-show": {"key": "completion"},
    "deployment-cycle-show": {"number": "cycle"},
}
WITHOUT_PROJECT = (
    *("labeling-project-list", "labeling-project-create", "labeling-invitation-accept", "account_", "mfa_"),
    *("training-base-model-list", "training-base-model-add", "training-base-model-show", "training-base-model-edit"),
)


def patterns(resolver: URLResolver) -> Iterator[URLPattern]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            yield entry
        elif entry.namespace != "admin":
            yield from patterns(entry)


def answers_get(view: Callable[..., Any] | None) -> bool:
    """Whether no decorator of the view (require_POST, require_http_methods) turns a GET away."""
    while view is not None:
        methods = (
            inspect.getclosurevars(view).nonlocals.get("request_method_list") if inspect.isfunction(view) else None
        )
        if methods is not None:
            return "GET" in methods
        view = getattr(view, "__wrapped__", None)
    return True


def page_names() -> list[str]:
    names = {str(entry.name) for entry in patterns(get_resolver()) if entry.name and answers_get(entry.callback)}
    return sorted(name for name in names if name.startswith(OURS) and name not in NO_PAGE)


def address(name: str, keys: dict[str, Any]) -> str:
    kwargs = {argument: keys[key] for argument, key in ROWS.get(name, {}).items()}
    return reverse(name, kwargs=kwargs if name.startswith(WITHOUT_PROJECT) else {"slug": SLUG, **kwargs})


def faults(page: Page, options: dict[str, Any], *, without_side: bool) -> list[str]:
    """Return what axe-core finds on the page, a line for each element."""
    run = "([where, options]) => axe.run(where, options).then(results => results.violations)"
    where = {"exclude": [[".side"]]} if without_side else {"include": [["html"]]}
    found = page.evaluate(run, [where, options])
    return [f"{each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"]]


def look_at(page: Page, *, is_first: bool = True, without_side: bool = False) -> list[str]:
    """Return the faults of the open page as it is; for the first role that sees it, in dark and on a phone too.

    Rows that only repeat what others show are left out, and so is the navigation once it has been seen.
    """
    expect(page.locator(".skeleton[hx-trigger=load]")).to_have_count(0)
    page.evaluate(AXE_SCRIPT)
    page.evaluate(PREPARE)
    found = faults(page, WCAG if is_first else KNOWN_COLOURS, without_side=without_side)
    if is_first:
        page.emulate_media(color_scheme="dark")
        found += [f"dark: {fault}" for fault in faults(page, DARK, without_side=without_side)]
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 390, "height": 844})
        found += [f"390 px: {fault}" for fault in faults(page, NARROW, without_side=without_side)]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append("390 px: the page is wider than the window")
        page.set_viewport_size({"width": 1440, "height": 900})
    return found


def test_no_page_has_a_fault_that_axe_finds(browser: Browser, stage: Stage) -> None:
    names, found = page_names(), []
    seen: set[str] = set()
    for role in ROLES:
        looked_at: set[str] = set()
        context = stage.enter(browser, role)
        page = context.new_page()
        for name in names:
            answer = page.goto(address(name, stage.keys))
            if answer is None or answer.status != 200:
                continue
            if page.url in looked_at:  # led there from another page
                seen.add(name)
                continue
            looked_at.add(page.url)
            found += [
                f"{name}, {role}: {fault}"
                for fault in look_at(page, is_first=name not in seen, without_side=len(looked_at) > 1)
            ]
            seen.add(name)
        context.close()
    assert not found, "\n".join(found)
    assert set(names) - seen == set(), "pages that nobody can open, or that need an entry in NO_PAGE or ROWS"


def test_refusals_and_the_help_have_no_fault(browser: Browser, stage: Stage) -> None:
    context = stage.enter(browser, "contractor")
    page = context.new_page()
    found = []
    for path, status in ((f"/p/{SLUG}/people/", 403), ("/p/nowhere/", 404)):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == status
        found += look_at(page)
    page.goto(f"/p/{SLUG}/")
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
    found += look_at(page)
    context.close()
    assert not found, "\n".join(found)
