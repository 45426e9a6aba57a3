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
from django_htmx.http import HttpResponseClientRedirect

from common.htmx import render_page
from labeling.actions.activity import record_activity
from labeling.actions.comparison import first_side, next_comparison, skip_comparison, vote
from labeling.actions.errors import (
    AlreadyJudged,
    HeldByOther,
    LabelingError,
    LeaseLost,
    MustAcknowledge,
    StaleVoteDraft,
)
from labeling.actions.vote_draft import renew_comparison, require_own_vote_draft, save_vote_draft
from labeling.forms.comparison import SkipForm, VoteDraftForm, VoteForm
from labeling.models import Comparison, Membership, VoteDraft
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
    """Show two answers without where they come from, and take the vote.

    Who neither holds it nor has a draft of it goes to their next one. A vote that another window's draft contradicts is
    not taken: both are shown.
    """
    membership = require_member(request, slug)
    record_activity(membership=membership)
    comparison = _find(membership, pk)
    if request.method == "GET":
        draft = VoteDraft.objects.filter(comparison=comparison, person=membership.user).first()
        if comparison.leased_by_id != membership.user_id and draft is None:
            return redirect("labeling-comparison-next", slug=slug)
        return _page(request, membership, comparison, VoteForm(initial=draft.content if draft else None))
    form = VoteForm(request.POST, needs_reason=membership.project.needs_comparison_reason)
    typed = VoteDraftForm(request.POST)
    if form.is_valid() and typed.is_valid():
        try:
            if "revision" in request.POST:
                require_own_vote_draft(comparison=comparison, user=membership.user, **typed.said())
            vote(
                comparison=comparison,
                membership=membership,
                choice=VoteChoice(form.cleaned_data["choice"]),
                reason=form.cleaned_data["reason"],
            )
        except StaleVoteDraft as error:
            return _page(request, membership, comparison, form, status=409, **_conflict(error))
        except LabelingError as error:
            form.add_error(None, str(error))
        else:
            if request.POST.get("then") == "stay":
                return HttpResponse(status=204)
            goes = reverse("labeling-comparison-next", args=[slug])
            return HttpResponseClientRedirect(goes) if request.htmx else redirect(goes)  # type: ignore[attr-defined]
    return _page(request, membership, comparison, form, status=422)


@require_POST
@login_required
def comparison_draft(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Keep what is chosen and typed; answer with how that went."""
    membership = require_member(request, slug)
    record_activity(membership=membership)
    comparison = _find(membership, pk)
    form = VoteDraftForm(request.POST)
    context: dict[str, Any] = {"comparison": comparison, "form": form, "revision": form.data.get("revision", 0)}
    status = 422
    if form.is_valid():
        try:
            draft = save_vote_draft(comparison=comparison, membership=membership, **form.said())
            context |= {"is_saved": True, "revision": draft.revision}
            status = 200
        except StaleVoteDraft as error:
            context |= _conflict(error)
            status = 409
        except LabelingError as error:
            form.add_error(None, str(error))
            status = 409
    return render_page(request, "labeling/_vote_state.html", context, status=status)


@require_POST
@login_required
def comparison_lease(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """The person is at work: renew their lease. 409 when the comparison is not theirs any more; the words stay."""
    membership = require_member(request, slug)
    record_activity(membership=membership)
    comparison = _find(membership, pk)
    context: dict[str, Any] = {"comparison": comparison, "task": comparison, "is_mine": True}
    try:
        renew_comparison(comparison=comparison, membership=membership)
    except (LeaseLost, HeldByOther):
        context |= {"is_mine": False, "is_held_by_other": comparison.is_held_by_other(membership.user)}
        return render_page(request, "labeling/_lease.html", context, status=409)
    return render_page(request, "labeling/_lease.html", context)


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


def _conflict(error: StaleVoteDraft) -> dict[str, Any]:
    choice = error.draft.content.get("choice", "")
    return {"conflict": error.draft, "other_choice": dict(VoteChoice.choices).get(choice, "")}


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
    draft = VoteDraft.objects.filter(comparison=comparison, person=membership.user).first()
    context = {
        "comparison": comparison,
        "answers": [comparison.answer(first), comparison.answer("b" if first == "a" else "a")],
        "choices": [(value, label, KEYS[value]) for value, label in VoteChoice.choices],
        "chosen": form["choice"].value() or "",
        "draft": draft,
        "revision": form.data.get("revision") or (draft.revision if draft else 0),
        "is_known": not form.is_bound,
        "is_mine": comparison.leased_by_id == membership.user_id,
        "is_held_by_other": comparison.is_held_by_other(membership.user),
        "form": form,
        "instructions": current_instructions(membership.project),
        **more,
    }
    fragment = "labeling/_comparison_desk.html"
    return render_page(request, "labeling/comparison_vote.html", context, fragment=fragment, status=status)
