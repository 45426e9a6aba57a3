"""Two answers to one prompt, the votes on them, and the blind second reviews: judgements that several people give on one thing."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from labeling.models.instructions import InstructionVersion
from labeling.models.people import Membership, Project, User
from labeling.models.work import Leased, Review, Submission
from labeling.search_text import SearchTextField
from labeling.states import (
    ComparisonOutcome,
    ComparisonSource,
    ComparisonState,
    Settlement,
    Verdict,
    VoteChoice,
)


def free_for(user: User) -> Q:
    """Rows that no other person holds at the moment."""
    return Q(leased_by__isnull=True) | Q(leased_by=user) | Q(lease_expires_at__lte=timezone.now())


class ComparisonQuerySet(models.QuerySet["Comparison"]):
    def to_judge(self, user: User) -> "ComparisonQuerySet":
        """Open ones that the person may vote on: neither voted on, skipped nor written by them, whoever holds them."""
        of_user = {"comparison": models.OuterRef("pk"), "person": user}
        return self.filter(
            ~models.Exists(Vote.objects.filter(**of_user)),
            ~models.Exists(ComparisonSkip.objects.filter(**of_user)),
            Q(submission_a__isnull=True) | ~Q(submission_a__author=user),
            Q(submission_b__isnull=True) | ~Q(submission_b__author=user),
            state=ComparisonState.OPEN,
        )


class Comparison(Leased):
    """A prompt and two answers. `messages` is the prompt; where the answers come from is hidden from those who vote."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="comparisons")
    state = models.CharField(max_length=10, choices=ComparisonState.choices, default=ComparisonState.OPEN)
    messages = models.JSONField()
    answer_a = models.TextField()
    answer_b = models.TextField()
    origin_a = models.CharField(max_length=200, blank=True)
    origin_b = models.CharField(max_length=200, blank=True)
    submission_a = models.ForeignKey(Submission, models.PROTECT, null=True, related_name="+")
    submission_b = models.ForeignKey(Submission, models.PROTECT, null=True, related_name="+")
    source = models.CharField(max_length=12, choices=ComparisonSource.choices)
    prompt_hash = models.CharField(max_length=64)
    content_hash = models.CharField(max_length=64, help_text="of the prompt and both answers, in either order")
    n_people = models.PositiveSmallIntegerField(default=1, help_text="so many votes decide")
    outcome = models.CharField(max_length=10, choices=ComparisonOutcome.choices, blank=True)
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True)
    search_text = SearchTextField(sources=("messages", "answer_a", "answer_b"))

    objects = ComparisonQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["project", "state", "id"], name="comparison_queue")]
        constraints = [
            models.UniqueConstraint(fields=["project", "content_hash"], name="comparison_once"),
            models.CheckConstraint(condition=Q(n_people__gte=1), name="comparison_needs_a_person"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"

    def answer(self, side: str) -> str:
        """Return the answer of side "a" or "b"."""
        return self.answer_a if side == "a" else self.answer_b


class Vote(models.Model):
    """One person's judgement on a comparison. `first_side` is the answer that was shown first; `choice` speaks of places."""

    comparison = models.ForeignKey(Comparison, models.PROTECT, related_name="votes")
    person = models.ForeignKey(User, models.PROTECT, related_name="votes")
    instruction_version = models.ForeignKey(InstructionVersion, models.PROTECT, null=True, related_name="+")
    first_side = models.CharField(max_length=1, choices=[("a", "a"), ("b", "b")])
    choice = models.CharField(max_length=16, choices=VoteChoice.choices)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["comparison", "person"], name="vote_once")]

    @property
    def outcome(self) -> ComparisonOutcome:
        """What the vote says about the answers, wherever they were shown and however clear it was."""
        if self.choice in (VoteChoice.SAME, VoteChoice.BOTH_BAD):
            return ComparisonOutcome(self.choice)
        is_first = self.choice in (VoteChoice.FIRST_CLEARLY, VoteChoice.FIRST_SLIGHTLY)
        return ComparisonOutcome.A if is_first == (self.first_side == "a") else ComparisonOutcome.B

    @property
    def is_clear(self) -> bool:
        return self.choice in (VoteChoice.FIRST_CLEARLY, VoteChoice.SECOND_CLEARLY)


class ComparisonSkip(models.Model):
    """A person's reason for not judging a comparison; they are not asked again."""

    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="skips")
    person = models.ForeignKey(User, models.PROTECT, related_name="+")
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["comparison", "person"], name="comparison_skip_once")]


class VoteDraft(models.Model):
    """What a person is about to say of a comparison, kept until the vote. Expiry of the lease does not touch it."""

    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="drafts")
    person = models.ForeignKey(User, models.CASCADE, related_name="vote_drafts")
    content = models.JSONField(default=dict, help_text="{choice, reason, writer, step}")
    revision = models.PositiveIntegerField(default=1, help_text="grows by one with each save")
    saved_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["comparison", "person"], name="vote_draft_once")]


class SecondReviewQuerySet(models.QuerySet["SecondReview"]):
    def waiting_for(self, user: User) -> "SecondReviewQuerySet":
        """Drawn ones without a verdict that the person may judge: neither the author nor the first reviewer."""
        rows = self.filter(is_accepted__isnull=True).exclude(submission__author=user)
        return rows.exclude(submission__review__reviewer=user)

    def disagreeing(self, membership: Membership) -> "SecondReviewQuerySet":
        """Those whose verdict differs from the first, the newest first."""
        accepting = (Verdict.ACCEPT, Verdict.EDIT)
        differs = Q(is_accepted=False, submission__review__verdict__in=accepting) | (
            Q(is_accepted=True) & ~Q(submission__review__verdict__in=accepting)
        )
        return self.filter(differs, submission__project_id=membership.project_id).order_by("-pk")


class SecondReview(Leased):
    """A blind second verdict on a decided submission, drawn into the sample by hash. Empty until somebody gives it."""

    submission = models.OneToOneField(Submission, models.PROTECT, related_name="second_review")
    first = models.OneToOneField(Review, models.PROTECT, related_name="+")
    reviewer = models.ForeignKey(User, models.PROTECT, null=True, related_name="second_reviews")
    is_accepted = models.BooleanField(null=True)
    reason = models.TextField(blank=True)
    drawn_at = models.DateTimeField(auto_now_add=True)
    judged_at = models.DateTimeField(null=True)
    settlement = models.CharField(max_length=10, choices=Settlement.choices, blank=True)

    objects = SecondReviewQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["is_accepted", "submission"], name="second_review_queue")]
        constraints = [
            models.CheckConstraint(
                condition=Q(is_accepted__isnull=True, reviewer__isnull=True)
                | Q(is_accepted__isnull=False, reviewer__isnull=False),
                name="second_review_has_reviewer",
            )
        ]

    @property
    def verdict_label(self) -> str:
        return _("Accept") if self.is_accepted else _("Do not accept")
