"""What a reviewer's workplace shows: the queues with their filters, the place of a text in them, and the talk about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Exists, OuterRef, Prefetch, QuerySet
from django.utils import timezone

from common.diff import TurnDiff, diff_turns
from labeling.models import Case, Comment, Membership, Review, Submission, User
from labeling.models.work import SubmissionQuerySet
from labeling.states import SubmissionState

ROWS_BEFORE, ROWS_AFTER = 8, 24
# For lists of an author's submissions: what was said about each, as its `thread`.
THREAD = Prefetch("comments", Comment.objects.public().select_related("author").order_by("pk"), to_attr="thread")
UNDO_OFFERED_FOR = timedelta(minutes=10)
DECIDED = (SubmissionState.ACCEPTED, SubmissionState.RETURNED, SubmissionState.REJECTED)


@dataclass(frozen=True)
class Queue:
    """Which texts are listed: `tab` is waiting, escalated, answers or decided; the rest narrows it."""

    tab: str = "waiting"
    who: int | None = None
    is_again: bool = False
    is_mine: bool = False

    @property
    def query(self) -> str:
        """The filter as it stands in addresses, empty for the plain queue."""
        parts: dict[str, object] = {"tab": self.tab if self.tab != "waiting" else "", "who": self.who or ""}
        parts |= {"again": "on" if self.is_again else "", "mine": "on" if self.is_mine else ""}
        return urlencode({name: value for name, value in parts.items() if value})

    @property
    def is_narrowed(self) -> bool:
        return bool(self.who or self.is_again or self.is_mine)


def review_queue(membership: Membership, queue: Queue) -> SubmissionQuerySet:
    """Return the submissions of a tab, those that are decided youngest first, all others oldest first."""
    user, rows = membership.user, Submission.objects.visible_to(membership)
    if queue.tab == "escalated":
        rows = rows.escalated_to(user) if membership.is_admin else rows.none()
    elif queue.tab == "answers":
        rows = rows.filter(_has_answers()).exclude(author=user).order_by("pk")
    elif queue.tab == "decided":
        rows = rows.filter(review__reviewer=user).order_by("-pk")
    else:
        rows = rows.reviewable_by(user)
    if queue.who:
        rows = rows.filter(author_id=queue.who)
    if queue.is_again:
        rows = rows.filter(revision__gt=1)
    if queue.is_mine:
        same = Review.objects.filter(submission__task=OuterRef("task"), submission__author=OuterRef("author"))
        rows = rows.filter(Exists(same.filter(reviewer=user)))
    return rows


def _has_answers() -> Exists:
    return Exists(Comment.objects.unread_by_reviewers().filter(submission=OuterRef("pk")))


def queue_counts(membership: Membership) -> dict[str, int]:
    """Return how many rows wait behind each tab, without its filters."""
    tabs = ("waiting", "answers", *(("escalated",) if membership.is_admin else ()))
    counts = {tab: review_queue(membership, Queue(tab)).count() for tab in tabs}
    counts["cases"] = cases_to_correct(membership).count()
    return counts


def unread_by_author(membership: Membership) -> list[tuple[str, str, int]]:
    """Return how many comments of reviewers the person has not seen: (state, its label, number) of their texts."""
    rows = Comment.objects.unread_by_author().filter(
        submission__project_id=membership.project_id, submission__author=membership.user
    )
    rows = rows.exclude(submission__state=SubmissionState.REVISED)  # shown with the text that took its place
    n_by_state = rows.order_by("submission__state").values_list("submission__state").annotate(n=Count("pk"))
    return [(state, str(SubmissionState(state).label), n) for state, n in n_by_state]


def cases_to_correct(membership: Membership) -> QuerySet[Case]:
    return Case.objects.filter(project_id=membership.project_id).queue_of(membership.user)


def authors_waiting(membership: Membership) -> list[User]:
    """Return the people whose texts wait for a review by somebody else than themselves."""
    waiting = Submission.objects.filter(project_id=membership.project_id).waiting()
    return list(User.objects.filter(pk__in=waiting.values("author_id")).exclude(pk=membership.user_id).order_by("name"))


@dataclass(frozen=True)
class Window:
    """The part of a queue around one submission, and its neighbours."""

    rows: Sequence[Submission] = field(default_factory=list)
    before: Submission | None = None
    after: Submission | None = None
    has_more: bool = False


def queue_window(membership: Membership, queue: Queue, current: Submission | None = None) -> Window:
    """Return the rows around the current one, which has its place among them also when it is decided or held by somebody."""
    rows = review_queue(membership, queue).annotate(has_answer=_has_answers()).select_related("author")
    if current is None:
        found = list(rows[: ROWS_AFTER + 1])
        return Window(found[:ROWS_AFTER], None, found[0] if found else None, len(found) > ROWS_AFTER)
    is_falling = queue.tab == "decided"
    earlier = rows.filter(pk__gt=current.pk) if is_falling else rows.filter(pk__lt=current.pk)
    later = rows.filter(pk__lt=current.pk) if is_falling else rows.filter(pk__gt=current.pk)
    first = list(reversed(earlier.reverse()[:ROWS_BEFORE]))
    then = list(later[: ROWS_AFTER + 1])
    return Window(
        [*first, current, *then[:ROWS_AFTER]],
        first[-1] if first else None,
        then[0] if then else None,
        len(then) > ROWS_AFTER,
    )


def last_decision(membership: Membership) -> Review | None:
    """Return the person's latest decision while it is offered to be undone."""
    rows = Review.objects.filter(reviewer=membership.user, submission__project_id=membership.project_id)
    review = rows.select_related("submission__author").order_by("-pk").first()
    if review is None or timezone.now() - review.created_at > UNDO_OFFERED_FOR:
        return None
    return review if review.submission.state in DECIDED else None


@dataclass(frozen=True)
class Former:
    """An earlier revision, what was said about it, and what the next revision changed."""

    submission: Submission
    review: Review | None
    comments: list[Comment]
    changes: list[TurnDiff]


def former_revisions(submission: Submission, comments: list[Comment]) -> list[Former]:
    """Return the author's earlier texts for the task, youngest first."""
    rows = Submission.objects.filter(
        task_id=submission.task_id, author_id=submission.author_id, pk__lt=submission.pk
    ).select_related("review__reviewer")
    former, following = [], submission
    for row in rows.order_by("-pk"):
        said = [comment for comment in comments if comment.submission_id == row.pk]
        changes = diff_turns(row.messages, following.messages)
        former.append(Former(row, getattr(row, "review", None), said, [turn for turn in changes if turn.is_changed]))
        following = row
    return former


def newest_revision(submission: Submission) -> Submission:
    """Return the author's latest text for the same task, which may be the submission itself."""
    rows = Submission.objects.filter(task_id=submission.task_id, author_id=submission.author_id)
    return rows.select_related("review__reviewer", "leased_by").order_by("-pk")[0]


def mark_passages(submission: Submission, comments: list[Comment]) -> list[dict[str, Any]]:
    """Return the turns for reading: {role, parts, comments}, each part a text with the number of its comment or None.

    Where two passages overlap, the later begins where the earlier ends. The numbers count over the whole text.
    """
    turns = []
    placed = [each for each in comments if each.submission_id == submission.pk and each.turn is not None]
    numbers = {each.pk: number for number, each in enumerate(sorted(placed, key=lambda c: (c.turn, c.start or 0)), 1)}
    for index, message in enumerate(submission.messages):
        text, at, parts = message["content"], 0, []
        here = sorted((each for each in placed if each.turn == index), key=lambda each: numbers[each.pk])
        for each in here:
            start, end = max(at, each.start or 0), each.end or 0
            if start >= end or each.start is None:
                continue
            parts += [{"text": text[at:start], "number": None}, {"text": text[start:end], "number": numbers[each.pk]}]
            at = end
        parts.append({"text": text[at:], "number": None})
        turns.append(
            {
                "role": message["role"],
                "parts": [part for part in parts if part["text"]],
                "comments": [{"row": each, "number": numbers[each.pk]} for each in here],
            }
        )
    return turns
