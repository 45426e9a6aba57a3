"""One search over everything that people made in a project, for reviewers and admins."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from common.htmx import render_page
from labeling.forms.search import SearchForm
from labeling.models import Membership
from labeling.queries import require_member
from labeling.queries.search import COUNT_LIMIT, FETCHED, KINDS, capped_count, excerpt, key_page, narrow, rows_of
from labeling.states import Role


def key_of(request: HttpRequest, name: str) -> int:
    """Return the key that an address names, 0 where it names none."""
    value = request.GET.get(name, "")
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 19 else 0


@require_GET
@login_required
def search(request: HttpRequest, slug: str) -> HttpResponse:
    """The rows of one kind that fit. How many of the other kinds fit is asked for after the page is there."""
    membership = require_member(request, slug, Role.REVIEWER)
    kind = request.GET.get("kind", "")
    kind = kind if kind in KINDS else KINDS[0]
    form = SearchForm(request.GET, project=membership.project, kind=kind)
    criteria = form.criteria()
    context: dict[str, Any] = {"form": form, "kind": kind, "query": form.query(), "is_filtered": form.is_filtered()}
    rows = narrow(rows_of(kind, membership), kind, criteria)
    page = key_page(
        rows.select_related(*FETCHED[kind]), before=key_of(request, "before"), after=key_of(request, "after")
    )
    is_whole = not page.has_other_pages
    context |= {
        "page": page,
        "found": [{"row": row, "texts": _texts(row, kind, criteria.words)} for row in page],
        "tabs": _tabs({kind: len(page) if is_whole else capped_count(rows)}),
    }
    return render_page(request, "labeling/search.html", context, fragment="labeling/_search_results.html")


@require_GET
@login_required
def search_counts(request: HttpRequest, slug: str) -> HttpResponse:
    """The tabs of the search with the number of all four kinds."""
    membership = require_member(request, slug, Role.REVIEWER)
    kind = request.GET.get("kind", "")
    form = SearchForm(request.GET, project=membership.project, kind=kind if kind in KINDS else KINDS[0])
    counts = {each: capped_count(_narrowed(each, membership, request)) for each in KINDS}
    context = {"tabs": _tabs(counts), "kind": kind, "query": form.query()}
    return render_page(request, "labeling/_search_tabs.html", context)


def _narrowed(kind: str, membership: Membership, request: HttpRequest) -> Any:
    """Each kind by the filters that it has; a state is one kind's own."""
    criteria = SearchForm(request.GET, project=membership.project, kind=kind).criteria()
    return narrow(rows_of(kind, membership), kind, criteria)


def _tabs(counts: dict[str, int]) -> list[dict[str, str]]:
    labels = {"tasks": _("Tasks"), "submissions": _("Submissions"), "cases": _("Cases"), "examples": _("Examples")}
    shown = {kind: f"{COUNT_LIMIT:,}+" if n > COUNT_LIMIT else str(n) for kind, n in counts.items()}
    return [{"name": kind, "label": labels[kind], "n": shown.get(kind, "")} for kind in KINDS]


def _texts(row: Any, kind: str, words: str) -> list[Any]:
    """Return excerpts: of the prompt, and of the answer where there is one."""
    turns = [turn["content"] for turn in row.messages if turn["role"] != "system"]
    if kind == "cases":
        texts = [turns[-1] if turns else "", row.wrong_output]
    elif kind == "tasks":
        texts = ["\n".join(turns)]
    else:
        texts = ["\n".join(turns[:-1]), turns[-1] if turns else ""]
    return [excerpt(text, words) for text in texts]
