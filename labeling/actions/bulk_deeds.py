"""What can be done to many rows at once: for each deed the action for one row, and its way back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Min
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.states import move, record
from labeling.actions.case import dismiss_case, reopen_case
from labeling.actions.case_triage import assign_case, set_severity
from labeling.actions.errors import NotAllowed
from labeling.actions.retraction import retract_example, undo_retraction
from labeling.actions.tag import put_tag, take_tag
from labeling.actions.task import retire_task, return_task
from labeling.models import Case, Example, Task, User
from labeling.states import TASK_MOVES, Role, TaskState

ROWS: dict[str, Any] = {"tasks": Task, "cases": Case, "examples": Example}
ROLES = {"tasks": Role.ADMIN, "cases": Role.REVIEWER, "examples": Role.ADMIN}


@dataclass(frozen=True)
class Deed:
    """What can be done to a row of a kind. `do` returns the former value for `undo`, which is None where there is no way back."""

    label: "str | Promise"
    do: Callable[[Any, str, User], Any]
    undo: Callable[[Any, str, Any, User], None] | None = None


def _changed() -> str:
    return _("It was changed since.")


def _retire(task: Task, _value: str, by: User) -> str:
    before = task.state
    retire_task(task=task, by=by)
    return before


def _unretire(task: Task, _value: str, former: str, by: User) -> None:
    if task.state != TaskState.RETIRED:
        raise NotAllowed(_changed())
    if former == TaskState.ASIDE:
        raise NotAllowed(_("It was set aside before; return it to the queue or leave it retired."))
    move(task, TaskState.OPEN, moves=TASK_MOVES, by=by, reason="bulk action undone")


def _return(task: Task, _value: str, by: User) -> str:
    before = task.state
    if before == TaskState.ASIDE:
        return_task(task=task, by=by)
    elif before == TaskState.RETIRED:
        move(task, TaskState.OPEN, moves=TASK_MOVES, by=by)
    else:
        raise NotAllowed(_("It is not out of the queue."))
    return before


def _unreturn(task: Task, _value: str, former: str, by: User) -> None:
    if former == TaskState.ASIDE:
        raise NotAllowed(_("It had been set aside, and the reasons for that are settled now."))
    retire_task(task=task, by=by)


def _put_first(task: Task, _value: str, by: User) -> list[int]:
    if task.state != TaskState.OPEN:
        raise NotAllowed(_("It does not wait in the queue."))
    first = Task.objects.filter(project_id=task.project_id, state=TaskState.OPEN).aggregate(n=Min("position"))["n"] or 0
    record(task, what="position", before=task.position, after=first - 1, by=by)
    Task.objects.filter(pk=task.pk).update(position=first - 1)
    return [task.position, first - 1]


def _put_back(task: Task, _value: str, former: list[int], by: User) -> None:
    before, after = former
    if not Task.objects.filter(pk=task.pk, position=after, state=TaskState.OPEN).update(position=before):
        raise NotAllowed(_changed())
    record(task, what="position", before=after, after=before, by=by)


def _tag(row: Any, value: str, by: User) -> None:
    put_tag(row=row, name=value, by=by)


def _untag(row: Any, value: str, _former: None, by: User) -> None:
    take_tag(row=row, name=value, by=by)


def _person(value: str) -> User | None:
    return User.objects.filter(pk=int(value)).first() if value.isascii() and value.isdecimal() else None


def _assign(case: Case, value: str, by: User) -> int | None:
    before = case.assignee_id
    assign_case(case=case, assignee=_person(value), by=by)
    return before


def _unassign(case: Case, value: str, former: int | None, by: User) -> None:
    if case.assignee != _person(value):
        raise NotAllowed(_changed())
    assign_case(case=case, assignee=_person(str(former or "")), by=by)


def _rate(case: Case, value: str, by: User) -> list[Any]:
    before = [case.severity, case.is_severity_set]
    if value not in ("1", "2", "3"):
        raise NotAllowed(_("Say how bad it is."))
    set_severity(case=case, severity=int(value), by=by)
    return before


def _unrate(case: Case, value: str, former: list[Any], by: User) -> None:
    severity, is_set = former
    if str(case.severity) != value:
        raise NotAllowed(_changed())
    set_severity(case=case, severity=severity, by=by)
    Case.objects.filter(pk=case.pk).update(is_severity_set=is_set)


def _retract(example: Example, value: str, by: User) -> int:
    return retract_example(example=example, by=by, reason=value).pk


def _unretract(example: Example, _value: str, former: int | None, by: User) -> None:
    if former is None or example.retraction is None or example.retraction_id != former:
        raise NotAllowed(_changed())
    if not undo_retraction(retraction=example.retraction, by=by):
        raise NotAllowed(_changed())


DEEDS: dict[str, dict[str, Deed]] = {
    "tasks": {
        "first": Deed(gettext_lazy("Put first"), _put_first, _put_back),
        "retire": Deed(gettext_lazy("Retire"), _retire, _unretire),
        "return": Deed(gettext_lazy("Return to the queue"), _return, _unreturn),
        "tag": Deed(gettext_lazy("Tag"), _tag, _untag),
    },
    "cases": {
        "assign": Deed(gettext_lazy("Assign"), _assign, _unassign),
        "severity": Deed(gettext_lazy("Set harm"), _rate, _unrate),
        "dismiss": Deed(
            gettext_lazy("Dismiss"),
            lambda case, value, by: dismiss_case(case=case, by=by, reason=value),
            lambda case, _value, _former, by: reopen_case(case=case, by=by),
        ),
    },
    "examples": {
        "tag": Deed(gettext_lazy("Tag"), _tag, _untag),
        "retract": Deed(gettext_lazy("Retract"), _retract, _unretract),
    },
}
