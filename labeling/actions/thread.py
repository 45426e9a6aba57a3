"""The talk between an author and the reviewers about a submission, in general or about a passage."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils import timezone

from common.conversations import Message
from labeling.actions.errors import CommentNeeded
from labeling.models import Comment, Submission, User
from labeling.models.review import CommentQuerySet
from labeling.states import SubmissionState


@dataclass(frozen=True)
class Passage:
    """What is said about a part of a text: `quote` is what was selected in the message number `turn`, from `start`."""

    text: str
    turn: int | None = None
    quote: str = ""
    start: int | None = None


def add_comment(*, submission: Submission, by: User, text: str) -> Comment:
    """Say something about a submission; where it was revised, about the text that took its place.

    Raises CommentNeeded when nothing is said.
    """
    if not text.strip():
        raise CommentNeeded
    if submission.state == SubmissionState.REVISED:
        same = {"task_id": submission.task_id, "author_id": submission.author_id}
        submission = Submission.objects.filter(**same).order_by("-pk")[0]
    return Comment.objects.create(submission=submission, author=by, text=text.strip())


def add_passages(
    *, submission: Submission, by: User, passages: Iterable[Passage], is_internal: bool = False
) -> list[Comment]:
    """Keep what a reviewer said about passages, in their order; one that is not in the text is kept without its place."""
    rows = []
    for passage in passages:
        place = locate(submission.messages, passage)
        rows.append(
            Comment(
                submission=submission,
                author=by,
                text=passage.text.strip(),
                turn=passage.turn if passage.turn is not None and passage.turn < len(submission.messages) else None,
                quote=passage.quote,
                start=place[0] if place else None,
                end=place[1] if place else None,
                is_internal=is_internal,
            )
        )
    return Comment.objects.bulk_create(rows)


def locate(messages: list[Message], passage: Passage) -> tuple[int, int] | None:
    """Return where the quote stands in its turn: at the place that was named, else at the nearest one, None for nowhere."""
    if passage.turn is None or passage.turn >= len(messages) or not passage.quote:
        return None
    text, quote, near = messages[passage.turn]["content"], passage.quote, passage.start or 0
    if text[near : near + len(quote)] == quote:
        return near, near + len(quote)
    places = [start for start in (text.find(quote, near), text.rfind(quote, 0, near + len(quote))) if start >= 0]
    if not places:
        return None
    start = min(places, key=lambda place: abs(place - near))
    return start, start + len(quote)


def conversation_about(submission: Submission) -> CommentQuerySet:
    """Return the comments on all revisions of the same author's text, oldest first."""
    rows = Comment.objects.filter(submission__task_id=submission.task_id, submission__author_id=submission.author_id)
    return rows.select_related("author", "submission").order_by("pk")


def read_comments(*, submission: Submission, by: User) -> int:
    """Mark what the other side said about a text as read; return how much of it was new."""
    return mark_as_read(comments=conversation_about(submission), by=by)


def mark_as_read(*, comments: Iterable[Comment], by: User) -> int:
    """Mark those of the comments as read that the other side wrote; return how many were new.

    An author reads what reviewers wrote, a reviewer what the author wrote.
    """
    new = [each for each in comments if each.read_at is None]
    for_author = [each.pk for each in new if each.submission.author_id == by.pk != each.author_id]
    for_reviewers = [each.pk for each in new if each.submission.author_id == each.author_id != by.pk]
    if not for_author and not for_reviewers:
        return 0
    return Comment.objects.filter(pk__in=[*for_author, *for_reviewers]).update(read_at=timezone.now())
