"""Looking through the rows of a version: searched and filtered by the database, a page of them from a position on."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from labeling.models import User
from labeling.search_text import wanted_words
from training.models import DatasetRow, DatasetVersion
from training.queries.lineage import RETRACTED

PAGE_SIZE = 25
COUNT_LIMIT = 1000
NOBODY = "none"


@dataclass(frozen=True)
class Criteria:
    """What somebody looks for among the rows of a version; what is empty narrows nothing.

    `person` is the key of an author, or NOBODY for rows without one.
    """

    words: str = ""
    split: str = ""
    kind: str = ""
    person: str = ""
    language: str = ""
    is_retracted: bool = False


def narrow(rows: "QuerySet[DatasetRow]", criteria: Criteria) -> "QuerySet[DatasetRow]":
    """Keep the rows that fit all criteria."""
    if criteria.words:
        rows = rows.filter(_says(criteria.words))
    if criteria.split:
        rows = rows.filter(split=criteria.split)
    if criteria.kind:
        rows = rows.filter(kind=criteria.kind)
    if criteria.person == NOBODY:
        rows = rows.filter(example__author__isnull=True)
    elif criteria.person:
        rows = rows.filter(example__author=int(criteria.person))
    if criteria.language:
        rows = rows.filter(facts__language=criteria.language)
    if criteria.is_retracted:
        rows = rows.filter(RETRACTED)
    return rows


def _says(text: str) -> Q:
    """Whether the row has all words of the text: an example's by the index of searching, a file's as it stands.

    SQLite keeps JSON with escapes, so letters beyond ASCII are also looked for in that form.
    """
    of_examples, of_files = Q(example__isnull=False), Q(example__isnull=True)
    wanted = wanted_words(text)
    if not wanted:
        return Q(pk__in=[])
    for word in wanted:
        of_examples &= Q(example__search_text__has_word=word)
    escaped = json.dumps(text)[1:-1]
    of_files &= Q(messages__icontains=text) | Q(messages__icontains=escaped) | Q(rejected__icontains=text)
    return of_examples | of_files


@dataclass(frozen=True)
class RowPage:
    """A page of rows in their order. `before` and `after` are the positions to go on from, None at the ends."""

    rows: list[DatasetRow]
    before: int | None
    after: int | None

    def __iter__(self) -> Iterator[DatasetRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def page_of(
    rows: "QuerySet[DatasetRow]", *, after: int | None = None, before: int | None = None, size: int = PAGE_SIZE
) -> RowPage:
    """Return the page behind the position `after`, or the one that ends before `before`; the first without either."""
    rows = rows.select_related("example__author", "pair", "facts").defer("example__search_text", "example__messages")
    if before is not None:
        found = list(rows.filter(position__lt=before).order_by("-position")[: size + 1])
        shown = found[:size][::-1]
        first = shown[0].position if shown and len(found) > size else None
        return RowPage(shown, first, shown[-1].position if shown else None)
    if after is not None:
        rows = rows.filter(position__gt=after)
    found = list(rows.order_by("position")[: size + 1])
    shown = found[:size]
    first = shown[0].position if shown and after is not None else None
    return RowPage(shown, first, shown[-1].position if len(found) > size else None)


def count_up_to(rows: "QuerySet[DatasetRow]", limit: int = COUNT_LIMIT) -> int:
    """Return how many rows there are, `limit` + 1 for any number above the limit."""
    return rows.order_by().values("pk")[: limit + 1].count()


def authors_of(version: DatasetVersion) -> list[User]:
    """Return who wrote rows of the version."""
    written = version.rows.order_by().filter(example__author__isnull=False).values("example__author").distinct()
    return list(User.objects.filter(pk__in=written).order_by("name", "email"))


def neighbours_of(row: DatasetRow) -> tuple[int | None, int | None]:
    """Return the positions of the rows before and after this one in the version."""
    positions = (
        DatasetRow.objects.filter(version=row.version_id).order_by("position").values_list("position", flat=True)
    )
    before = positions.filter(position__lt=row.position).order_by("-position").first()
    return before, positions.filter(position__gt=row.position).first()
