"""Reading the audit log of a project: filtered, newest first, page by page from a row on, however long it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from common.models import Transition
from labeling.models import Membership, Project
from labeling.queries.people import day_begins

PAGE_SIZE = 50
BATCH = 2000
SYSTEM = "system"
STATE = "state"

# What a row can be about, and where an admin finds it: the name of an address and whether the row's key belongs in it.
SUBJECTS: dict[str, tuple["str | Promise", str, bool]] = {
    "labeling.task": (_("Task"), "labeling-task-list", False),
    "labeling.submission": (_("Submission"), "labeling-review-submission", True),
    "labeling.case": (_("Case"), "labeling-case-show", True),
    "labeling.comparison": (_("Comparison"), "labeling-comparison-show", True),
    "labeling.example": (_("Example"), "labeling-example-list", False),
    "labeling.membership": (_("Member"), "labeling-member-show", True),
    "labeling.invitation": (_("Invitation"), "labeling-people-list", False),
    "labeling.instructionversion": (_("Instructions"), "labeling-instructions-show", False),
    "labeling.promptimport": (_("Import of prompts"), "labeling-prompt-import-show", True),
    "labeling.bulkaction": (_("Bulk action"), "labeling-bulk-show", True),
    "labeling.retraction": (_("Retraction"), "deployment-retraction-show", True),
    "labeling.project": (_("Project"), "labeling-project-edit", False),
    "labeling.apikey": (_("API key"), "deployment-key-list", False),
    "labeling.webhook": (_("Webhook"), "labeling-webhook-list", False),
    "training.datasetversion": (_("Dataset version"), "training-dataset-list", False),
    "training.job": (_("Job"), "training-job-list", False),
    "training.evaluation": (_("Evaluation"), "training-evaluation-list", False),
    "training.tunedmodel": (_("Model"), "training-model-list", False),
    "deployment.cycle": (_("Cycle"), "deployment-cycle-list", False),
    "deployment.deployment": (_("Deployment"), "deployment-release-show", False),
}


@dataclass(frozen=True)
class Query:
    """What an admin looks for; what is empty does not narrow. `person` is a user's key or SYSTEM; `what` may be STATE."""

    person: str = ""
    kind: str = ""
    what: str = ""
    since: date | None = None
    until: date | None = None
    words: str = ""


@dataclass(frozen=True)
class Slice:
    """A page of the log, newest first; `older` and `newer` are the keys to go on from, None at the ends."""

    rows: list[Transition]
    older: int | None
    newer: int | None


def audit_rows(project: Project, query: Query) -> "QuerySet[Transition]":
    rows: QuerySet[Transition] = Transition.objects.filter(project_pk=project.pk)
    if query.person == SYSTEM:
        rows = rows.filter(by_pk__isnull=True)
    elif query.person:
        rows = rows.filter(by_pk=int(query.person))
    if query.kind:
        rows = rows.filter(subject_type=query.kind)
    if query.what:
        rows = rows.filter(what="" if query.what == STATE else query.what)
    if query.since:
        rows = rows.filter(at__gte=day_begins(query.since))
    if query.until:
        rows = rows.filter(at__lt=day_begins(query.until + timedelta(days=1)))
    if query.words:
        rows = rows.filter(reason__icontains=query.words)
    return rows


def audit_page(project: Project, query: Query, *, before: int = 0, after: int = 0) -> Slice:
    """Return the page that ends before, or begins after, the row of that key; the newest without either."""
    rows = audit_rows(project, query)
    edge = Transition.objects.filter(project_pk=project.pk, pk=before or after).first() if before or after else None
    if edge is not None and after:
        found = list(_beyond(rows, edge, is_newer=True).order_by("at", "pk")[: PAGE_SIZE + 1])
        more, shown = len(found) > PAGE_SIZE, found[:PAGE_SIZE][::-1]
        return Slice(shown, older=shown[-1].pk if shown else None, newer=shown[0].pk if more else None)
    if edge is not None:
        rows = _beyond(rows, edge, is_newer=False)
    found = list(rows.order_by("-at", "-pk")[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    older = shown[-1].pk if len(found) > PAGE_SIZE else None
    return Slice(shown, older=older, newer=shown[0].pk if edge is not None and shown else None)


def _beyond(rows: "QuerySet[Transition]", edge: Transition, *, is_newer: bool) -> "QuerySet[Transition]":
    """Keep the rows on one side of `edge`. The first condition lets the index begin at the right place."""
    if is_newer:
        return rows.filter(Q(at__gt=edge.at) | Q(pk__gt=edge.pk), at__gte=edge.at)
    return rows.filter(Q(at__lt=edge.at) | Q(pk__lt=edge.pk), at__lte=edge.at)


def audit_history(project: Project, query: Query) -> Iterator[Transition]:
    """Yield the rows, oldest first, a batch to a query: nothing is held open while a slow client reads."""
    rows = audit_rows(project, query).order_by("at", "pk")
    batch = list(rows[:BATCH])
    while batch:
        yield from batch
        batch = list(_beyond(rows, batch[-1], is_newer=True)[:BATCH]) if len(batch) == BATCH else []


def things_changed(project: Project) -> list[str]:
    """Return the values of `what` that occur, from the index, one look-up each."""
    found: list[str] = []
    rows = Transition.objects.filter(project_pk=project.pk).order_by("project_pk", "what")
    while (name := rows.filter(what__gt=found[-1] if found else "").values_list("what", flat=True).first()) is not None:
        found.append(name)
    return found


def subject_link(row: Transition, membership: Membership) -> str:
    """Return where the row's subject is to be seen, "" where it has no page."""
    _label, name, has_key = SUBJECTS.get(row.subject_type, ("", "", False))
    if not name:
        return ""
    slug = membership.project.slug
    return reverse(name, args=[slug, int(row.subject_pk)] if has_key else [slug])


def as_record(row: Transition) -> dict[str, Any]:
    """Return a row as the exports write it."""
    return {
        "at": row.at.isoformat(),
        "by": row.by_name,
        "by_id": row.by_pk,
        "kind": row.subject_type,
        "id": row.subject_pk,
        "what": row.what or STATE,
        "before": row.before,
        "after": row.after,
        "reason": row.reason,
    }
