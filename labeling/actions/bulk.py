"""One thing done to many rows: each row by the action for one, with its own line in the audit log, and undone the same way.

Up to LIMIT rows it is done within the request, more by a worker, in batches of one transaction each: what a killed worker
had not committed, the next one does.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone, translation
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from common.states import StateError, move
from labeling.actions.bulk_deeds import DEEDS, ROWS
from labeling.actions.errors import LabelingError, NotAllowed
from labeling.models import BulkAction, BulkBatch, Project, User
from labeling.states import BULK_AT_WORK, BULK_MOVES, BulkState
from labeling.tasks import work_on_bulk

LIMIT = 1000  # rows that are done while the person waits
BATCH = 100  # rows in one transaction
SILENT_S = 30  # a worker that has not been seen for so long is gone


def run_bulk(*, project: Project, kind: str, what: str, value: str, keys: Iterable[int], by: User) -> BulkAction:
    """Do it to each of the rows; those to which it cannot be done are counted by the reason. Raises NotAllowed.

    Rows with other keys than those of the project's own are not touched. More than LIMIT rows are done by a worker.
    """
    if what not in DEEDS.get(kind, {}):
        raise NotAllowed
    wanted = list(keys)
    batches = [wanted[at : at + BATCH] for at in range(0, len(wanted), BATCH)]
    with transaction.atomic():
        bulk = BulkAction.objects.create(
            project=project,
            kind=kind,
            what=what,
            value=value.strip(),
            state=BulkState.RUNNING,
            n_rows=len(wanted),
            language=get_language() or "",
            by=by,
        )
        BulkBatch.objects.bulk_create([BulkBatch(bulk=bulk, keys=batch) for batch in batches], batch_size=500)
        _begin(bulk)
    return _done_now(bulk)


def stop_bulk(*, bulk: BulkAction, by: User) -> None:
    """Leave the rest of the rows as they are; what is done can be undone. Raises StateError when it is over already."""
    move(bulk, BulkState.STOPPED, moves=BULK_MOVES, by=by, seen_at=None)


def undo_bulk(*, bulk: BulkAction, by: User) -> None:
    """Give each row its former value back, but for those that changed since. Raises NotAllowed the second time."""
    if DEEDS[bulk.kind][bulk.what].undo is None or bulk.state not in (BulkState.DONE, BulkState.STOPPED):
        raise NotAllowed
    with transaction.atomic():
        try:
            move(bulk, BulkState.UNDOING, moves=BULK_MOVES, by=by, undone_at=timezone.now(), undone_by=by, seen_at=None)
        except StateError:
            raise NotAllowed from None
        _begin(bulk)
    _done_now(bulk)


def work_on(*, bulk_pk: int) -> None:
    """Do or undo what is left of a bulk action. Two workers at once take turns; stopping it ends both."""
    while _next_batch(bulk_pk):
        pass


def resume_bulk_actions() -> int:
    """Nudge those that no worker is at; return how many."""
    silent = Q(seen_at__isnull=True) | Q(seen_at__lt=timezone.now() - timedelta(seconds=SILENT_S))
    keys = list(BulkAction.objects.filter(silent, state__in=BULK_AT_WORK).values_list("pk", flat=True))
    for key in keys:
        work_on_bulk.delay(key)
    return len(keys)


def _begin(bulk: BulkAction) -> None:
    if bulk.n_rows > LIMIT:
        transaction.on_commit(partial(work_on_bulk.delay, bulk.pk))


def _done_now(bulk: BulkAction) -> BulkAction:
    if bulk.n_rows <= LIMIT:
        work_on(bulk_pk=bulk.pk)
    bulk.refresh_from_db()
    return bulk


def _next_batch(bulk_pk: int) -> bool:
    """Do or undo one batch in a transaction; False when there is none left, or the action was stopped."""
    with transaction.atomic():
        rows = BulkAction.objects.select_for_update(of=("self",)).select_related("project", "by", "undone_by")
        bulk = rows.get(pk=bulk_pk)
        with translation.override(bulk.language or None):
            if bulk.state == BulkState.RUNNING:
                if batch := bulk.batches.filter(done__isnull=True).order_by("pk").first():
                    _do(bulk, batch)
                    return True
                reason = f"{bulk.what}: {bulk.n_done} {bulk.kind}"
                move(bulk, BulkState.DONE, moves=BULK_MOVES, by=bulk.by, reason=reason, seen_at=None)
            elif bulk.state == BulkState.UNDOING:
                if batch := bulk.batches.filter(done__isnull=False, is_undone=False).order_by("-pk").first():
                    _undo(bulk, batch)
                    return True
                reason = f"{bulk.what}: {bulk.n_undone} {bulk.kind}"
                move(bulk, BulkState.UNDONE, moves=BULK_MOVES, by=bulk.undone_by, reason=reason, seen_at=None)
    return False


def _do(bulk: BulkAction, batch: BulkBatch) -> None:
    deed = DEEDS[bulk.kind][bulk.what]
    done: list[list[Any]] = []
    problems = _each(bulk, batch.keys, lambda pk, row: done.append([pk, deed.do(row, bulk.value, bulk.by)]))
    batch.done = done
    batch.save(update_fields=["done"])
    _count(bulk, "problems", problems, n_handled=len(batch.keys), n_done=len(done))


def _undo(bulk: BulkAction, batch: BulkBatch) -> None:
    deed, by = DEEDS[bulk.kind][bulk.what], bulk.undone_by or bulk.by
    former = dict(batch.done or [])

    def take_back(pk: int, row: Any) -> None:
        if deed.undo is not None:
            deed.undo(row, bulk.value, former[pk], by)

    problems = _each(bulk, former, take_back)
    batch.is_undone = True
    batch.save(update_fields=["is_undone"])
    _count(bulk, "undo_problems", problems, n_undone=len(former) - problems.total())


def _each(bulk: BulkAction, keys: Iterable[int], act: Callable[[int, Any], None]) -> Counter[str]:
    """Act on each row that is still there; return how many could not be acted on, by the reason."""
    problems = Counter[str]()
    keys = list(keys)
    rows = ROWS[bulk.kind].objects.filter(project_id=bulk.project_id).select_related("project").in_bulk(keys)
    for pk in keys:
        try:
            with transaction.atomic():
                if pk not in rows:
                    raise NotAllowed(_("It is not there any more."))
                act(pk, rows[pk])
        except (LabelingError, StateError) as error:
            problems[_why(error)] += 1
    return problems


def _count(bulk: BulkAction, name: str, problems: Counter[str], **numbers: int) -> None:
    """Add a batch to what the page shows, and note that somebody is at work. The row is locked."""
    fields: dict[str, Any] = {field: F(field) + n for field, n in numbers.items()}
    fields[name] = (Counter(dict(getattr(bulk, name))) + problems).most_common()
    BulkAction.objects.filter(pk=bulk.pk).update(seen_at=timezone.now(), **fields)


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, LabelingError) else _("Its state does not allow it.")
