from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.diff import diff_turns
from common.htmx import render_page
from labeling.actions.activity import record_activity
from labeling.actions.errors import AlreadyDecided, DuplicateExample, HeldByOther, LabelingError
from labeling.actions.review import release_submission, review_submission, take_submission, take_this_submission
from labeling.forms.review import DecisionForm
from labeling.models import Membership, Review, Submission
from labeling.queries import current_instructions, require_member
from labeling.states import Role, SubmissionState, Verdict


@require_GET
@login_required
def review_next(request: HttpRequest, slug: str) -> HttpResponse:
    """Hold the oldest waiting submission and go to it; `after` is one that the person left."""
    membership = require_member(request, slug, Role.REVIEWER)
    after = request.GET.get("after", "")
    submission = take_submission(
        project=membership.project, reviewer=membership.user, after=int(after) if after.isdecimal() else 0
    )
    if submission is not None:
        return redirect("labeling-review-submission", slug, submission.pk)
    waiting = Submission.objects.filter(project=membership.project).waiting()
    context = {"n_own": waiting.filter(author=membership.user).count(), "n_waiting": waiting.count()}
    return render_page(request, "labeling/review_next.html", context)


@require_http_methods(["GET", "POST"])
@login_required
def review_show(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    submission = _find(membership, pk)
    if request.method == "POST":
        return _decide(request, membership, submission)
    take_this_submission(submission=submission, reviewer=membership.user)
    return render_page(request, "labeling/review_submission.html", _page(membership, submission))


def _decide(request: HttpRequest, membership: Membership, submission: Submission) -> HttpResponse:
    record_activity(membership=membership)
    form = DecisionForm(request.POST, submission=submission)
    problem: dict[str, Any] = {}
    status = 422
    if form.is_valid():
        verdict = Verdict(form.cleaned_data["verdict"])
        try:
            review = review_submission(
                submission=submission,
                verdict=verdict,
                by=membership.user,
                comment=form.cleaned_data["comment"],
                messages=form.edited() if verdict == Verdict.EDIT else None,
            )
        except (AlreadyDecided, HeldByOther) as error:
            status = 409
            problem = {"stale": str(error), "mine": diff_turns(submission.messages, form.edited())}
            submission = _find(membership, submission.pk)
        except DuplicateExample as error:
            problem = {"duplicate": error.existing, "problem": str(error)}
        except LabelingError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, DONE[Verdict(review.verdict)]())
            return _go_on(membership.project.slug, submission.pk)
    context = _page(membership, submission, form) | problem
    return render_page(request, "labeling/review_submission.html", context, status=status)


@require_POST
@login_required
def review_skip(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Give the submission back to the queue and go on to the next."""
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    release_submission(submission=_find(membership, pk), by=membership.user)
    return _go_on(slug, pk)


@require_POST
@login_required
def review_diff(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Compare the conversation as it is being edited with what was handed in."""
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    submission = _find(membership, pk)
    form = DecisionForm(request.POST, submission=submission)
    changed = [turn for turn in diff_turns(submission.messages, form.edited()) if turn.is_changed]
    return render_page(request, "labeling/_review_diff.html", {"turns": changed})


def _find(membership: Membership, pk: int) -> Submission:
    rows = Submission.objects.visible_to(membership).select_related(
        "project", "task", "author", "instruction_version", "leased_by", "previous", "review__reviewer"
    )
    return get_object_or_404(rows, pk=pk)


def _go_on(slug: str, pk: int) -> HttpResponse:
    response = redirect("labeling-review-next", slug)
    response["Location"] += f"?after={pk}"
    return response


def _page(membership: Membership, submission: Submission, form: DecisionForm | None = None) -> dict[str, Any]:
    user = membership.user
    review: Review | None = getattr(submission, "review", None)
    is_own = submission.author_id == user.pk
    holder = submission.leased_by if submission.is_held_by_other(user) else None
    current = current_instructions(membership.project)
    pinned = submission.instruction_version
    former = Submission.objects.filter(
        task_id=submission.task_id, author_id=submission.author_id, pk__lt=submission.pk
    ).select_related("review__reviewer")
    return {
        "submission": submission,
        "review": review,
        "reviewed": diff_turns(submission.messages, review.messages) if review and review.messages else None,
        "former": list(former.order_by("-pk")),
        "since": diff_turns(submission.previous.messages, submission.messages) if submission.previous else None,
        "instructions": pinned,
        "newer_instructions": current if pinned and current and current.pk != pinned.pk else None,
        "is_own": is_own,
        "holder": holder,
        "can_decide": submission.state == SubmissionState.SUBMITTED and not is_own and not holder,
        "form": form or DecisionForm(submission=submission),
        "verdict": form.data.get("verdict", "") if form else "",
        "n_waiting": Submission.objects.filter(project=membership.project).reviewable_by(user).count(),
    }


DONE = {
    Verdict.ACCEPT: lambda: _("Accepted: it is an example now."),
    Verdict.EDIT: lambda: _("Edited and accepted: it is an example now."),
    Verdict.SEND_BACK: lambda: _("Sent back with your comment."),
    Verdict.REJECT: lambda: _("Rejected, with your reason."),
}
