"""The queue of tasks, for admins."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import render_page
from common.states import StateError
from labeling.actions.errors import HeldByOther
from labeling.actions.task import add_prompts, retire_task
from labeling.forms.search import SearchForm
from labeling.forms.task import PromptsForm
from labeling.models import Submission
from labeling.queries import require_member
from labeling.queries.search import key_page, narrow
from labeling.states import Role, TaskState
from labeling.views.search import key_of


@require_GET
@login_required
def task_list(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    tasks = membership.project.tasks.filter(is_gold_copy=False)
    counts = dict(tasks.order_by().values_list("state").annotate(n=Count("pk")))
    state = request.GET.get("state", "")
    rows = tasks.filter(state=state) if state in TaskState.values else tasks
    form = SearchForm(request.GET, project=membership.project, kind="tasks", without=("state",))
    rows = narrow(rows, "tasks", form.criteria())
    of_task = Submission.objects.filter(task=OuterRef("pk")).order_by().values("task").annotate(n=Count("pk"))
    rows = rows.select_related("leased_by", "gold_mark").prefetch_related("tags")
    rows = rows.annotate(n_submissions=Coalesce(Subquery(of_task.values("n")), 0))
    context = {
        "page": key_page(rows, before=key_of(request, "before"), after=key_of(request, "after")),
        "form": form,
        "query": form.query(),
        "bulk_query": f"state={state}{form.query()}",
        "is_filtered": form.is_filtered(),
        "state": state,
        "tabs": [(value, label, counts.get(value, 0)) for value, label in TaskState.choices],
        "n_all": sum(counts.values()),
    }
    return render_page(request, "labeling/task_list.html", context, fragment="labeling/_task_rows.html")


@require_http_methods(["GET", "POST"])
@login_required
def task_add(request: HttpRequest, slug: str) -> HttpResponse:
    """Add prompts: good lines go in, bad ones are listed and stay in the form."""
    membership = require_member(request, slug, Role.ADMIN)
    form = PromptsForm(request.POST or None)
    context: dict[str, object] = {"form": form}
    status = 422 if request.method == "POST" else 200
    if form.is_valid():
        added = add_prompts(project=membership.project, prompts=form.prompts, by=membership.user)
        text = ngettext("%(n)d prompt was added.", "%(n)d prompts were added.", added.n_added)
        messages.success(request, text % {"n": added.n_added})
        if added.n_duplicates:
            text = ngettext("%(n)d was there already.", "%(n)d were there already.", added.n_duplicates)
            messages.info(request, text % {"n": added.n_duplicates})
        if not form.bad_lines:
            return redirect("labeling-task-list", slug=slug)
        kept = "\n".join(line for _number, _reason, line in form.bad_lines)
        context |= {"bad_lines": form.bad_lines, "form": PromptsForm(initial={"text": kept})}
        status = 200
    elif form.is_bound:
        context["bad_lines"] = form.bad_lines
    return render_page(
        request, "labeling/task_add.html", context, fragment="labeling/_prompts_form.html", status=status
    )


@require_POST
@login_required
def task_retire(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    task = get_object_or_404(membership.project.tasks, pk=pk)
    try:
        retire_task(task=task, by=membership.user)
        messages.success(request, _("The prompt is out of the queue."))
    except HeldByOther as error:
        messages.error(request, str(error))
    except StateError:
        messages.error(request, _("This task is done or retired already."))
    return redirect("labeling-task-list", slug=slug)
