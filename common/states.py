"""State machines: the table of legal moves is checked, the row is set by compare-and-set, a history row is written."""

from collections.abc import Mapping, Set
from typing import Any

from django.db import connection, models, transaction
from django.db.models import Q
from django.utils import timezone

from common.models import Transition

Moves = Mapping[Any, Set[Any]]  # a Mapping is invariant in its keys: members of a TextChoices are no str there


class StateError(Exception):
    """A change of state that did not happen. Fields: `subject`, `before`, `after`.

    StateError
    ├── IllegalMove   the table of moves has no such move
    └── StaleState    somebody else moved the row first
    """

    def __init__(self, subject: models.Model, before: str, after: str) -> None:
        super().__init__(f"{subject._meta.label} {subject.pk}: {before} → {after}")
        self.subject, self.before, self.after = subject, before, after


class IllegalMove(StateError):
    pass


class StaleState(StateError):
    pass


def move(
    subject: models.Model,
    after: str,
    *,
    moves: Moves,
    by: Any = None,
    reason: str = "",
    only_if: Q | None = None,
    **fields: Any,
) -> None:
    """Move `subject.state` to `after` and set `fields` with it, in one statement, and write the history row.

    Raises IllegalMove when the table forbids it and StaleState when the row in the database is no longer in the state
    that `subject` was read in, or does not fulfil `only_if` (a lease that must be the one that was read). On success
    `subject` carries the new values.
    """
    before = subject.state  # type: ignore[attr-defined]
    if after not in moves.get(before, frozenset()):
        raise IllegalMove(subject, before, after)
    line = _line(subject, what="", before=before, after=after, by=by, reason=reason)
    with transaction.atomic(savepoint=False):  # a stale row changed nothing, so there is nothing to roll back to
        if only_if is None and connection.vendor == "postgresql":
            changed = _set_and_write(subject, before, {"state": after, **fields}, line)
        else:
            rows = type(subject)._default_manager.filter(only_if or Q(), pk=subject.pk, state=before)
            changed = bool(rows.update(state=after, **fields))
            if changed:
                _write(line)
    if not changed:
        raise StaleState(subject, before, after)
    subject.state = after  # type: ignore[attr-defined]
    for name, value in fields.items():
        setattr(subject, name, value)


def record(
    subject: models.Model,
    *,
    what: str = "",
    before: object = "",
    after: object = "",
    by: Any = None,
    reason: str = "",
    project_pk: int | None = None,
) -> None:
    """Write one line of the audit log, in the caller's transaction. `what` names the thing that changed, in English, and is
    empty for a change of state. Values past 400 characters are cut."""
    _write(_line(subject, what=what, before=before, after=after, by=by, reason=reason, project_pk=project_pk))


# Lines are written with nearly every request that changes something. Their SQL is written out: to build it anew each time
# costs several times what the database needs to run it.
_COLUMNS = ("subject_type", "subject_pk", "project_pk", "what", "before", "after", "by_pk", "by_name", "reason", "at")
_INSERT = 'INSERT INTO {} ("{}")'.format(Transition._meta.db_table, '", "'.join(_COLUMNS))
_VALUES = ", ".join(["%s"] * len(_COLUMNS))


def _line(
    subject: models.Model,
    *,
    what: str,
    before: object,
    after: object,
    by: Any,
    reason: str,
    project_pk: int | None = None,
) -> list[Any]:
    """Return the values of one line, in the order of _COLUMNS."""
    return [
        subject._meta.label_lower,
        str(subject.pk),
        project_pk if project_pk is not None else getattr(subject, "project_id", None),
        what,
        str(before)[:400],
        str(after)[:400],
        getattr(by, "pk", None),
        str(by or ""),
        str(reason),
        connection.ops.adapt_datetimefield_value(timezone.now()),
    ]


def _write(line: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"{_INSERT} VALUES ({_VALUES})", line)


def _set_and_write(subject: models.Model, before: str, values: dict[str, Any], line: list[Any]) -> bool:
    """Set the columns and write the line in one statement; return whether the row was still in the state `before`."""
    meta = subject._meta
    columns, set_to = [], []
    for name, value in values.items():
        field = meta.get_field(name)
        assert isinstance(field, models.Field), f"{name} is no column"
        plain = getattr(value, "pk", value) if field.is_relation else value
        columns.append(f'"{field.column}" = %s')
        set_to.append(field.get_db_prep_save(plain, connection))
    sql = f"""
        WITH changed AS (UPDATE {meta.db_table} SET {", ".join(columns)} WHERE id = %s AND state = %s RETURNING 1)
        {_INSERT} SELECT {_VALUES} FROM changed"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [*set_to, subject.pk, str(before), *line])
        return bool(cursor.rowcount)
