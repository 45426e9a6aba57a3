import zlib

from django.db import models

from deployment.models.release import Deployment
from deployment.states import CompletionState
from labeling.models import ApiKey, Case, Membership, Project, User
from training.models import TunedModel


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def visible_to(self, membership: Membership) -> "ConversationQuerySet":
        """Everybody sees their own chats only."""
        return self.filter(project_id=membership.project_id, user_id=membership.user_id)


class Conversation(models.Model):
    """A chat of one person. `targets` names who answers, one or two side by side: "assistant", a base model's slug or a model's name."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="conversations")
    user = models.ForeignKey(User, models.CASCADE, related_name="conversations")
    title = models.CharField(max_length=120, blank=True)
    targets = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ConversationQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at"]


class CompletionQuerySet(models.QuerySet["Completion"]):
    def visible_to(self, membership: Membership) -> "CompletionQuerySet":
        """Reviewers see the project's log, others their own."""
        rows = self.filter(project_id=membership.project_id)
        return rows if membership.is_reviewer else rows.filter(user_id=membership.user_id)

    def to_examine(self) -> "CompletionQuerySet":
        """The finished ones that no detector has looked at, the oldest first."""
        return self.filter(is_examined=False).exclude(state=CompletionState.STREAMING).order_by("pk")


class Completion(models.Model):
    """One logged answer. The row exists before the first token, so that an answer cut off by a crash is in the log too."""

    key = models.CharField(max_length=60, unique=True, help_text="chatcmpl-...")
    project = models.ForeignKey(Project, models.CASCADE, related_name="completions")
    deployment = models.ForeignKey(Deployment, models.SET_NULL, null=True, related_name="completions")
    tuned_model = models.ForeignKey(TunedModel, models.SET_NULL, null=True, related_name="completions")
    model_name = models.CharField(max_length=200, help_text="who answered, kept as text")
    conversation = models.ForeignKey(Conversation, models.SET_NULL, null=True, related_name="completions")
    side = models.PositiveSmallIntegerField(default=0, help_text="column of a side-by-side chat")
    thread = models.CharField(
        max_length=16, blank=True, help_text="hash of the conversation: the same in all its turns"
    )
    user = models.ForeignKey(User, models.SET_NULL, null=True, related_name="completions")
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="completions")
    is_stored = models.BooleanField(default=False, help_text="asked for with `store`: the API lists it")
    metadata = models.JSONField(null=True, help_text="what the API's caller put beside it")
    messages = models.JSONField()
    response = models.TextField(blank=True)
    parameters = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=CompletionState.choices, default=CompletionState.STREAMING)
    finish_reason = models.CharField(max_length=20, blank=True)
    error = models.CharField(max_length=500, blank=True)
    n_prompt_tokens = models.PositiveIntegerField(null=True)
    n_completion_tokens = models.PositiveIntegerField(null=True)
    time_to_first_token_s = models.FloatField(null=True)
    duration_s = models.FloatField(null=True)
    mean_logprob = models.FloatField(
        null=True, help_text="of its tokens, in nats: how sure the model was; null: the engine does not say"
    )
    rating = models.SmallIntegerField(default=0, help_text="1 thumbs up, -1 thumbs down")
    case = models.ForeignKey(Case, models.SET_NULL, null=True, related_name="completions")
    is_examined = models.BooleanField(default=False, help_text="the detectors have looked at it")
    is_tended = models.BooleanField(default=False, help_text="treated as the project's LogSettings say")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = CompletionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["project", "created_at"], name="completion_log"),
            models.Index(fields=["id"], condition=models.Q(is_examined=False), name="completion_unexamined"),
            models.Index(fields=["project", "id"], condition=models.Q(is_tended=False), name="completion_untended"),
        ]

    def is_in_sample(self, percent: int) -> bool:
        """Whether its conversation is one of `percent` of 100 whose texts are kept."""
        return zlib.crc32((self.thread or self.key).encode()) % 100 < percent

    @property
    def question(self) -> str:
        """The last turn of the prompt."""
        return self.messages[-1]["content"] if self.messages else ""
