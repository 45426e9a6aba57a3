"""Comparing: the next two answers, the vote, the skip."""

from contextlib import suppress
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import render_page
from labeling.actions.activity import record_activity
from labeling.actions.comparison import first_side, next_comparison, skip_comparison, vote
from labeling.actions.errors import AlreadyJudged, LabelingError, MustAcknowledge
from labeling.forms.comparison import SkipForm, VoteForm
from labeling.models import Comparison, Membership
from labeling.queries import current_instructions, require_member
from labeling.queries.judging import comparison_counts
from labeling.states import VoteChoice

# The key of each choice; the order is that of the row of buttons.
KEYS = dict(zip(VoteChoice.values, "123450", strict=True))


@require_GET
@never_cache
@login_required
def comparison_next(request: HttpRequest, slug: str) -> HttpResponse:
    """Hand out a comparison and go to it; say why when there is none."""
    membership = require_member(request, slug)
    record_activity(membership=membership)
    try:
        comparison = next_comparison(membership=membership)
    except MustAcknowledge:
        return redirect(f"{reverse('labeling-instructions-show', args=[slug])}?next=compare")
    if comparison is None:
        return render_page(request, "labeling/comparison_next.html", {"counts": comparison_counts(membership)})
    return redirect("labeling-comparison-vote", slug=slug, pk=comparison.pk)


@require_http_methods(["GET", "POST"])
@never_cache
@login_required
def comparison_vote(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Show two answers without where they come from, and take the vote. Who does not hold it goes to their next one."""
    membership = require_member(request, slug)
    record_activity(membership=membership)
    comparison = _find(membership, pk)
    if request.method == "GET":
        if comparison.leased_by_id != membership.user_id:
            return redirect("labeling-comparison-next", slug=slug)
        return _page(request, membership, comparison, VoteForm())
    form = VoteForm(request.POST, needs_reason=membership.project.needs_comparison_reason)
    if form.is_valid():
        try:
            vote(
                comparison=comparison,
                membership=membership,
                choice=VoteChoice(form.cleaned_data["choice"]),
                reason=form.cleaned_data["reason"],
            )
        except LabelingError as error:
            form.add_error(None, str(error))
        else:
            return redirect("labeling-comparison-next", slug=slug)
    return _page(request, membership, comparison, form, status=422)


@require_POST
@login_required
def comparison_skip(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug)
    record_activity(membership=membership)
    comparison = _find(membership, pk)
    form = SkipForm(request.POST)
    if not form.is_valid():
        context: dict[str, Any] = {"skip_problem": _("Say why you cannot judge it, in a few words.")}
        return _page(request, membership, comparison, VoteForm(), status=422, **context)
    with suppress(AlreadyJudged):
        skip_comparison(comparison=comparison, membership=membership, reason=form.cleaned_data["reason"])
        messages.success(request, _("Skipped. You will not be asked about this one again."))
    return redirect("labeling-comparison-next", slug=slug)


def _find(membership: Membership, pk: int) -> Comparison:
    comparison = get_object_or_404(Comparison, project_id=membership.project_id, pk=pk)
    comparison.project = membership.project
    return comparison


def _page(
    request: HttpRequest,
    membership: Membership,
    comparison: Comparison,
    form: VoteForm,
    *,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    first = first_side(comparison, membership.user)
    context = {
        "comparison": comparison,
        "answers": [comparison.answer(first), comparison.answer("b" if first == "a" else "a")],
        "choices": [(value, label, KEYS[value]) for value, label in VoteChoice.choices],
        "chosen": form.data.get("choice", ""),
        "form": form,
        "instructions": current_instructions(membership.project),
        **more,
    }
    return render_page(request, "labeling/comparison_vote.html", context, status=status)
