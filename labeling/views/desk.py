"""What the pages of writing share: the desk is the piece of the page that changes with the task."""

import uuid
from typing import Any

from django.db.models import BigAutoField
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import get_language_info

from common.conversations import Message
from common.diff import diff_turns
from common.htmx import render_page
from labeling.actions.draft import Page, save_draft
from labeling.actions.errors import AlreadyHandedIn, StaleDraft
from labeling.actions.thread import conversation_about, mark_as_read
from labeling.forms.task import ConversationForm
from labeling.models import Draft, InstructionVersion, Membership, Task
from labeling.queries import current_instructions, instructions_by_number, returned_submission
from labeling.states import TaskKind, TaskState

_FIND = f"""
    SELECT *, EXISTS (SELECT 1 FROM {Draft._meta.db_table} WHERE task_id = task.id AND user_id = %s) AS is_drafted
    FROM {Task._meta.db_table} AS task WHERE id = %s AND project_id = %s"""


def find_task(membership: Membership, pk: int) -> Task:
    """Return the project's task, and with it whether the person has a draft of it. Raises Http404."""
    values = [membership.user_id, pk, membership.project_id]
    task = next(iter(Task.objects.raw(_FIND, values)), None) if pk <= BigAutoField.MAX_BIGINT else None
    if task is None:
        raise Http404
    task.project = membership.project
    task.is_drafted = bool(task.is_drafted)  # SQLite has numbers for it
    return task


def page_of(form: ConversationForm) -> Page:
    """Return what a valid form says about the page that it comes from."""
    data = form.cleaned_data
    number = data.get("instructions")
    version = instructions_by_number(form.task.project, number) if number else None
    return Page(writer=data.get("writer", ""), step=data.get("step") or 0, version=version)


def desk(task: Task, membership: Membership, form: ConversationForm | None = None, **more: Any) -> dict[str, Any]:
    """Return what the editor shows: what was just typed (`form`), else the draft, else the text that was sent back."""
    user = membership.user
    draft = returned = None
    if not task.is_untouched:
        draft = Draft.objects.filter(task=task, user=user).select_related("instruction_version").first()
        returned = returned_submission(task, user)
    thread = list(conversation_about(returned).public()) if returned else []
    if thread:
        mark_as_read(comments=thread, by=user)
    if form is not None:
        own = form.own_turns
    elif draft is not None:
        own = draft.content["messages"][len(task.messages) :]
    else:
        own = returned.messages[len(task.messages) :] if returned else []
    current = task.in_force if task.is_untouched else current_instructions(task.project)
    pinned = draft.instruction_version if draft else _shown(form, current)
    is_newer = draft is not None and current is not None and (pinned is None or pinned.number < current.number)
    return {
        "task": task,
        "draft": draft,
        "returned": returned,
        "thread": thread,
        "form": form,
        "instructions": pinned or (None if draft else current),
        "language": _language_name(pinned.language) if pinned else "",
        "newer": current if is_newer else None,
        "news": form.data.get("news", "") if form else "",
        "idempotency_key": (form and form.data.get("idempotency_key")) or uuid.uuid4(),
        "revision": (form and form.data.get("revision")) or (draft.revision if draft else 0),
        "is_known": form is None or more.get("is_saved", False),
        "is_mine": task.state == TaskState.LEASED and task.leased_by_id == user.pk,
        "is_held_by_other": task.is_held_by_other(user),
        **split(task, own),
        **more,
    }


def _shown(form: ConversationForm | None, current: InstructionVersion | None) -> InstructionVersion | None:
    return page_of(form).version or current if form is not None and form.is_valid() else current


def _language_name(code: str) -> str:
    try:
        return str(get_language_info(code)["name_translated"]) if code else ""
    except KeyError:  # an ISO code that Django has no name for
        return code


def split(task: Task, own: list[Message]) -> dict[str, Any]:
    """Part what was typed into the system message and exchanges, which end with the assistant's turn.

    The answer to a task's prompt is an exchange of one turn, which stays the first.
    """
    system = own[0]["content"] if own and own[0]["role"] == "system" else ""
    texts = [turn["content"] for turn in own if turn["role"] != "system"]
    first = 1 if task.kind == TaskKind.ANSWER else 0
    while not texts or (first + len(texts)) % 2:
        texts.append("")
    turns = [
        {"number": n + 1, "role": ("user", "assistant")[(first + n) % 2], "content": text}
        for n, text in enumerate(texts)
    ]
    groups = [turns[:1]] if first else []
    groups += [turns[n : n + 2] for n in range(first, len(turns), 2)]
    exchanges = [
        {"number": n, "turns": group, "is_first": n == 1 + first, "is_last": n == len(groups), "is_fixed": n <= first}
        for n, group in enumerate(groups, 1)
    ]
    blank = {"number": 0, "turns": [{"number": 0, "role": role} for role in ("user", "assistant")]}
    return {"system": system, "exchanges": exchanges, "blank": blank}


def conflict(form: ConversationForm, draft: Draft) -> dict[str, Any]:
    """Return what shows a later text of the same draft beside the one in the form."""
    other = draft.content["messages"][len(form.task.messages) :]
    return {"conflict": draft, "other": other, "turn_diffs": diff_turns(form.own_turns, other)}


def save(request: HttpRequest, membership: Membership, form: ConversationForm) -> HttpResponse | None:
    """Save the draft; return None when it is saved, else the page that says why not and shows both texts."""
    if not form.is_valid():
        return saved_page(request, membership, form, 422)
    try:
        draft = save_draft(
            task=form.task,
            user=membership.user,
            messages=form.messages,
            revision=form.cleaned_data["revision"],
            page=page_of(form),
        )
    except StaleDraft as error:
        return saved_page(request, membership, form, 409, **conflict(form, error.draft))
    except AlreadyHandedIn as error:
        form.add_error(None, str(error))
        return saved_page(request, membership, form, 409)
    form.data["revision"] = str(draft.revision)
    return None


def saved_page(
    request: HttpRequest, membership: Membership, form: ConversationForm, status: int = 200, **more: Any
) -> HttpResponse:
    """Answer a save: with how it went, or with the whole page where there is no JavaScript."""
    context = desk(form.task, membership, form, **more)
    fragment = "labeling/_save_state.html"
    return render_page(request, "labeling/task_write.html", context, fragment=fragment, status=status)
