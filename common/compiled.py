"""Querysets that are compiled once for a connection and then only run, with other values.

    KEYS = Compiled(lambda key_hash, now: Key.objects.select_related("project").filter(...), str, datetime)
    key = KEYS.first(hash_key(text), timezone.now())

For the few statements that each streamed answer waits for: Django takes ten times as long to build such a statement as
the database to answer it. The rows become the same objects, related ones included.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, cast

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet
from django.db.models.query import get_related_populators
from django.db.models.sql.compiler import SQLCompiler

M = TypeVar("M", bound=Model)
Value = str | int | datetime


class Compiled(Generic[M]):
    """`build` gets one value of each of `types` and puts it into comparisons as it is, each into one at least."""

    def __init__(self, build: Callable[..., "QuerySet[M]"], *types: type[Value]) -> None:
        self._build, self._types = build, types

    def first(self, *values: Value) -> M | None:
        """Return the first row as an object, None where there is none."""
        connection = cast(BaseDatabaseWrapper, connections[DEFAULT_DB_ALIAS])
        kept: dict[Compiled[Any], _Statement] = connection.__dict__.setdefault("compiled", {})
        statement = kept.get(self)
        if statement is None:
            stand_ins = [_stand_in(each, number) for number, each in enumerate(self._types)]
            statement = kept[self] = _Statement(self._build(*stand_ins), stand_ins, connection)
        return cast("M | None", statement.first(values))


class _Statement:
    def __init__(self, rows: "QuerySet[Any]", stand_ins: Sequence[Value], connection: BaseDatabaseWrapper) -> None:
        compiler: SQLCompiler = rows[:1].query.get_compiler(connection=connection)
        self._sql, params = compiler.as_sql()
        adapted = [_adapt(value, connection) for value in stand_ins]
        self._params = [(adapted.index(value), None) if value in adapted else (None, value) for value in params]
        if missing := set(range(len(adapted))) - {place for place, _ in self._params}:
            raise ValueError(f"The statement does not compare with its values {sorted(missing)}: {self._sql}")
        info = compiler.klass_info
        assert info is not None
        columns = slice(info["select_fields"][0], info["select_fields"][-1] + 1)
        self._model, self._columns = info["model"], columns
        self._names = [each[0].target.attname for each in compiler.select[columns]]
        self._related = get_related_populators(info, compiler.select, DEFAULT_DB_ALIAS)  # type: ignore[call-arg] # the stubs know a later Django
        self._converters = compiler.get_converters([each[0] for each in compiler.select])
        self._compiler, self._connection = compiler, connection

    def first(self, values: Sequence[Value]) -> Model | None:
        given = [_adapt(value, self._connection) for value in values]
        with self._connection.cursor() as cursor:
            cursor.execute(self._sql, [fixed if place is None else given[place] for place, fixed in self._params])
            row = cursor.fetchone()
        if row is None:
            return None
        (row,) = self._compiler.apply_converters([row], self._converters)
        found = self._model.from_db(DEFAULT_DB_ALIAS, self._names, row[self._columns])
        for each in self._related:
            each.populate(row, found)
        return cast(Model, found)


def _stand_in(kind: type[Value], number: int) -> Value:
    """Return a value that no statement holds by itself."""
    if kind is datetime:
        return datetime(1000, 1, 1 + number, tzinfo=UTC)
    return -987_654_321 - number if kind is int else f"stand-in {number}"


def _adapt(value: Value, connection: BaseDatabaseWrapper) -> Any:
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value
