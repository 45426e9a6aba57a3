"""What somebody is about to say of a comparison, kept on the server; and their lease while they are at work."""

from contextlib import suppress
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from labeling.actions.draft import Page
from labeling.actions.errors import AlreadyJudged, HeldByOther, LeaseLost, StaleVoteDraft
from labeling.models import Comparison, Membership, User, VoteDraft
from labeling.models.comparison import free_for
from labeling.states import ComparisonState


def save_vote_draft(
    *, comparison: Comparison, membership: Membership, choice: str, reason: str, revision: int, page: Page
) -> VoteDraft:
    """Keep what is chosen and typed, and renew the lease of somebody who can still have the comparison.

    `revision` is that of the draft which the person started from, 0 for none. Raises StaleVoteDraft when another page saved
    something else since, and AlreadyJudged after the vote.
    """
    user = membership.user
    if comparison.votes.filter(person=user).exists():  # a save that was on its way when they voted
        raise AlreadyJudged
    with suppress(LeaseLost, HeldByOther):
        renew_comparison(comparison=comparison, membership=membership)
    said = {"choice": choice, "reason": reason}
    content = said | {"writer": page.writer, "step": page.step}
    is_known = Q(revision=revision)
    if page.writer:
        is_known |= Q(content__writer=page.writer, content__step__lt=page.step)
    rows = VoteDraft.objects.filter(comparison=comparison, person=user)
    n_saved = rows.filter(is_known).update(content=content, revision=F("revision") + 1, saved_at=timezone.now())
    draft = rows.first() or _begin(comparison, user, content)
    if not n_saved and _said(draft) != said:
        raise StaleVoteDraft(draft)
    return draft


def require_own_vote_draft(
    *, comparison: Comparison, user: User, choice: str, reason: str, revision: int, page: Page
) -> None:
    """Raise StaleVoteDraft where another page saved something else, and later, than what is about to be handed in."""
    draft = VoteDraft.objects.filter(comparison=comparison, person=user, revision__gt=revision).first()
    if draft is None or (page.writer and draft.content.get("writer") == page.writer):
        return
    if _said(draft) != {"choice": choice, "reason": reason}:
        raise StaleVoteDraft(draft)


def renew_comparison(*, comparison: Comparison, membership: Membership) -> Comparison:
    """Hold a comparison from now on for as long again; one whose lease ran out is taken again where it is free.

    Raises HeldByOther where somebody else is at it, and LeaseLost where it is not open, or was voted on or skipped.
    """
    user = membership.user
    rows = Comparison.objects.filter(pk=comparison.pk, project_id=membership.project_id).to_judge(user)
    ends = timezone.now() + timedelta(minutes=membership.project.lease_minutes)
    if not rows.filter(free_for(user)).update(leased_by=user, lease_expires_at=ends):
        comparison.refresh_from_db()
        if comparison.state == ComparisonState.OPEN and comparison.is_held_by_other(user):
            raise HeldByOther
        raise LeaseLost
    comparison.refresh_from_db()
    return comparison


def _said(draft: VoteDraft) -> dict[str, str]:
    return {name: draft.content.get(name, "") for name in ("choice", "reason")}


def _begin(comparison: Comparison, user: User, content: dict[str, object]) -> VoteDraft:
    """Make the draft, or return the one that another request made at the same moment."""
    try:
        with transaction.atomic():
            return VoteDraft.objects.create(comparison=comparison, person=user, content=content)
    except IntegrityError:
        return VoteDraft.objects.get(comparison=comparison, person=user)
