"""Two answers side by side: making comparisons, handing them out, voting, and what a majority decides."""

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from common.conversations import ConversationError, Message, clean, digest
from common.states import move, record
from labeling.actions.errors import (
    AlreadyJudged,
    BadComparison,
    BadConversation,
    CommentNeeded,
    DuplicateComparison,
    MustAcknowledge,
    NotAllowed,
    OwnWork,
)
from labeling.models import (
    Comparison,
    ComparisonSkip,
    Membership,
    PreferencePair,
    Probe,
    Project,
    Submission,
    User,
    Vote,
)
from labeling.models.comparison import free_for
from labeling.queries import current_instructions, needs_acknowledgement
from labeling.states import COMPARISON_MOVES, ComparisonOutcome, ComparisonSource, ComparisonState, VoteChoice

NO_LEASE: dict[str, Any] = {"leased_by": None, "lease_token": None, "lease_expires_at": None}
SKIPS_TO_SET_ASIDE = 3
MAX_CHARACTERS = 100_000


def new_comparison(
    *,
    project: Project,
    messages: object,
    answers: tuple[str, str],
    origins: tuple[str, str] = ("", ""),
    source: ComparisonSource,
    n_people: int | None = None,
    submissions: tuple[Submission, Submission] | None = None,
    by: User | None = None,
) -> Comparison:
    """Return a checked comparison that is not saved yet.

    `messages` is a prompt that ends with the user, `answers` are texts. `n_people` is the project's number when None.
    Raises BadConversation, and BadComparison for answers that are equal, empty or too long, and for a prompt that is
    held out as a probe: what is tested is never trained on.
    """
    try:
        prompt = clean(messages, ends_with="user")
        texts = [clean([*prompt, _turn(text)], ends_with="assistant")[-1]["content"] for text in answers]
    except ConversationError as error:
        raise BadConversation("last_user" if error.code == "last_turn" else error.code) from None
    if texts[0].split() == texts[1].split():
        raise BadComparison
    if sum(len(text) for text in texts) + sum(len(turn["content"]) for turn in prompt) > MAX_CHARACTERS:
        raise BadComparison(_("This is longer than Emend can keep: at most 100,000 characters."))
    prompt_hash = digest(prompt)
    if _is_held_out(project, prompt_hash):
        raise BadComparison(_("This prompt is held out as a probe of a case, so no answer to it may be trained on."))
    return Comparison(
        project=project,
        messages=prompt,
        answer_a=texts[0],
        answer_b=texts[1],
        origin_a=origins[0][:200],
        origin_b=origins[1][:200],
        submission_a=submissions[0] if submissions else None,
        submission_b=submissions[1] if submissions else None,
        source=source,
        prompt_hash=prompt_hash,
        content_hash=digest([prompt, *sorted(texts)]),
        n_people=n_people or project.n_comparison_people,
        created_by=by,
    )


def create_comparison(
    *,
    project: Project,
    messages: object,
    answers: tuple[str, str],
    origins: tuple[str, str] = ("", ""),
    source: ComparisonSource,
    n_people: int | None = None,
    submissions: tuple[Submission, Submission] | None = None,
    by: User | None = None,
) -> Comparison:
    """Queue two answers to one prompt to be compared. Raises as `new_comparison` does, and DuplicateComparison."""
    row = new_comparison(
        project=project,
        messages=messages,
        answers=answers,
        origins=origins,
        source=source,
        n_people=n_people,
        submissions=submissions,
        by=by,
    )
    same = Comparison.objects.filter(project=project, content_hash=row.content_hash)
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        existing = same.first()
        if existing is None:
            raise
        raise DuplicateComparison(existing) from None
    return row


def _turn(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _is_held_out(project: Project, prompt_hash: str) -> bool:
    probes = Probe.objects.filter(prompt_hash=prompt_hash, test__project=project, test__is_active=True)
    return probes.exists()


def first_side(comparison: Comparison, user: User) -> str:
    """Return which answer this person sees first: drawn for each person and comparison, the same at every look."""
    drawn = salted_hmac("labeling.comparison.side", f"{comparison.pk}.{user.pk}").digest()[0]
    return "a" if drawn % 2 else "b"


def next_comparison(*, membership: Membership) -> Comparison | None:
    """Return a comparison that the person now holds: the one in their hands, one with their draft, or the next; else None.

    Nobody gets one that they voted on, skipped or wrote an answer of. Raises MustAcknowledge while the person has not
    read the instructions in force.
    """
    version = needs_acknowledgement(membership)
    if version is not None:
        raise MustAcknowledge(version)
    user, project = membership.user, membership.project
    rows = Comparison.objects.filter(project=project).to_judge(user)
    while True:
        with transaction.atomic():
            locked = rows.select_for_update(skip_locked=True, of=("self",)).order_by("pk")
            held = locked.filter(leased_by=user, lease_expires_at__gt=timezone.now())
            free = locked.filter(free_for(user))
            row = held.first() or free.filter(drafts__person=user).first() or free.first()
            if row is None:
                return None
            lease = {
                "leased_by": user,
                "lease_token": uuid.uuid4(),
                "lease_expires_at": timezone.now() + timedelta(minutes=project.lease_minutes),
            }
            mine = Comparison.objects.filter(free_for(user), pk=row.pk, state=ComparisonState.OPEN)
            if mine.update(**lease):
                for name, value in lease.items():
                    setattr(row, name, value)
                return row


def vote(*, comparison: Comparison, membership: Membership, choice: VoteChoice, reason: str = "") -> Vote:
    """Keep a person's judgement; the last one that is asked for decides the comparison.

    A vote after the lease ran out is kept all the same; one on a decided comparison counts for agreement only. The same
    vote again returns the first row. Raises AlreadyJudged for another vote, OwnWork, CommentNeeded where the project
    asks for a reason, and NotAllowed when the comparison has been taken out.
    """
    user, reason = membership.user, reason.strip()
    with transaction.atomic():
        row = Comparison.objects.select_for_update(of=("self",)).select_related("project").get(pk=comparison.pk)
        former = row.votes.filter(person=user).first()
        if former is not None:
            if (former.choice, former.reason) == (choice, reason):
                return former
            raise AlreadyJudged
        if row.state not in (ComparisonState.OPEN, ComparisonState.DECIDED):
            raise NotAllowed
        if _wrote(row, user):
            raise OwnWork
        if row.project.needs_comparison_reason and not reason:
            raise CommentNeeded(_("Say why, in a sentence."))
        mine = Vote.objects.create(
            comparison=row,
            person=user,
            instruction_version=current_instructions(row.project),
            first_side=first_side(row, user),
            choice=choice,
            reason=reason,
        )
        _give_back(row, user)
        row.drafts.filter(person=user).delete()
        if row.state == ComparisonState.OPEN:
            _decide_if_complete(row)
    return mine


def _wrote(comparison: Comparison, user: User) -> bool:
    pks = [comparison.submission_a_id, comparison.submission_b_id]
    return Submission.objects.filter(pk__in=[pk for pk in pks if pk], author=user).exists()


def _give_back(comparison: Comparison, user: User) -> None:
    Comparison.objects.filter(pk=comparison.pk, leased_by=user).update(**NO_LEASE)


def majority(outcomes: Sequence[ComparisonOutcome]) -> ComparisonOutcome:
    """Return what more than half of the votes say, SPLIT where nothing has that many."""
    said, n = Counter(outcomes).most_common(1)[0]
    return said if 2 * n > len(outcomes) else ComparisonOutcome.SPLIT


def _decide_if_complete(comparison: Comparison) -> None:
    votes = list(comparison.votes.all())
    if len(votes) < comparison.n_people:
        return
    outcome = majority([each.outcome for each in votes])
    move(
        comparison,
        ComparisonState.DECIDED,
        moves=COMPARISON_MOVES,
        reason=str(outcome),
        outcome=outcome,
        decided_at=timezone.now(),
        **NO_LEASE,
    )
    is_win = outcome in (ComparisonOutcome.A, ComparisonOutcome.B)
    if not is_win or _is_held_out(comparison.project, comparison.prompt_hash):  # a probe since it was made
        return
    a, b = comparison.answer_a, comparison.answer_b
    chosen, rejected = (a, b) if outcome == ComparisonOutcome.A else (b, a)
    PreferencePair.objects.create(
        project=comparison.project,
        comparison=comparison,
        messages=comparison.messages,
        chosen=chosen,
        rejected=rejected,
    )


def skip_comparison(*, comparison: Comparison, membership: Membership, reason: str) -> None:
    """Give a comparison back unjudged, for good as far as this person goes. The third person's skip sets it aside.

    Raises CommentNeeded without a reason, AlreadyJudged after a vote.
    """
    user, reason = membership.user, reason.strip()[:200]
    if not reason:
        raise CommentNeeded(_("Say why you cannot judge it, in a few words."))
    with transaction.atomic():
        row = Comparison.objects.select_for_update(of=("self",)).get(pk=comparison.pk)
        if row.votes.filter(person=user).exists():
            raise AlreadyJudged
        ComparisonSkip.objects.get_or_create(comparison=row, person=user, defaults={"reason": reason})
        _give_back(row, user)
        row.drafts.filter(person=user).delete()
        if row.state == ComparisonState.OPEN and row.skips.count() >= SKIPS_TO_SET_ASIDE:
            move(row, ComparisonState.SET_ASIDE, moves=COMPARISON_MOVES, by=user, reason=reason, **NO_LEASE)


def restore_comparison(*, comparison: Comparison, by: User) -> None:
    """Offer a comparison that was set aside to those who have not seen it. Raises StateError when it was not."""
    with transaction.atomic():
        move(comparison, ComparisonState.OPEN, moves=COMPARISON_MOVES, by=by)


def retire_comparison(*, comparison: Comparison, by: User, reason: str) -> None:
    """Take a comparison out for good; its preference pair is in no later dataset version. The votes stay.

    Raises CommentNeeded without a reason, StateError when it is out already or was decided meanwhile.
    """
    if not reason.strip():
        raise CommentNeeded(_("Say why, in a sentence."))
    with transaction.atomic():
        move(comparison, ComparisonState.RETIRED, moves=COMPARISON_MOVES, by=by, reason=reason.strip(), **NO_LEASE)
        pairs = PreferencePair.objects.filter(comparison=comparison, retracted_at__isnull=True)
        if pairs.update(retracted_at=timezone.now()):
            record(comparison, what="preference pair", before="in training", after="retracted", by=by)
