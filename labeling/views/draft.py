"""What happens to a draft while somebody writes: saving, looking at it, switching its instructions, keeping the task."""

from contextlib import suppress

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from common.htmx import render_page
from labeling.actions.activity import record_activity
from labeling.actions.draft import discard_draft, switch_instructions
from labeling.actions.errors import HeldByOther, LeaseLost, NotAllowed
from labeling.actions.lease import renew_lease
from labeling.forms.task import ConversationForm
from labeling.models import Draft
from labeling.queries import require_member
from labeling.views.desk import desk, find_task, save, saved_page


@require_POST
@login_required
def draft_save(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Keep what is typed; `action` may add an exchange to it, take one away or move one."""
    membership = require_member(request, slug, allows_paused=True)
    record_activity(membership=membership)
    form = ConversationForm(request.POST, task=find_task(membership, pk))
    form.rearrange(request.POST.get("action", ""))
    return save(request, membership, form) or saved_page(request, membership, form, is_saved=True)


@require_POST
@login_required
def draft_preview(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Show one turn as Markdown: `action` is preview:2. Without JavaScript the draft is saved on the way."""
    membership = require_member(request, slug)
    form = ConversationForm(request.POST, task=find_task(membership, pk))
    texts = form.data.getlist("turn")
    number = request.POST.get("action", "").removeprefix("preview:")
    shown = int(number) if number.isdecimal() and int(number) <= len(texts) else 1
    if request.htmx:  # type: ignore[attr-defined]
        context = {"text": texts[shown - 1] if texts else ""}
        return render_page(request, "labeling/_turn_preview.html", context)
    return save(request, membership, form) or saved_page(request, membership, form, is_saved=True, previewed=shown)


@require_POST
@login_required
def draft_switch(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Save what is typed and go on with it by the instructions that were published meanwhile."""
    membership = require_member(request, slug)
    task = find_task(membership, pk)
    form = ConversationForm(request.POST, task=task)
    refusal = save(request, membership, form)
    if refusal is not None:
        refusal["HX-Retarget"], refusal["HX-Reswap"] = "#save-state", "innerHTML"
        return refusal
    with suppress(NotAllowed):  # switched in another window
        switch_instructions(draft=Draft.objects.get(task=task, user=membership.user), by=membership.user)
    context = desk(task, membership)
    return render_page(request, "labeling/task_write.html", context, fragment="labeling/_desk.html")


@require_POST
@login_required
def draft_discard(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug)
    task = find_task(membership, pk)
    discard_draft(draft=get_object_or_404(Draft, task=task, user=membership.user))
    messages.success(request, _("The draft is gone."))
    return redirect("labeling-submission-list", slug=slug)


@require_POST
@login_required
def lease_extend(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """The person is at work: renew their lease. 409 when the task is not theirs any more; the words stay."""
    membership = require_member(request, slug, allows_paused=True)
    record_activity(membership=membership)
    task = find_task(membership, pk)
    try:
        task = renew_lease(task=task, membership=membership)
    except (LeaseLost, HeldByOther):
        task.refresh_from_db()
        context = {"task": task, "is_mine": False, "is_held_by_other": task.is_held_by_other(membership.user)}
        return render_page(request, "labeling/_lease.html", context, status=409)
    return render_page(request, "labeling/_lease.html", {"task": task, "is_mine": True})
