"""Inserting rows by the ten thousand. `bulk_create` makes and adapts an object for each, which costs more than the database does."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, models
from django.utils import timezone

_Rows = Iterable[tuple[Any, ...]]


class JsonText(str):
    """JSON as text, to be written to a JSONField as it is."""

    __slots__ = ()


def insert_many(
    model: type[models.Model], names: Sequence[str], rows: _Rows, *, may_conflict: bool = True, **constants: Any
) -> None:
    """Insert tuples of the columns `names`; every other field gets its value of `constants`, else its default.

    Values are texts, numbers, booleans, bytes, None, and anything that a JSONField takes, or JsonText. A row that breaks a unique
    constraint is left out, unless none can (`may_conflict`), which is sooner done. Has to run in a transaction. No signal
    is sent and `pre_save` is not called, but for `auto_now` and `auto_now_add`.
    """
    fields = {field.attname: field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)}
    rest = [name for name in fields if name not in names]
    tail = tuple(_prepared(fields[name], constants) for name in rest)
    at_json = [at for at, name in enumerate(names) if isinstance(fields[name], models.JSONField)]
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(fields[name].column)) for name in (*names, *rest))
    values = _whole(rows, tail, at_json)
    table = quote(model._meta.db_table)
    into = "incoming" if may_conflict else table
    with connection.cursor() as cursor:
        if may_conflict:
            _make_incoming(cursor, table, columns)
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {into} ({columns}) FROM STDIN") as copy:
                for row in values:
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * (len(names) + len(rest)))
            cursor.executemany(f"INSERT INTO {into} ({columns}) VALUES ({marks})", list(values))
        if may_conflict:
            _move_incoming(cursor, table, columns)


def _make_incoming(cursor: Any, table: str, columns: str) -> None:
    """Make a table of the transaction's own. COPY knows no conflicts, and SQLite's full-text table, which triggers keep,
    takes ten times as long for a statement a row as for one statement."""
    if connection.vendor == "postgresql":
        cursor.execute(f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {columns} FROM {table} WITH NO DATA")
    else:
        cursor.execute(f"CREATE TEMP TABLE incoming AS SELECT {columns} FROM {table} LIMIT 0")


def _move_incoming(cursor: Any, table: str, columns: str) -> None:
    if connection.vendor == "postgresql":
        cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM incoming ON CONFLICT DO NOTHING")
    else:
        cursor.execute(f"INSERT OR IGNORE INTO {table} ({columns}) SELECT {columns} FROM incoming ORDER BY rowid")
    cursor.execute("DROP TABLE incoming")


def _prepared(field: Any, constants: dict[str, Any]) -> Any:
    if getattr(field, "auto_now_add", False) or getattr(field, "auto_now", False):
        value = timezone.now()
    elif field.attname in constants:
        value = constants[field.attname]
    else:
        value = field.get_default()
    if isinstance(field, models.JSONField):
        return None if value is None else json.dumps(value)
    return field.get_db_prep_save(value, connection)


def _whole(rows: _Rows, tail: tuple[Any, ...], at_json: list[int]) -> Iterable[tuple[Any, ...]]:
    for row in rows:
        if at_json:
            cells = list(row)
            for at in at_json:
                if not isinstance(cells[at], JsonText):
                    cells[at] = json.dumps(cells[at])
            row = tuple(cells)
        yield row + tail
