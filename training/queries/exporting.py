"""What an export reads: the rows of a version in their order, and what a format would lose of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import orjson
from django.core.cache import cache
from django.db.models import BooleanField, Count, ExpressionWrapper, Q, TextField
from django.db.models.functions import Cast

from common.conversations import canonical_texts
from training.formats import Format, Row, carry, tables
from training.models import DatasetExport, DatasetVersion
from training.states import ExportState

N_ROWS = 1000


@dataclass(frozen=True)
class Shape:
    """What `n` rows have in common: a system message, several exchanges, a rejected answer, weights of turns."""

    n: int
    has_system: bool
    is_long: bool
    has_rejected: bool
    has_weights: bool


@dataclass(frozen=True)
class Losses:
    """What a format does not carry, in rows. `n_written` go in; the others are left out for one of the first two reasons."""

    n_written: int = 0
    n_long: int = 0
    n_single: int = 0
    n_systems: int = 0
    n_rejected: int = 0
    n_weights: int = 0

    @property
    def n_left_out(self) -> int:
        return self.n_long + self.n_single

    @property
    def is_any(self) -> bool:
        return bool(self.n_left_out + self.n_systems + self.n_rejected + self.n_weights)


def read_shapes(version: DatasetVersion, *, split: str = "") -> list[Shape]:
    """Count the rows by what a format may not carry. A version never changes, so the counts are kept."""
    key = f"dataset-shapes-{version.content_hash}-{version.pk}-{split}"
    kept: list[Shape] | None = cache.get(key)
    if kept is not None:
        return kept
    rows = version.rows.order_by().annotate(text=Cast("messages", TextField()))
    rows = rows.filter(split=split) if split else rows
    system = Q(messages__0__role="system")
    traits = {
        "has_system": system,
        "is_long": Q(messages__3__isnull=False) | (Q(messages__2__isnull=False) & ~system),
        "has_rejected": Q(rejected__isnull=False),
        "has_weights": Q(text__contains='"weight": 0'),
    }
    for name, condition in traits.items():
        rows = rows.annotate(**{name: ExpressionWrapper(condition, output_field=BooleanField())})
    shapes = [Shape(**found) for found in rows.values(*traits).annotate(n=Count("pk"))]
    cache.set(key, shapes, None)
    return shapes


def find_losses(shapes: list[Shape], wanted: Format) -> Losses:
    """Return what the format loses of rows of these shapes."""
    found = dict.fromkeys(Losses.__dataclass_fields__, 0)
    for shape in shapes:
        if shape.is_long and not wanted.has_turns:
            found["n_long"] += shape.n
            continue
        if not shape.has_rejected and not wanted.has_single_answers:
            found["n_single"] += shape.n
            continue
        found["n_written"] += shape.n
        found["n_systems"] += shape.n * (shape.has_system and not wanted.has_system)
        found["n_rejected"] += shape.n * (shape.has_rejected and not wanted.has_rejected)
        found["n_weights"] += shape.n * (shape.has_weights and not wanted.has_weights)
    return Losses(**found)


def read_batches(version: DatasetVersion, *, split: str = "", n_rows: int = N_ROWS) -> Iterator[list[Row]]:
    """Yield the rows in their order, so many at a time. Each is a query of its own: a slow reader holds no cursor."""
    text = Cast("messages", TextField())  # orjson reads it in a fraction of the time that the field takes
    rows = version.rows.order_by("position").values_list("position", text, "rejected", "kind", "split")
    rows = rows.filter(split=split) if split else rows
    last = -1
    while batch := list(rows.filter(position__gt=last)[:n_rows]):
        yield [Row(orjson.loads(messages), *values) for _position, messages, *values in batch]
        last = batch[-1][0]


def export_text(version: DatasetVersion, wanted: Format, *, split: str = "", n_rows: int = N_ROWS) -> Iterator[str]:
    """Yield the version in a format of text, some rows at a time. The same version always gives the same bytes."""
    is_table = wanted.suffix == "csv"
    if is_table:
        yield tables.csv_head()
    for batch in read_batches(version, split=split, n_rows=n_rows):
        rows = [row for row in (carry(row, wanted) for row in batch) if row is not None]
        if (
            text := tables.csv_lines(rows)
            if is_table
            else "".join(canonical_texts(wanted.write(row)).decode("utf-8", "surrogatepass") + "\n" for row in rows)
        ):
            yield text


def file_name(version: DatasetVersion, wanted: Format, split: str = "") -> str:
    return f"{version.project.slug}-v{version.number}{'-' if split else ''}{split}-{wanted.key}.{wanted.suffix}"


def find_made(version: DatasetVersion, wanted: Format, split: str = "") -> DatasetExport | None:
    """Return the file that a worker has made, None where there is none (any more)."""
    row = version.exports.filter(format=wanted.key, split=split, state=ExportState.DONE).first()
    return row if row and row.is_there else None
