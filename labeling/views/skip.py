"""Skipping a task, and what admins do with tasks that three people skipped."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import render_page
from common.pagination import paginate
from common.states import StateError
from labeling.actions.activity import record_activity
from labeling.actions.errors import CommentNeeded, HeldByOther, LeaseLost, NotAllowed
from labeling.actions.task import retire_task, return_task, skip_task, take_away
from labeling.forms.skip import SkipForm
from labeling.models import Task, User
from labeling.queries import require_member
from labeling.states import Role, TaskState


@require_http_methods(["GET", "POST"])
@never_cache
@login_required
def task_skip(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Ask why; then pass the task on and take the next."""
    membership = require_member(request, slug)
    task = get_object_or_404(membership.project.tasks, pk=pk)
    if task.state != TaskState.LEASED or task.leased_by_id != membership.user.pk:
        return redirect("labeling-task-next", slug=slug)
    record_activity(membership=membership)
    form = SkipForm(request.POST or None)
    if form.is_valid():
        try:
            skip_task(task=task, user=membership.user, **form.cleaned_data)
            messages.success(request, _("Skipped. Here is the next one."))
            return redirect("labeling-task-next", slug=slug)
        except LeaseLost:
            return redirect("labeling-task-next", slug=slug)
        except CommentNeeded as error:
            form.add_error("comment", str(error))
    status = 422 if request.method == "POST" else 200
    context = {"task": task, "form": form}
    return render_page(request, "labeling/task_skip.html", context, fragment="labeling/_skip_form.html", status=status)


@require_GET
@login_required
def skip_list(request: HttpRequest, slug: str) -> HttpResponse:
    """The tasks that were set aside, with everybody's reason."""
    membership = require_member(request, slug, Role.ADMIN)
    rows = membership.project.tasks.filter(state=TaskState.ASIDE).prefetch_related("skips__user")
    context = {"page": paginate(request, rows.order_by("position", "pk"), size=20)}
    return render_page(request, "labeling/skip_list.html", context)


def _decide(request: HttpRequest, slug: str, pk: int, decide: Callable[[Task, User], None], done: str) -> None:
    membership = require_member(request, slug, Role.ADMIN)
    record_activity(membership=membership)
    task = get_object_or_404(membership.project.tasks.select_related("leased_by"), pk=pk)
    try:
        decide(task, membership.user)
        messages.success(request, done)
    except (HeldByOther, NotAllowed) as error:
        messages.error(request, str(error))
    except StateError:
        messages.error(request, _("Somebody decided on this task before you."))


@require_POST
@login_required
def skip_decide(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Return a task that was set aside to the queue, or retire it: `action`."""
    if request.POST.get("action") == "retire":
        _decide(request, slug, pk, lambda task, by: retire_task(task=task, by=by), _("The prompt is out of the queue."))
    else:
        _decide(request, slug, pk, lambda task, by: return_task(task=task, by=by), _("It is in the queue again."))
    return redirect("labeling-skip-list", slug=slug)


@require_POST
@login_required
def task_take_away(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Free a task that somebody holds."""
    done = _("The task is free again. What its holder wrote is kept as a draft.")
    _decide(request, slug, pk, lambda task, by: take_away(task=task, by=by), done)
    return redirect("labeling-task-list", slug=slug)
