"""The reviewers' workplace: a queue beside one text, a decision, the next text."""

from contextlib import suppress
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.diff import diff_turns
from common.htmx import render_page
from labeling.actions.activity import record_activity
from labeling.actions.errors import (
    AlreadyDecided,
    DuplicateExample,
    HeldByOther,
    LabelingError,
    NeedsAdmin,
    SendBackLimit,
    StaleReviewDraft,
)
from labeling.actions.review import (
    escalate_submission,
    has_limit_reached,
    release_submission,
    review_submission,
    take_submission,
    take_this_submission,
)
from labeling.actions.review_draft import save_review_draft
from labeling.actions.thread import conversation_about, read_comments
from labeling.actions.undo import undo_review
from labeling.forms.review import DecisionForm, QueueForm
from labeling.models import Membership, Review, ReviewDraft, Submission
from labeling.queries import current_instructions, require_member
from labeling.queries.review import (
    Queue,
    authors_waiting,
    cases_to_correct,
    former_revisions,
    last_decision,
    mark_passages,
    newest_revision,
    queue_counts,
    queue_window,
    review_queue,
)
from labeling.states import Role, SubmissionState, Verdict
from labeling.views.finding import show_overridden

N_CASES = 25


@require_GET
@never_cache
@login_required
def review_next(request: HttpRequest, slug: str) -> HttpResponse:
    """Hold the oldest waiting submission of the filter and go to it; `after` is one that the person left."""
    membership = require_member(request, slug, Role.REVIEWER)
    form = QueueForm(request.GET)
    queue = form.queue()
    after = request.GET.get("after", "")
    submission = _next(membership, queue, int(after) if after.isdecimal() else 0)
    if submission is not None:
        return _to(slug, queue, submission)
    waiting = Submission.objects.filter(project=membership.project).waiting()
    context = _list(membership, queue) | {
        "n_own": waiting.filter(author=membership.user).count(),
        "n_waiting": waiting.count(),
    }
    return render_page(request, "labeling/review_next.html", context)


def _next(membership: Membership, queue: Queue, after: int) -> Submission | None:
    """Return the next text of the queue, held by the person where it waits for a decision."""
    rows = review_queue(membership, queue)
    if queue.tab in ("waiting", "escalated"):
        return take_submission(project=membership.project, reviewer=membership.user, after=after, among=rows)
    return None if queue.tab == "cases" else rows.first()


def _to(slug: str, queue: Queue, submission: Submission | None, after: int = 0) -> HttpResponse:
    """Go to a text in its queue, or to the queue's own page, which says why there is none."""
    place = reverse("labeling-review-submission", args=[slug, submission.pk]) if submission else ""
    parts = [queue.query, f"after={after}" if after and not submission else ""]
    query = "&".join(part for part in parts if part)
    return HttpResponseRedirect(f"{place or reverse('labeling-review-next', args=[slug])}{'?' if query else ''}{query}")


@require_http_methods(["GET", "POST"])
@never_cache
@login_required
def review_show(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    submission = _find(membership, pk)
    queue = QueueForm(request.GET).queue()
    if request.method == "POST":
        return _decide(request, membership, submission, queue)
    take_this_submission(submission=submission, reviewer=membership.user)
    context = _page(membership, submission, queue)
    if submission.author_id != membership.user_id:
        read_comments(submission=submission, by=membership.user)
    return render_page(request, "labeling/review_submission.html", context)


def _decide(request: HttpRequest, membership: Membership, submission: Submission, queue: Queue) -> HttpResponse:
    record_activity(membership=membership)
    form = DecisionForm(request.POST, submission=submission)
    problem: dict[str, Any] = {}
    status = 422
    if form.is_valid():
        try:
            _act(membership, submission, form)
        except (AlreadyDecided, HeldByOther, NeedsAdmin) as error:
            status, problem = 409, {"stale": str(error)}
            _keep(membership, submission, form)
            submission = _find(membership, submission.pk)
        except DuplicateExample as error:
            problem = {"duplicate": error.existing, "problem": str(error)}
        except LabelingError as error:
            form.add_error(None, str(error))
        else:
            going_on = queue if queue.tab in ("waiting", "escalated") else Queue()
            return _to(membership.project.slug, going_on, _next(membership, going_on, submission.pk), submission.pk)
    context = _page(membership, submission, queue, form) | problem
    return render_page(request, "labeling/review_submission.html", context, status=status)


def _act(membership: Membership, submission: Submission, form: DecisionForm) -> None:
    verdict, comment = Verdict(form.cleaned_data["verdict"]), form.cleaned_data["comment"]
    passages = form.passages()
    try:
        review_submission(
            submission=submission,
            verdict=verdict,
            by=membership.user,
            comment=comment,
            messages=form.edited() if verdict == Verdict.EDIT else None,
            reason=form.cleaned_data["reason"],
            passages=passages,
        )
    except SendBackLimit:
        escalate_submission(submission=submission, by=membership.user, comment=comment, passages=passages)


def _keep(membership: Membership, submission: Submission, form: DecisionForm) -> None:
    """Save what was sent too late as the person's draft, unless a later one of theirs is there."""
    with suppress(LabelingError):
        save_review_draft(
            submission=submission,
            by=membership.user,
            verdict=Verdict(form.cleaned_data["verdict"]),
            content=form.content(),
            revision=form.cleaned_data["revision"] or 0,
        )


@require_POST
@login_required
def review_skip(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Give the submission back to the queue and go on to the next."""
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    submission = _find(membership, pk)
    release_submission(submission=submission, by=membership.user)
    queue = QueueForm(request.GET).queue()
    return _to(slug, queue, _next(membership, queue, pk), pk)


@require_POST
@login_required
def review_undo(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Take one's own decision back and open the text again, with what was written about it."""
    membership = require_member(request, slug, Role.REVIEWER)
    submission = _find(membership, pk)
    try:
        undo_review(submission=submission, by=membership.user)
    except LabelingError as error:
        messages.error(request, str(error))
    return _to(slug, QueueForm(request.GET).queue(), submission)


@require_POST
@login_required
def review_draft(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Keep what is being typed for one verdict; answer with the live diff of an edit and how the saving went."""
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    submission = _find(membership, pk)
    form = DecisionForm(request.POST, submission=submission)
    draft, problem, other = _save(membership, submission, form)
    context = {
        "submission": submission,
        "draft": draft,
        "other": other.content.get(form.data.get("verdict")) if other else None,
        "other_revision": other.revision if other else 0,
        "problem": problem,
        "turns": [turn for turn in diff_turns(submission.messages, form.edited()) if turn.is_changed],
        "is_edit": form.data.get("verdict") == Verdict.EDIT,
        "revision": draft.revision if draft else form.cleaned_data.get("revision") or 0,
    }
    if not request.htmx:  # type: ignore[attr-defined]
        messages.info(request, problem or _("The draft is saved."))
        return _to(slug, QueueForm(request.GET).queue(), submission)
    return render_page(request, "labeling/_review_draft.html", context, status=409 if problem else 200)


def _save(membership: Membership, submission: Submission, form: DecisionForm) -> tuple[ReviewDraft | None, str, Any]:
    """Return the saved draft, what is wrong, and what another window of the person's has saved."""
    if not form.is_valid():
        return None, str(_("This cannot be saved.")), None
    verdict = Verdict(form.cleaned_data["verdict"])
    try:
        draft = save_review_draft(
            submission=submission,
            by=membership.user,
            verdict=verdict,
            content=form.content(),
            revision=form.cleaned_data["revision"] or 0,
        )
    except StaleReviewDraft as error:
        return None, str(error), error.draft
    except LabelingError as error:
        return ReviewDraft.objects.filter(user=membership.user, submission=submission).first(), str(error), None
    return draft, "", None


def _find(membership: Membership, pk: int) -> Submission:
    rows = Submission.objects.visible_to(membership).select_related(
        "project", "task", "author", "instruction_version", "leased_by", "previous", "review__reviewer"
    )
    return get_object_or_404(rows, pk=pk)


def _list(membership: Membership, queue: Queue, current: Submission | None = None) -> dict[str, Any]:
    """What stands beside the text: tabs with their counts, the filter, the rows around it."""
    counts = queue_counts(membership)
    tabs = [("waiting", _("To review")), ("answers", pgettext("to comments", "Answers")), ("decided", _("Done"))]
    if membership.is_admin:
        tabs.insert(1, ("escalated", _("Escalated")))
    is_cases = queue.tab == "cases"
    return {
        "queue": queue,
        "tabs": [(name, label, counts.get(name)) for name, label in [*tabs, ("cases", _("Cases"))]],
        "authors": authors_waiting(membership),
        "cases": list(cases_to_correct(membership)[:N_CASES]) if is_cases else [],
        "window": None if is_cases else queue_window(membership, queue, current),
        "last": last_decision(membership),
        "query": f"?{queue.query}" if queue.query else "",
    }


def _page(
    membership: Membership, submission: Submission, queue: Queue, form: DecisionForm | None = None
) -> dict[str, Any]:
    user = membership.user
    review: Review | None = getattr(submission, "review", None)
    is_own = submission.author_id == user.pk
    holder = submission.leased_by if submission.is_held_by_other(user) else None
    current = current_instructions(membership.project)
    pinned = submission.instruction_version
    comments = list(conversation_about(submission))
    if is_own:
        comments = [comment for comment in comments if not comment.is_internal]
    draft = ReviewDraft.objects.filter(user=user, submission=submission).first()
    is_for_admin = submission.needs_admin and not membership.is_admin
    can_decide = submission.state == SubmissionState.SUBMITTED and not is_own and not holder and not is_for_admin
    if form is None:
        form = DecisionForm(submission=submission, draft=draft.content if draft else None)
    else:
        form.draft = draft.content if draft else {}
    return {
        "submission": submission,
        "turns": mark_passages(submission, comments),
        "thread": comments,
        "overridden": show_overridden(submission, membership),
        "review": review,
        "reviewed": diff_turns(submission.messages, review.messages) if review and review.messages else None,
        "former": former_revisions(submission, comments) if submission.previous_id else [],
        "since": diff_turns(submission.previous.messages, submission.messages) if submission.previous else None,
        "instructions": pinned,
        "newer_instructions": current if pinned and current and current.pk != pinned.pk else None,
        "is_own": is_own,
        "is_for_admin": is_for_admin,
        "holder": holder,
        "can_decide": can_decide,
        "can_undo": review is not None and review.reviewer_id == user.pk,
        "goes_to_admin": can_decide and not membership.is_admin and has_limit_reached(submission),
        "form": form,
        "shown": form.shown(),
        "verdict": form.data.get("verdict", ""),
        "draft": draft,
        "revision": draft.revision if draft else 0,
        **_list(membership, queue, submission),
        **(_standing(submission, form.shown()) if not can_decide and (draft or form.is_bound) else {}),
    }


def _standing(submission: Submission, shown: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What there is now beside what the person was about to send, and the difference between both."""
    newest = newest_revision(submission)
    review: Review | None = getattr(newest, "review", None)
    there = (review.messages if review else None) or newest.messages
    mine = shown[Verdict.EDIT].get("messages")
    own = {verdict: content for verdict, content in shown.items() if any(content.values())}
    return {
        "newest": newest,
        "newest_review": review,
        "there": there,
        "mine": mine,
        "mine_by_verdict": [(Verdict(verdict).label, content) for verdict, content in own.items()],
        "between": diff_turns(there, mine) if mine else None,
    }
