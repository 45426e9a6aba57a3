"""Writing: the next task, the editor, and everything that happens to a task while somebody works on it."""

import uuid
from contextlib import suppress
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from common.conversations import Message
from common.htmx import render_page
from labeling.actions.draft import discard_draft, save_draft
from labeling.actions.errors import (
    AlreadyHandedIn,
    LabelingError,
    LeaseLost,
    MustAcknowledge,
    NotAllowed,
    StaleDraft,
)
from labeling.actions.submission import submit
from labeling.actions.task import extend_lease, next_task, release_task, resume_task
from labeling.forms.task import ConversationForm
from labeling.models import Draft, Membership, Task
from labeling.queries import current_instructions, may_write, queue_standing, require_member, returned_submission
from labeling.states import TaskKind, TaskState


def _task(membership: Membership, pk: int) -> Task:
    task = get_object_or_404(membership.project.tasks.select_related("leased_by"), pk=pk)
    task.project = membership.project
    return task


def _editor(task: Task, membership: Membership, form: ConversationForm | None = None, **more: Any) -> dict[str, Any]:
    """Return what the editor shows: what was just typed (`form`), else the draft, else the text that was sent back."""
    user = membership.user
    draft = Draft.objects.filter(task=task, user=user).select_related("instruction_version").first()
    returned = returned_submission(task, user)
    if form is not None:
        text = form.messages
    elif draft is not None:
        text = draft.content["messages"]
    else:
        text = returned.messages if returned else task.messages
    pinned = draft.instruction_version if draft else None
    is_mine = task.state == TaskState.LEASED and task.leased_by_id == user.pk
    return {
        "task": task,
        "draft": draft,
        "returned": returned,
        "form": form,
        "instructions": pinned or current_instructions(task.project),
        "idempotency_key": (form and form.data.get("idempotency_key")) or uuid.uuid4(),
        "revision": (form and form.data.get("revision")) or (draft.revision if draft else 0),
        "is_mine": is_mine,
        "is_held_by_other": task.is_held_by_other(user),
        **_split(task, text),
        **more,
    }


def _split(task: Task, text: list[Message]) -> dict[str, Any]:
    """Part a conversation into the system message and the turns of the editor, which end with the assistant's."""
    own = text[len(task.messages) :]
    system = own[0]["content"] if own and own[0]["role"] == "system" else ""
    turns = [turn["content"] for turn in own if turn["role"] != "system"]
    first = 1 if task.kind == TaskKind.ANSWER else 0
    while not turns or (first + len(turns)) % 2:
        turns.append("")
    return {
        "system": system,
        "turns": [{"role": ("user", "assistant")[(first + n) % 2], "content": turn} for n, turn in enumerate(turns)],
    }


@require_GET
@never_cache
@login_required
def task_next(request: HttpRequest, slug: str) -> HttpResponse:
    """Hand out a task and go to its page; offer those in hand where a person may hold several; say why there is none."""
    membership = require_member(request, slug)
    project = membership.project
    wants_more = "another" in request.GET or "skipped" in request.GET
    if project.max_held > 1 and not wants_more:
        held = list(project.tasks.held_by(membership.user).order_by("pk"))
        if held:
            context = {"held": held, "n_more": max(0, project.max_held - len(held))}
            return render_page(request, "labeling/task_next.html", context)
    try:
        task = next_task(membership=membership, another=wants_more, is_skipped_welcome="skipped" in request.GET)
    except MustAcknowledge:
        return redirect(f"{reverse('labeling-instructions-show', args=[slug])}?next=write")
    if task is None:
        return render_page(request, "labeling/task_next.html", {"standing": queue_standing(membership)})
    return redirect("labeling-task-write", slug=slug, pk=task.pk)


@require_GET
@never_cache
@login_required
def task_write(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug)
    task = _task(membership, pk)
    if not may_write(task, membership.user):
        return redirect("labeling-task-next", slug=slug)
    return render_page(request, "labeling/task_write.html", _editor(task, membership))


@require_POST
@login_required
def task_submit(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug)
    task = _task(membership, pk)
    form = ConversationForm(request.POST, task=task)
    saved = False
    if form.is_valid():
        try:
            submission = submit(
                task=task,
                membership=membership,
                messages=form.finished_messages,
                idempotency_key=form.cleaned_data["idempotency_key"],
            )
        except LabelingError as error:
            saved = _keep_refused(task, membership, form)
            form.add_error(None, str(error))
        else:
            is_revision = submission.revision > 1
            messages.success(request, _("The revision is handed in.") if is_revision else _("Handed in."))
            return redirect("labeling-submission-list" if is_revision else "labeling-task-next", slug=slug)
    return render_page(
        request,
        "labeling/task_write.html",
        _editor(task, membership, form, is_saved=saved),
        fragment="labeling/_editor.html",
        status=422,
    )


def _keep_refused(task: Task, membership: Membership, form: ConversationForm) -> bool:
    """Save what could not be handed in as the draft, unless a later text is there; return whether it is saved."""
    with suppress(LabelingError):
        draft = save_draft(
            task=task, user=membership.user, messages=form.messages, revision=form.cleaned_data["revision"]
        )
        form.data["revision"] = str(draft.revision)
        return True
    return False


@require_POST
@login_required
def draft_save(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Keep what is typed; `action` may add a pair of turns to it or take the last pair away."""
    membership = require_member(request, slug)
    task = _task(membership, pk)
    form = ConversationForm(request.POST, task=task)
    action = request.POST.get("action")
    if action == "add":
        form.add_turns()
    elif action == "remove":
        form.remove_turns()
    return _save(request, membership, form) or _editor_page(request, membership, form, is_saved=True)


def _editor_page(
    request: HttpRequest, membership: Membership, form: ConversationForm, status: int = 200, **more: Any
) -> HttpResponse:
    context = _editor(form.task, membership, form, **more)
    fragment = "labeling/_save_state.html"
    return render_page(request, "labeling/task_write.html", context, fragment=fragment, status=status)


def _save(request: HttpRequest, membership: Membership, form: ConversationForm) -> HttpResponse | None:
    """Save the draft; return None when it is saved, else the page that says why not and shows both texts."""
    task = form.task
    if not form.is_valid():
        return _editor_page(request, membership, form, 422)
    try:
        draft = save_draft(
            task=task, user=membership.user, messages=form.messages, revision=form.cleaned_data["revision"]
        )
    except StaleDraft as error:
        other = error.draft.content["messages"][len(task.messages) :]
        return _editor_page(request, membership, form, 409, conflict=error.draft, other=other)
    except AlreadyHandedIn as error:
        form.add_error(None, str(error))
        return _editor_page(request, membership, form, 409)
    form.data["revision"] = str(draft.revision)
    return None


@require_POST
@login_required
def draft_discard(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug)
    task = _task(membership, pk)
    discard_draft(draft=get_object_or_404(Draft, task=task, user=membership.user))
    messages.success(request, _("The draft is gone."))
    return redirect("labeling-submission-list", slug=slug)


@require_POST
@login_required
def lease_extend(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """The person is at work: renew their lease. 409 when the task is not theirs any more; the words stay."""
    membership = require_member(request, slug)
    task = _task(membership, pk)
    try:
        task = extend_lease(task=task, user=membership.user, token=task.lease_token)
    except LeaseLost:
        context = {"task": task, "is_mine": False, "is_held_by_other": task.is_held_by_other(membership.user)}
        return render_page(request, "labeling/_lease.html", context, status=409)
    return render_page(request, "labeling/_lease.html", {"task": task, "is_mine": True})


@require_POST
@login_required
def task_release(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Keep what is written; then give the task back and go home, or with `action` skip ask why."""
    membership = require_member(request, slug)
    task = _task(membership, pk)
    form = ConversationForm(request.POST, task=task)
    if form.has_text:
        refusal = _save(request, membership, form)
        if refusal is not None:
            return refusal
        task.refresh_from_db()
    if request.POST.get("action") == "skip":
        return redirect("labeling-task-skip", slug=slug, pk=pk)
    with suppress(LeaseLost):  # it went already
        release_task(task=task, user=membership.user)
    return redirect("labeling-project-home", slug=slug)


@require_POST
@login_required
def task_resume(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Go on with a draft, with a fresh lease where the task is still free."""
    membership = require_member(request, slug)
    task = _task(membership, pk)
    get_object_or_404(Draft, task=task, user=membership.user)
    with suppress(NotAllowed):  # the page says so; handing in works all the same
        resume_task(task=task, membership=membership)
    return redirect("labeling-task-write", slug=slug, pk=pk)
