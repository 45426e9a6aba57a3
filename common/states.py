"""State machines: the table of legal moves is checked, the row is set by compare-and-set, a history row is written."""

from collections.abc import Mapping, Set
from typing import Any

from django.db import models, transaction
from django.db.models import Q

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
    with transaction.atomic(savepoint=False):  # a stale row changed nothing, so there is nothing to roll back to
        rows = type(subject)._default_manager.filter(only_if or Q(), pk=subject.pk, state=before)
        changed = rows.update(state=after, **fields)
        if changed:
            record(subject, before=before, after=after, by=by, reason=reason)
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
    Transition.objects.create(
        subject_type=subject._meta.label_lower,
        subject_pk=str(subject.pk),
        project_pk=project_pk if project_pk is not None else getattr(subject, "project_id", None),
        what=what,
        before=str(before)[:400],
        after=str(after)[:400],
        by_pk=getattr(by, "pk", None),
        by_name=str(by or ""),
        reason=reason,
    )
