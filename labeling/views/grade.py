"""Grading gold work, blind: the grader never learns whose it is."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import render_page
from labeling.actions.activity import record_activity
from labeling.actions.errors import AlreadyGraded, CommentNeeded, HeldByOther, LabelingError
from labeling.actions.grading import grade_submission, hold_to_grade, leave_ungraded, take_to_grade
from labeling.forms.gold import GradeForm
from labeling.models import Membership, Submission
from labeling.queries import require_member
from labeling.queries.gold import check_results, n_to_grade
from labeling.states import Role


@require_GET
@never_cache
@login_required
def grade_next(request: HttpRequest, slug: str) -> HttpResponse:
    """Hold the oldest answer that waits for a grade and go to it; `after` is one that the person left."""
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    after = request.GET.get("after", "")
    submission = take_to_grade(
        project=membership.project, reviewer=membership.user, after=int(after) if after.isdecimal() else 0
    )
    if submission is not None:
        return redirect("labeling-grade-show", slug, submission.pk)
    return render_page(request, "labeling/grade_next.html")


@require_http_methods(["GET", "POST"])
@never_cache
@login_required
def grade_show(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    submission = _find(membership, pk)
    if request.method == "POST":
        return _grade(request, membership, submission)
    if not hold_to_grade(submission=submission, reviewer=membership.user):
        messages.info(request, _("That answer does not wait for your grade; here is the next."))
        return redirect("labeling-grade-next", slug)
    return render_page(request, "labeling/grade_show.html", _page(membership, submission, GradeForm()))


def _grade(request: HttpRequest, membership: Membership, submission: Submission) -> HttpResponse:
    form = GradeForm(request.POST)
    status = 422
    if form.is_valid():
        try:
            grade_submission(
                submission=submission,
                scores=form.scores(),
                comment=form.cleaned_data["comment"],
                by=membership.user,
            )
        except CommentNeeded as error:
            form.add_error("comment", str(error))
        except (AlreadyGraded, HeldByOther) as error:
            form.add_error(None, str(error))
            status = 409
        except LabelingError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Graded."))
            return _go_on(membership.project.slug, submission.pk)
    return render_page(request, "labeling/grade_show.html", _page(membership, submission, form), status=status)


@require_POST
@login_required
def grade_skip(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Leave the answer to others and go on to the next."""
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    leave_ungraded(submission=_find(membership, pk), by=membership.user)
    return _go_on(slug, pk)


def _find(membership: Membership, pk: int) -> Submission:
    """Return somebody else's gold work; one's own is not there."""
    rows = Submission.objects.filter(project=membership.project, is_gold=True).exclude(author=membership.user)
    return get_object_or_404(rows.select_related("project", "task__gold_copy__gold", "instruction_version"), pk=pk)


def _go_on(slug: str, pk: int) -> HttpResponse:
    response = redirect("labeling-grade-next", slug)
    response["Location"] += f"?after={pk}"
    return response


def _page(membership: Membership, submission: Submission, form: GradeForm) -> dict[str, Any]:
    return {
        "submission": submission,
        "prompt": submission.messages[:-1],
        "answer": submission.messages[-1]["content"],
        "gold": submission.task.gold_copy.gold,
        "checks": check_results(submission),
        "instructions": submission.instruction_version,
        "form": form,
        "n_waiting": n_to_grade(membership),
    }
