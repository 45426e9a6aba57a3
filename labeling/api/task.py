"""Tasks and drafts: the queue, one's own task, what is being written."""

from typing import Any

from django.db.models import Count
from rest_framework import serializers

from common.conversations import ConversationError, clean
from labeling.actions.activity import record_activity
from labeling.actions.draft import discard_draft, save_draft, switch_instructions
from labeling.actions.errors import BadConversation
from labeling.actions.lease import renew_lease
from labeling.actions.tag import put_tag, take_tag
from labeling.actions.task import (
    AddedPrompts,
    add_prompts,
    next_task,
    release_task,
    resume_task,
    retire_task,
    return_task,
    skip_task,
    take_away,
)
from labeling.api.criteria import RowsAsked, found
from labeling.api.endpoint import Call, operation
from labeling.api.example import TagAsked
from labeling.api.shapes import DraftShape, SkipShape, TagNames, TaskShape, Turn
from labeling.models import Draft, Tag, Task
from labeling.queries import may_write
from labeling.states import Role, SkipReason, TaskState

MAX_PROMPTS = 1000


class TasksAsked(RowsAsked):
    state = serializers.ChoiceField(required=False, choices=TaskState.choices)


class TaggedTask(TagNames, TaskShape):
    class Meta(TaskShape.Meta):
        fields = [*TaskShape.Meta.fields, "tags"]


class TaskAside(TaggedTask):
    skips = SkipShape(many=True)

    class Meta(TaggedTask.Meta):
        fields = [*TaggedTask.Meta.fields, "skips"]


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


class TagShape(serializers.ModelSerializer):
    n_tasks = serializers.IntegerField()
    n_examples = serializers.IntegerField()

    class Meta:
        model = Tag
        fields = ["id", "name", "n_tasks", "n_examples"]


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


@operation(Role.ADMIN, query=TasksAsked, answer=TaggedTask, is_list=True)
def task_list(call: Call) -> dict[str, Any]:
    """List the tasks of the queue, the newest first."""
    rows = found(call, "tasks").select_related("leased_by").prefetch_related("tags")
    state = call.query.get("state")
    return call.page(rows.filter(state=state) if state else rows)


@operation(Role.ADMIN, answer=TaskAside, is_list=True)
def task_aside(call: Call) -> dict[str, Any]:
    """List the tasks that were set aside after three skips, with everybody's reason."""
    rows = call.project.tasks.filter(state=TaskState.ASIDE).select_related("leased_by")
    return call.page(rows.prefetch_related("tags", "skips__user"))


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


@operation(answer=TaskShape)
def task_resume(call: Call, pk: int) -> Task:
    """Take a task again of which one has a draft, or whose text came back."""
    record_activity(membership=call.membership)
    return resume_task(task=find_task(call, pk), membership=call.membership)


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


@operation(Role.ADMIN, body=TagAsked, answer=TaggedTask)
def task_tag(call: Call, pk: int) -> Task:
    """Put a tag on a task."""
    task = find_task(call, pk)
    put_tag(row=task, name=call.body["name"], by=call.user)
    return task


@operation(Role.ADMIN, body=TagAsked, answer=TaggedTask)
def task_untag(call: Call, pk: int) -> Task:
    """Take a tag off a task."""
    task = find_task(call, pk)
    take_tag(row=task, name=call.body["name"], by=call.user)
    return task


@operation(Role.REVIEWER, answer=TagShape, is_list=True)
def tag_list(call: Call) -> dict[str, Any]:
    """List the project's tags, with how many tasks and examples carry them."""
    tasks, examples = Count("tasks", distinct=True), Count("examples", distinct=True)
    return call.page(call.project.tags.annotate(n_tasks=tasks, n_examples=examples))


@operation(answer=DraftShape)
def draft_switch(call: Call, pk: int) -> Draft:
    """Go on with a draft by the instructions that were published since."""
    draft = call.find(Draft.objects.select_related("task__project"), task=find_task(call, pk), user=call.user)
    return switch_instructions(draft=draft, by=call.user)


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
