import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from labeling.models.instructions import InstructionVersion
from labeling.models.people import Membership, Project, User
from labeling.models.prompt_import import PromptImport
from labeling.models.tag import Tag
from labeling.search_text import SearchTextField
from labeling.states import RejectReason, SkipReason, SubmissionState, TaskKind, TaskState, Verdict


class Leased(models.Model):
    """A row that one person at a time works on. The lease runs out by itself; no process has to end it."""

    leased_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    lease_token = models.UUIDField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    def is_held_by_other(self, user: User) -> bool:
        """Whether somebody else's lease on the row still runs."""
        return bool(
            self.leased_by_id
            and self.leased_by_id != user.pk
            and self.lease_expires_at
            and self.lease_expires_at > timezone.now()
        )


class TaskQuerySet(models.QuerySet["Task"]):
    def available(self) -> "TaskQuerySet":
        """Open tasks, and those whose lease ran out. A person's copy of a gold task is for nobody else."""
        return self.filter(is_gold_copy=False).filter(
            Q(state=TaskState.OPEN) | Q(state=TaskState.LEASED, lease_expires_at__lte=timezone.now())
        )

    def held_by(self, user: User) -> "TaskQuerySet":
        return self.filter(state=TaskState.LEASED, leased_by=user, lease_expires_at__gt=timezone.now())


class Task(Leased):
    """A unit of writing, handed to one person at a time. `messages` is the prompt, empty for kind `write`."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="tasks")
    kind = models.CharField(max_length=10, choices=TaskKind.choices, default=TaskKind.ANSWER)
    state = models.CharField(max_length=10, choices=TaskState.choices, default=TaskState.OPEN)
    messages = models.JSONField(default=list, blank=True)
    prompt_hash = models.CharField(max_length=64, blank=True)
    position = models.BigIntegerField(default=0, help_text="smaller ones are handed out first; a skip moves to the end")
    n_people = models.PositiveSmallIntegerField(default=1, help_text="so many different people are to hand in")
    is_gold_copy = models.BooleanField(default=False, help_text="see GoldCopy")
    tags = models.ManyToManyField(Tag, related_name="tasks", blank=True)
    prompt_import = models.ForeignKey(PromptImport, models.SET_NULL, null=True, related_name="tasks")
    search_text = SearchTextField(sources=("messages",))
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    is_untouched = False  # set where it was handed out just now, to somebody who has no draft or submission of it
    in_force: InstructionVersion | None = None  # set there too: the instructions by which it is to be done
    is_drafted: bool | None = (
        None  # whether the person at work had a draft of it when it was read, where that was asked
    )

    objects = TaskQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "state", "kind", "position", "id"], name="task_queue"),
            models.Index(fields=["state", "lease_expires_at"], name="task_lapsing"),
            models.Index(fields=["leased_by", "state"], name="task_held"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "prompt_hash"], condition=Q(kind=TaskKind.ANSWER), name="task_prompt_once"
            ),
            models.CheckConstraint(
                condition=~Q(state=TaskState.LEASED)
                | Q(leased_by__isnull=False, lease_token__isnull=False, lease_expires_at__isnull=False),
                name="task_lease_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"


class Skip(models.Model):
    """Why somebody passed a task on. They get it again only when they ask for it.

    Once an admin has looked at the reasons and returned the task, the skips are settled: they do not count any more.
    """

    task = models.ForeignKey(Task, models.CASCADE, related_name="skips")
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    reason = models.CharField(max_length=16, choices=SkipReason.choices)
    comment = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    is_settled = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "user"], name="skip_once")]

    def __str__(self) -> str:
        return self.get_reason_display()


class Draft(models.Model):
    """What somebody is writing, kept on the server until it is handed in. Expiry of a lease does not touch it."""

    user = models.ForeignKey(User, models.CASCADE, related_name="drafts")
    task = models.ForeignKey(Task, models.CASCADE, null=True, blank=True, related_name="drafts")
    case = models.ForeignKey("labeling.Case", models.CASCADE, null=True, blank=True, related_name="drafts")
    instruction_version = models.ForeignKey(InstructionVersion, models.PROTECT, null=True, related_name="+")
    content = models.JSONField(default=dict, help_text="task: {messages}; case: {text, note, checks, probes}")
    revision = models.PositiveIntegerField(
        default=0, help_text="grows by one with each save; a save names the one it saw"
    )
    saved_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "task"], condition=Q(task__isnull=False), name="draft_task_once"),
            models.UniqueConstraint(fields=["user", "case"], condition=Q(case__isnull=False), name="draft_case_once"),
            models.CheckConstraint(condition=Q(task__isnull=False) ^ Q(case__isnull=False), name="draft_of_one_thing"),
        ]


class SubmissionQuerySet(models.QuerySet["Submission"]):
    def visible_to(self, membership: Membership) -> "SubmissionQuerySet":
        """Reviewers see all of the project but other people's gold work, which is graded blind; contractors their own."""
        rows = self.filter(project_id=membership.project_id)
        if membership.is_reviewer:
            return rows.filter(Q(is_gold=False) | Q(author_id=membership.user_id))
        return rows.filter(author_id=membership.user_id)

    def waiting(self) -> "SubmissionQuerySet":
        """Those that wait for a review; gold work waits for a grade instead."""
        return self.filter(state=SubmissionState.SUBMITTED, is_gold=False)

    def gradable_by(self, user: User) -> "SubmissionQuerySet":
        """Gold work that this reviewer may grade now: not their own, not graded by them, in nobody else's hands."""
        free = Q(leased_by__isnull=True) | Q(leased_by=user) | Q(lease_expires_at__lte=timezone.now())
        rows = self.filter(state=SubmissionState.SUBMITTED, is_gold=True).exclude(author=user)
        return rows.filter(free, ~models.Exists(user.grades.filter(submission=models.OuterRef("pk")))).order_by("pk")

    def reviewable_by(self, user: User) -> "SubmissionQuerySet":
        """Waiting ones, oldest first, never the reviewer's own, none that another reviewer holds or an admin has to decide."""
        return self.waiting().filter(needs_admin=False).free_for(user).order_by("pk")

    def escalated_to(self, user: User) -> "SubmissionQuerySet":
        """Those that came back too often: an admin decides, never on their own text."""
        return self.waiting().filter(needs_admin=True).free_for(user).order_by("pk")

    def free_for(self, user: User) -> "SubmissionQuerySet":
        free = Q(leased_by__isnull=True) | Q(leased_by=user) | Q(lease_expires_at__lte=timezone.now())
        return self.exclude(author=user).filter(free)


class Submission(Leased):
    """An immutable version of what a person handed in. The lease is the reviewer's."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="submissions")
    task = models.ForeignKey(Task, models.PROTECT, related_name="submissions")
    author = models.ForeignKey(User, models.PROTECT, related_name="submissions")
    instruction_version = models.ForeignKey(InstructionVersion, models.PROTECT, null=True, related_name="submissions")
    revision = models.PositiveIntegerField(default=1)
    previous = models.OneToOneField("self", models.PROTECT, null=True, related_name="next")
    messages = models.JSONField()
    state = models.CharField(max_length=12, choices=SubmissionState.choices, default=SubmissionState.SUBMITTED)
    is_gold = models.BooleanField(default=False, help_text="an answer to a gold task: graded, never trained on")
    idempotency_key = models.UUIDField(default=uuid.uuid4, unique=True)
    needs_admin = models.BooleanField(default=False, help_text="sent back too often: an admin decides")
    findings = models.JSONField(
        default=list, blank=True, help_text="what was found and handed in all the same, with why"
    )
    submitted_at = models.DateTimeField(auto_now_add=True)
    search_text = SearchTextField(sources=("messages",))

    objects = SubmissionQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "state", "id"], name="submission_queue"),
            models.Index(
                fields=["project", "id"],
                condition=Q(is_gold=True, state=SubmissionState.SUBMITTED),
                name="submission_to_grade",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task_id}.{self.revision}"


class Review(models.Model):
    """A reviewer's verdict on one submission. `messages` holds the edited conversation of "edit and accept"."""

    submission = models.OneToOneField(Submission, models.PROTECT, related_name="review")
    reviewer = models.ForeignKey(User, models.PROTECT, related_name="reviews")
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    reason = models.CharField(max_length=20, choices=RejectReason.choices, blank=True)
    comment = models.TextField(blank=True)
    messages = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
