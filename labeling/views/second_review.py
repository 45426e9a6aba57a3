"""The blind second review, and the list of disagreements that an admin settles."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import render_page
from common.pagination import paginate
from labeling.actions.activity import record_activity
from labeling.actions.errors import LabelingError
from labeling.actions.second_review import (
    judge_again,
    release_second_review,
    settle_disagreement,
    take_second_review,
)
from labeling.forms.comparison import SecondReviewForm, SettlementForm
from labeling.models import Membership, SecondReview
from labeling.queries import require_member
from labeling.states import Role


@require_GET
@login_required
def second_review_next(request: HttpRequest, slug: str) -> HttpResponse:
    """Hold the oldest drawn submission and go to it; `after` is one that the person left."""
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    after = request.GET.get("after", "")
    second = take_second_review(
        project=membership.project, reviewer=membership.user, after=int(after) if after.isdecimal() else 0
    )
    if second is not None:
        return redirect("labeling-second-review-judge", slug, second.pk)
    waiting = SecondReview.objects.filter(submission__project=membership.project, is_accepted__isnull=True)
    context = {"n_waiting": waiting.count(), "share": membership.project.second_review_share}
    return render_page(request, "labeling/second_review_next.html", context)


@require_http_methods(["GET", "POST"])
@login_required
def second_review_judge(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Show a decided submission without its verdict, and take the second one. Who does not hold it goes to their next."""
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    second = _find(membership, pk)
    form = SecondReviewForm(request.POST or None)
    if request.method == "GET" and (second.is_accepted is not None or second.leased_by_id != membership.user_id):
        return redirect("labeling-second-review-next", slug)
    if form.is_valid():
        try:
            judge_again(second=second, by=membership.user, **form.cleaned_data)
        except LabelingError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Kept: the second verdict."))
            return _go_on(slug, pk)
    waiting = SecondReview.objects.filter(submission__project=membership.project).waiting_for(membership.user)
    context = {
        "second": second,
        "submission": second.submission,
        "instructions": second.submission.instruction_version,
        "form": form,
        "n_waiting": waiting.count(),
    }
    status = 422 if request.method == "POST" else 200
    return render_page(request, "labeling/second_review_judge.html", context, status=status)


@require_POST
@login_required
def second_review_skip(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    release_second_review(second=_find(membership, pk), by=membership.user)
    return _go_on(slug, pk)


def _find(membership: Membership, pk: int) -> SecondReview:
    """Return a second review that this person may give or has given; their own text and first verdicts are not there."""
    rows = SecondReview.objects.filter(submission__project_id=membership.project_id)
    rows = rows.exclude(submission__author=membership.user).exclude(submission__review__reviewer=membership.user)
    return get_object_or_404(rows.select_related("submission__task", "submission__instruction_version"), pk=pk)


def _go_on(slug: str, pk: int) -> HttpResponse:
    response = redirect("labeling-second-review-next", slug)
    response["Location"] += f"?after={pk}"
    return response


@require_GET
@login_required
def disagreement_list(request: HttpRequest, slug: str) -> HttpResponse:
    """Where two reviewers differ, with both verdicts. The first stands until an admin acts."""
    membership = require_member(request, slug, Role.ADMIN)
    rows = SecondReview.objects.all().disagreeing(membership)
    is_open = request.GET.get("state") != "settled"
    shown = rows.filter(settlement="") if is_open else rows.exclude(settlement="")
    shown = shown.select_related("reviewer", "submission__author", "submission__review__reviewer")
    done = SecondReview.objects.filter(submission__project=membership.project, is_accepted__isnull=False)
    context = {
        "page": paginate(request, shown),
        "is_open": is_open,
        "n_open": rows.filter(settlement="").count(),
        "n_settled": rows.exclude(settlement="").count(),
        "n_done": done.count(),
    }
    return render_page(request, "labeling/disagreement_list.html", context)


@require_POST
@login_required
def disagreement_settle(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    second = get_object_or_404(SecondReview.objects.all().disagreeing(membership), pk=pk)
    form = SettlementForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("That did not work."))
        return redirect("labeling-disagreement-list", slug=slug)
    try:
        settle_disagreement(second=second, membership=membership, **form.cleaned_data)
        messages.success(request, _("Settled."))
    except LabelingError as error:
        messages.error(request, str(error))
    return redirect("labeling-disagreement-list", slug=slug)
