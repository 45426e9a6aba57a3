"""My work: drafts, what waits, what came back, what was accepted."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from common.htmx import render_page
from common.pagination import paginate
from common.states import StateError
from labeling.actions.draft import begin_revision
from labeling.actions.errors import NotAllowed
from labeling.actions.submission import withdraw
from labeling.actions.thread import mark_as_read
from labeling.models import Draft, Membership, Submission
from labeling.queries import require_member, work_counts
from labeling.queries.judging import open_vote_drafts
from labeling.queries.people import people
from labeling.queries.review import THREAD, unread_by_author
from labeling.states import SubmissionState

N_WEEKS = 8
TABS = (
    ("returned", SubmissionState.RETURNED.label),
    ("draft", gettext_lazy("Drafts")),
    ("submitted", SubmissionState.SUBMITTED.label),
    ("accepted", SubmissionState.ACCEPTED.label),
    ("rejected", SubmissionState.REJECTED.label),
    ("withdrawn", SubmissionState.WITHDRAWN.label),
)


@require_GET
@login_required
def submission_list(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug)
    begun_votes = list(open_vote_drafts(membership))
    counts = work_counts(membership)
    counts["draft"] += len(begun_votes)
    wanted = request.GET.get("state")
    state = wanted if wanted in dict(TABS) else next((key for key, _label in TABS if counts[key]), "submitted")
    rows: QuerySet[Any]
    if state == "draft":
        drafts = Draft.objects.filter(task__project=membership.project, user=membership.user)
        rows = drafts.select_related("task").order_by("-saved_at")
    else:
        own = Submission.objects.filter(project=membership.project, author=membership.user, state=state)
        rows = (
            own.select_related("task", "review__reviewer", "instruction_version")
            .prefetch_related(THREAD)
            .order_by("-pk")
        )
    (person,) = people(membership.project, [membership], n_weeks=N_WEEKS)
    context: dict[str, Any] = {
        "weeks": person.weeks[::-1],
        "this_week": person.weeks[-1],
        "rate": person.rate,
        "page": paginate(request, rows, size=20),
        "begun_votes": begun_votes if state == "draft" else [],
        "state": state,
        "tabs": [(key, label, counts[key]) for key, label in TABS],
        "unread_comments": unread_by_author(membership),
    }
    response = render_page(request, "labeling/submission_list.html", context)
    mark_as_read(comments=[each for row in context["page"] for each in getattr(row, "thread", [])], by=membership.user)
    return response


def _own(membership: Membership, pk: int) -> Submission:
    rows = Submission.objects.filter(project=membership.project, author=membership.user)
    return get_object_or_404(rows.select_related("task"), pk=pk)


@require_POST
@login_required
def submission_revise(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Open a sent-back text in the editor."""
    membership = require_member(request, slug)
    submission = _own(membership, pk)
    try:
        begin_revision(submission=submission, by=membership.user)
    except NotAllowed:
        messages.error(request, _("This text is not waiting for a revision any more."))
        return redirect("labeling-submission-list", slug=slug)
    return redirect("labeling-task-write", slug=slug, pk=submission.task_id)


@require_POST
@login_required
def submission_withdraw(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug)
    try:
        withdraw(submission=_own(membership, pk), by=membership.user)
        messages.success(request, _("Withdrawn. The text stays under My work."))
    except StateError:
        messages.error(request, _("It was reviewed in the meantime, so it cannot be withdrawn."))
    return redirect("labeling-submission-list", slug=slug)
