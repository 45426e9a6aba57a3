from django.db import models
from django.db.models import F

from labeling.models.people import User
from labeling.models.work import Submission


class CommentQuerySet(models.QuerySet["Comment"]):
    def public(self) -> "CommentQuerySet":
        """Those that the author of the text may read."""
        return self.filter(is_internal=False)

    def unread_by_author(self) -> "CommentQuerySet":
        return self.public().filter(read_at__isnull=True).exclude(author_id=F("submission__author_id"))

    def unread_by_reviewers(self) -> "CommentQuerySet":
        return self.filter(read_at__isnull=True, author_id=F("submission__author_id"))


class Comment(models.Model):
    """One line of the talk between an author and the reviewers about a submission, where given about a passage of it.

    `turn` is the index of a message; `quote` its text from `start` to `end`, counted in characters. `read_at` is when the
    other side first saw it: the author, or any reviewer.
    """

    submission = models.ForeignKey(Submission, models.PROTECT, related_name="comments")
    author = models.ForeignKey(User, models.PROTECT, related_name="comments")
    text = models.TextField()
    turn = models.PositiveIntegerField(null=True)
    quote = models.TextField(blank=True)
    start = models.PositiveIntegerField(null=True)
    end = models.PositiveIntegerField(null=True)
    is_internal = models.BooleanField(default=False, help_text="said to the admin who decides, not to the author")
    read_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = CommentQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["submission", "read_at"], name="comment_unread")]


class ReviewDraft(models.Model):
    """What a reviewer is typing about a submission, kept until the decision: {verdict: {the fields of its form}}."""

    user = models.ForeignKey(User, models.CASCADE, related_name="review_drafts")
    submission = models.ForeignKey(Submission, models.CASCADE, related_name="review_drafts")
    content = models.JSONField(default=dict)
    revision = models.PositiveIntegerField(
        default=0, help_text="grows by one with each save; a save names the one it saw"
    )
    saved_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "submission"], name="review_draft_once")]
