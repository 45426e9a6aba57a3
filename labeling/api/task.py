"""Tasks and drafts: the queue, one's own task, what is being written."""

from typing import Any

from rest_framework import serializers

from common.conversations import ConversationError, clean
from labeling.actions.activity import record_activity
from labeling.actions.draft import discard_draft, save_draft
from labeling.actions.errors import BadConversation
from labeling.actions.lease import renew_lease
from labeling.actions.task import (
    AddedPrompts,
    add_prompts,
    next_task,
    release_task,
    retire_task,
    return_task,
    skip_task,
    take_away,
)
from labeling.api.endpoint import Call, PageAsked, operation
from labeling.api.shapes import DraftShape, TaskShape, Turn
from labeling.models import Draft, Task
from labeling.queries import may_write, with_words
from labeling.states import Role, SkipReason, TaskState

MAX_PROMPTS = 1000


class TasksAsked(PageAsked):
    state = serializers.ChoiceField(required=False, choices=TaskState.choices)
    q = serializers.CharField(required=False, max_length=200, help_text="words of the prompt")


class PromptsAsked(serializers.Serializer):
    prompts = serializers.ListField(
        child=Turn(many=True, allow_empty=False),
        min_length=1,
        max_length=MAX_PROMPTS,
        help_text="they end with the user",
    )


class PromptsAdded(serializers.Serializer):
    n_added = serializers.IntegerField()
    n_duplicates = serializers.IntegerField()


class NextAsked(serializers.Serializer):
    another = serializers.BooleanField(required=False, default=False, help_text="one more than those held")
    is_skipped_welcome = serializers.BooleanField(required=False, default=False)


class SkipAsked(serializers.Serializer):
    reason = serializers.ChoiceField(choices=SkipReason.choices)
    comment = serializers.CharField(required=False, allow_blank=True, default="", max_length=1000)


class DraftAsked(serializers.Serializer):
    messages = Turn(many=True)
    revision = serializers.IntegerField(min_value=0, max_value=2**31 - 1, help_text="of the draft you know, 0: none")


class NextTask(serializers.Serializer):
    task = TaskShape(allow_null=True, help_text="null when there is no work")


def find_task(call: Call, pk: int) -> Task:
    task = call.find(call.project.tasks.select_related("leased_by"), pk=pk)
    task.project = call.project
    return task


def _own_task(call: Call, pk: int) -> Task:
    """Return a task on the person's desk; others are there for admins only."""
    task = find_task(call, pk)
    if not may_write(task, call.user) and not call.membership.is_admin:
        call.find(Task.objects.none())
    return task


@operation(Role.ADMIN, query=TasksAsked, answer=TaskShape, is_list=True)
def task_list(call: Call) -> dict[str, Any]:
    """List the tasks of the queue, the newest first."""
    rows = call.project.tasks.filter(is_gold_copy=False).select_related("leased_by")
    if state := call.query.get("state"):
        rows = rows.filter(state=state)
    if words := call.query.get("q"):
        rows = with_words(rows, words)
    return call.page(rows)


@operation(Role.ADMIN, body=PromptsAsked, answer=PromptsAdded, status=201)
def task_add(call: Call) -> AddedPrompts:
    """Add prompts to be answered; those that are there already are counted."""
    try:
        prompts = [clean(prompt, ends_with="user") for prompt in call.body["prompts"]]
    except ConversationError as error:
        raise BadConversation("last_user" if error.code == "last_turn" else error.code) from None
    return add_prompts(project=call.project, prompts=prompts, by=call.user)


@operation(body=NextAsked, answer=NextTask)
def task_next(call: Call) -> dict[str, Task | None]:
    """Take the next task, or the one held already."""
    record_activity(membership=call.membership)
    return {"task": next_task(membership=call.membership, **call.body)}


@operation(answer=TaskShape)
def task_show(call: Call, pk: int) -> Task:
    """Show a task on one's desk; admins see all."""
    return _own_task(call, pk)


@operation(answer=TaskShape, allows_paused=True)
def task_renew(call: Call, pk: int) -> Task:
    """Renew the lease while at work."""
    record_activity(membership=call.membership)
    return renew_lease(task=find_task(call, pk), membership=call.membership)


@operation()
def task_release(call: Call, pk: int) -> None:
    """Give a task back to the queue."""
    release_task(task=find_task(call, pk), user=call.user)


@operation(body=SkipAsked)
def task_skip(call: Call, pk: int) -> None:
    """Pass a task on, with a reason."""
    skip_task(task=find_task(call, pk), user=call.user, **call.body)


@operation(Role.ADMIN, answer=TaskShape)
def task_retire(call: Call, pk: int) -> Task:
    """Take a task out of the queue for good."""
    task = find_task(call, pk)
    retire_task(task=task, by=call.user)
    return task


@operation(Role.ADMIN, answer=TaskShape)
def task_take_away(call: Call, pk: int) -> Task:
    """Free a task that somebody holds; their draft stays."""
    task = find_task(call, pk)
    take_away(task=task, by=call.user)
    task.refresh_from_db()
    return task


@operation(Role.ADMIN, answer=TaskShape)
def task_return(call: Call, pk: int) -> Task:
    """Offer a task again that was set aside after three skips."""
    task = find_task(call, pk)
    return_task(task=task, by=call.user)
    return task


@operation(answer=DraftShape)
def draft_show(call: Call, pk: int) -> Draft:
    """Show one's own draft of a task."""
    return call.find(Draft.objects.select_related("instruction_version"), task=find_task(call, pk), user=call.user)


@operation(body=DraftAsked, answer=DraftShape, allows_paused=True)
def draft_save(call: Call, pk: int) -> Draft:
    """Keep an unfinished text; a later one is never overwritten."""
    record_activity(membership=call.membership)
    return save_draft(task=_own_task(call, pk), user=call.user, **call.body)


@operation()
def draft_discard(call: Call, pk: int) -> None:
    """Throw a draft away."""
    discard_draft(draft=call.find(Draft.objects.all(), task=find_task(call, pk), user=call.user))
