"""Writing: the next task, its page, handing in, giving back."""

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

from common.htmx import render_page
from labeling.actions.activity import record_activity
from labeling.actions.draft import save_draft
from labeling.actions.errors import (
    HasFindings,
    LabelingError,
    LeaseLost,
    MustAcknowledge,
    NotAllowed,
    NotQualified,
    StaleDraft,
)
from labeling.actions.submission import submit
from labeling.actions.task import next_task, release_task, resume_task
from labeling.forms.task import ConversationForm
from labeling.models import Draft, Membership, Submission
from labeling.queries import may_write, queue_standing, require_member
from labeling.views.desk import conflict, desk, find_task, page_of, save
from labeling.views.finding import show_in_editor


@require_GET
@never_cache
@login_required
def task_next(request: HttpRequest, slug: str) -> HttpResponse:
    """Hand out a task and show its page, which gives itself the address of its own; offer those in hand where a person may hold several; say why there is none."""
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
    except NotQualified:
        return redirect("labeling-qualification-show", slug=slug)
    if task is None:
        return render_page(request, "labeling/task_next.html", {"standing": queue_standing(membership)})
    response = render_page(request, "labeling/task_write.html", desk(task, membership))
    response["Content-Location"] = reverse("labeling-task-write", args=[slug, task.pk])
    return response


@require_GET
@never_cache
@login_required
def task_write(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug)
    task = find_task(membership, pk)
    if not may_write(task, membership.user):
        if task.submissions.filter(author=membership.user).exists():
            messages.info(request, _("You have handed that text in; it is under My work. Here is your next task."))
        return redirect("labeling-task-next", slug=slug)
    return render_page(request, "labeling/task_write.html", desk(task, membership))


@require_POST
@login_required
def task_submit(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Hand in and show the next task; to a page that only asks whether the text has arrived (`then=stay`), 204."""
    membership = require_member(request, slug, allows_paused=True)
    record_activity(membership=membership)
    task = find_task(membership, pk)
    form = ConversationForm(request.POST, task=task)
    more: dict[str, Any] = {"is_saved": False}
    status = 422
    if form.is_valid():
        try:
            submission = submit(
                task=task,
                membership=membership,
                messages=form.finished_messages,
                idempotency_key=form.cleaned_data["idempotency_key"],
                revision=form.cleaned_data["revision"],
                page=page_of(form),
                overrides=form.overrides,
            )
        except StaleDraft as error:
            more, status = conflict(form, error.draft), 409
        except LabelingError as error:
            more["is_saved"] = _keep_refused(membership, form)
            if isinstance(error, HasFindings):
                more["findings"] = show_in_editor(error.findings, form=form, membership=membership)
            else:
                form.add_error(None, str(error))
        else:
            return _handed_in(request, membership, submission)
    context = desk(task, membership, form, **more)
    return render_page(request, "labeling/task_write.html", context, fragment="labeling/_desk.html", status=status)


def _handed_in(request: HttpRequest, membership: Membership, submission: Submission) -> HttpResponse:
    """Answer with the next task's desk in the same breath; without htmx, or where there is none, with a redirect."""
    slug = membership.project.slug
    if request.POST.get("then") == "stay":
        return HttpResponse(status=204)
    if submission.revision > 1:
        messages.success(request, _("The revision is handed in."))
        return redirect("labeling-submission-list", slug=slug)
    messages.success(request, _("Handed in."))
    task = None
    if request.htmx:  # type: ignore[attr-defined]
        with suppress(NotAllowed):  # instructions to read, gold work to be graded: its own page says so
            task = next_task(membership=membership)
    if task is None:
        return redirect("labeling-task-next", slug=slug)
    task.project = membership.project
    context = desk(task, membership) | {"is_fresh": True}
    response = render_page(request, "labeling/task_write.html", context, fragment="labeling/_desk.html")
    response["HX-Push-Url"] = reverse("labeling-task-write", args=[slug, task.pk])
    return response


def _keep_refused(membership: Membership, form: ConversationForm) -> bool:
    """Save what could not be handed in as the draft, unless a later text is there; return whether it is saved."""
    with suppress(LabelingError):
        draft = save_draft(
            task=form.task,
            user=membership.user,
            messages=form.messages,
            revision=form.cleaned_data["revision"],
            page=page_of(form),
        )
        form.data["revision"] = str(draft.revision)
        return True
    return False


@require_POST
@login_required
def task_release(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Keep what is written; then give the task back and go home, or with `action` skip ask why."""
    membership = require_member(request, slug)
    record_activity(membership=membership)
    task = find_task(membership, pk)
    form = ConversationForm(request.POST, task=task)
    if form.has_text:
        refusal = save(request, membership, form)
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
    task = find_task(membership, pk)
    get_object_or_404(Draft, task=task, user=membership.user)
    with suppress(NotAllowed):  # the page says so; handing in works all the same
        resume_task(task=task, membership=membership)
    return redirect("labeling-task-write", slug=slug, pk=pk)
