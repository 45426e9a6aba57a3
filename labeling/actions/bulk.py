"""One thing done to many rows: each row by the action for one, with its own line in the audit log, and undone the same way."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Min
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.states import StateError, move, record
from labeling.actions.case import dismiss_case, reopen_case
from labeling.actions.case_triage import assign_case, set_severity
from labeling.actions.errors import LabelingError, NotAllowed
from labeling.actions.retraction import retract_example, undo_retraction
from labeling.actions.task import retire_task, return_task
from labeling.models import BulkAction, Case, Example, Project, Tag, Task, User
from labeling.states import TASK_MOVES, Role, TaskState

LIMIT = 1000  # rows at once
ROWS: dict[str, Any] = {"tasks": Task, "cases": Case, "examples": Example}
ROLES = {"tasks": Role.ADMIN, "cases": Role.REVIEWER, "examples": Role.ADMIN}


@dataclass(frozen=True)
class Deed:
    """What can be done to a row of a kind. `do` returns the former value for `undo`, which is None where there is no way back."""

    label: "str | Promise"
    do: Callable[[Any, str, User], Any]
    undo: Callable[[Any, str, Any, User], None] | None = None


def run_bulk(*, project: Project, kind: str, what: str, value: str, rows: Iterable[Any], by: User) -> BulkAction:
    """Do it to each of the rows; those to which it cannot be done are counted by the reason. Raises NotAllowed."""
    deed = DEEDS.get(kind, {}).get(what)
    if deed is None:
        raise NotAllowed
    done, problems = [], Counter[str]()
    for row in rows:
        try:
            with transaction.atomic():
                done.append([row.pk, deed.do(row, value.strip(), by)])
        except (LabelingError, StateError) as error:
            problems[_why(error)] += 1
    return BulkAction.objects.create(
        project=project, kind=kind, what=what, value=value.strip(), done=done, problems=problems.most_common(), by=by
    )


def undo_bulk(*, bulk: BulkAction, by: User) -> None:
    """Give each row its former value back, but for those that changed since. Raises NotAllowed the second time."""
    deed = DEEDS[bulk.kind][bulk.what]
    if deed.undo is None or not BulkAction.objects.filter(pk=bulk.pk, undone_at=None).update(undone_at=timezone.now()):
        raise NotAllowed
    problems = Counter[str]()
    rows = ROWS[bulk.kind].objects.filter(project_id=bulk.project_id).in_bulk([pk for pk, _former in bulk.done])
    for pk, former in bulk.done:
        try:
            with transaction.atomic():
                if pk not in rows:
                    raise NotAllowed(_changed())
                deed.undo(rows[pk], bulk.value, former, by)
        except (LabelingError, StateError) as error:
            problems[_why(error)] += 1
    bulk.undo_problems, bulk.n_undone = problems.most_common(), len(bulk.done) - problems.total()
    bulk.save(update_fields=["undo_problems", "n_undone"])
    bulk.refresh_from_db()


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, LabelingError) else _("Its state does not allow it.")


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
    name = " ".join(value.split())
    if not name or len(name) > (Tag._meta.get_field("name").max_length or 0):
        raise NotAllowed(_("A tag has 1 to 40 characters."))
    if row.tags.filter(name=name).exists():
        raise NotAllowed(_("It has this tag already."))
    tag, _is_new = Tag.objects.get_or_create(project_id=row.project_id, name=name)
    row.tags.add(tag)
    record(row, what="tag", after=name, by=by)


def _untag(row: Any, value: str, _former: None, by: User) -> None:
    tag = row.tags.filter(name=" ".join(value.split())).first()
    if tag is None:
        raise NotAllowed(_changed())
    row.tags.remove(tag)
    record(row, what="tag", before=tag.name, by=by)


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
