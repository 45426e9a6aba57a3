"""Searching and filtering a project's tasks, submissions, cases and examples: what fits, a page of it, how many.

Counts end at a limit and pages go on from a key, so that neither grows with the project.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Generic, TypeVar

from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.utils.functional import cached_property

from labeling.models import Case, Correction, Example, Membership, Submission
from labeling.queries import Rows, with_words
from labeling.queries.people import day_begins
from labeling.search_text import wanted_words
from labeling.states import ExampleKind

Row = TypeVar("Row", bound=Model)
KINDS = ("tasks", "submissions", "cases", "examples")
COUNT_LIMIT = 1000
PAGE_SIZE = 50
EXCERPT = 260
# What each kind calls a thing that all are filtered by.
DATES = {"tasks": "created_at", "submissions": "submitted_at", "cases": "opened_at", "examples": "accepted_at"}
PEOPLE = {
    "tasks": ("created_by", "leased_by"),
    "submissions": ("author", "review__reviewer"),
    "cases": ("assignee", "leased_by"),
    "examples": ("author", "accepted_by"),
}
TAGS = {"tasks": "tags__name", "submissions": "task__tags__name", "examples": "tags__name"}
MODELS = {"cases": "model_name", "examples": "correction__case__model_name"}
FETCHED = {
    "tasks": ("created_by", "leased_by"),
    "submissions": ("author", "instruction_version"),
    "cases": ("assignee",),
    "examples": ("author", "instruction_version", "correction"),
}


@dataclass(frozen=True)
class Criteria:
    """What somebody looks for; what is empty narrows nothing. `until` is the last day."""

    words: str = ""
    person: int | None = None
    state: str = ""
    tag: str = ""
    since: date | None = None
    until: date | None = None
    version: int | None = None
    model: str = ""


def rows_of(kind: str, membership: Membership) -> "QuerySet[Any]":
    """Return all rows of a kind that the person may see, without those by which people are measured blind."""
    if kind == "tasks":
        return membership.project.tasks.filter(is_gold_copy=False)
    if kind == "submissions":
        return Submission.objects.visible_to(membership)
    if kind == "cases":
        return Case.objects.visible_to(membership)
    return Example.objects.filter(project_id=membership.project_id)


def narrow(rows: Rows, kind: str, criteria: Criteria) -> Rows:
    """Keep the rows of a kind that fit all criteria. A kind that has no tags, or no model, fits none."""
    if criteria.words:
        rows = with_words(rows, criteria.words)
    if criteria.person:
        person = Q()
        for field in PEOPLE[kind]:
            person |= Q(**{field: criteria.person})
        rows = rows.filter(person)
    if criteria.state:
        rows = rows.filter(_in_state(kind, criteria.state))
    if criteria.tag:
        rows = rows.filter(**{TAGS[kind]: criteria.tag}) if kind in TAGS else rows.none()
    if criteria.since:
        rows = rows.filter(**{f"{DATES[kind]}__gte": day_begins(criteria.since)})
    if criteria.until:
        rows = rows.filter(**{f"{DATES[kind]}__lt": day_begins(criteria.until + timedelta(days=1))})
    if criteria.version is not None:
        rows = rows.filter(_written_to(kind, criteria.version))
    if criteria.model:
        rows = rows.filter(**{f"{MODELS[kind]}__icontains": criteria.model}) if kind in MODELS else rows.none()
    return rows


def _in_state(kind: str, state: str) -> Q:
    if kind != "examples":
        return Q(state=state)
    trained = Q(retracted_at__isnull=True)
    return trained & Q(kind=state) if state in ExampleKind.values else ~trained


def _written_to(kind: str, number: int) -> Q:
    """A task and a case follow a version when a text of theirs does."""
    if kind == "tasks":
        texts: QuerySet[Any] = Submission.objects.filter(task=OuterRef("pk"))
    elif kind == "cases":
        texts = Correction.objects.filter(case=OuterRef("pk"))
    else:
        return Q(instruction_version__number=number)
    return Q(Exists(texts.filter(instruction_version__number=number)))


def capped_count(rows: "QuerySet[Any]") -> int:
    """Return how many rows there are, COUNT_LIMIT + 1 for any number above the limit."""
    return rows.order_by().values("pk")[: COUNT_LIMIT + 1].count()


@dataclass(frozen=True)
class KeyPage(Generic[Row]):
    """A page of rows, newest first. `older` and `newer` are the keys to go on from, None at the ends."""

    rows: list[Row]
    older: int | None
    newer: int | None

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def has_other_pages(self) -> bool:
        return self.older is not None or self.newer is not None


def key_page(rows: "QuerySet[Row]", *, before: int = 0, after: int = 0, size: int = PAGE_SIZE) -> KeyPage[Row]:
    """Return the page that ends below the key `before`, or begins above `after`; the newest without either."""
    rows = rows.defer("search_text")
    if after:
        found = list(rows.filter(pk__gt=after).order_by("pk")[: size + 1])
        shown = found[:size][::-1]
        return KeyPage(shown, shown[-1].pk if shown else None, shown[0].pk if len(found) > size else None)
    if before:
        rows = rows.filter(pk__lt=before)
    found = list(rows.order_by("-pk")[: size + 1])
    shown = found[:size]
    newer = shown[0].pk if before and shown else None
    return KeyPage(shown, shown[-1].pk if len(found) > size else None, newer)


@dataclass(frozen=True)
class Piece:
    text: str
    is_hit: bool


def excerpt(text: str, query: str) -> list[Piece]:
    """Return the part of a text around the first word of the query, cut where the words are; the beginning without one."""
    words = [re.escape(word) for word in query.split() if wanted_words(word)]
    pattern = re.compile("|".join(sorted(words, key=len, reverse=True)) or r"(?!)", re.IGNORECASE)
    first = pattern.search(text)
    start = max(0, first.start() - EXCERPT // 3) if first else 0
    part = text[start : start + EXCERPT]
    pieces = [Piece("…", is_hit=False)] if start else []
    at = 0
    for hit in pattern.finditer(part):
        pieces += [Piece(part[at : hit.start()], is_hit=False), Piece(hit[0], is_hit=True)]
        at = hit.end()
    pieces.append(Piece(part[at:] + ("…" if start + EXCERPT < len(text) else ""), is_hit=False))
    return [piece for piece in pieces if piece.text]
