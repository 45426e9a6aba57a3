"""The list of comparisons, what was said of each, and where they come from; for admins."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import render_page
from common.pagination import paginate
from common.states import StateError
from labeling.actions.comparison import restore_comparison, retire_comparison
from labeling.actions.comparison_import import ImportedComparisons, import_comparisons, pair_submissions
from labeling.actions.errors import CommentNeeded
from labeling.actions.project import update_judging
from labeling.forms.comparison import ComparisonImportForm, JudgingForm
from labeling.models import Comparison, Project
from labeling.queries import require_member, with_words
from labeling.queries.judging import doubly_answered
from labeling.states import ComparisonState, Role


@require_GET
@login_required
def comparison_list(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    all_rows = Comparison.objects.filter(project=membership.project)
    counts = dict(all_rows.order_by().values_list("state").annotate(n=Count("pk")))
    state = request.GET.get("state", "")
    rows = all_rows.filter(state=state) if state in ComparisonState.values else all_rows
    words = request.GET.get("q", "").strip()
    if words:
        rows = with_words(rows, words)
    context = {
        "page": paginate(request, rows.annotate(n_votes=Count("votes")).order_by("-pk")),
        "state": state,
        "words": words,
        "tabs": [(value, label, counts.get(value, 0)) for value, label in ComparisonState.choices],
        "n_all": sum(counts.values()),
        "has_doubles": doubly_answered(membership.project).exists(),
    }
    return render_page(request, "labeling/comparison_list.html", context)


@require_http_methods(["GET", "POST"])
@login_required
def comparison_import(request: HttpRequest, slug: str) -> HttpResponse:
    """Add comparisons from JSONL: good lines go in, bad ones are listed and stay in the form."""
    membership = require_member(request, slug, Role.ADMIN)
    n_people = membership.project.n_comparison_people
    form = ComparisonImportForm(request.POST or None, request.FILES or None, initial={"n_people": n_people})
    context: dict[str, object] = {"form": form}
    status = 422 if request.method == "POST" else 200
    if form.is_valid():
        n_people = form.cleaned_data["n_people"]
        result = import_comparisons(project=membership.project, lines=form.lines, n_people=n_people, by=membership.user)
        _say(request, result)
        if not result.bad_lines:
            return redirect("labeling-comparison-list", slug=slug)
        kept = "\n".join(line for _number, _reason, line in result.bad_lines)
        context = {
            "form": ComparisonImportForm(initial={"text": kept, "n_people": n_people}),
            "bad_lines": result.bad_lines,
        }
        status = 200 if result.n_added or result.n_there else 422
    return render_page(
        request,
        "labeling/comparison_import.html",
        context,
        fragment="labeling/_comparison_import_form.html",
        status=status,
    )


@require_POST
@login_required
def comparison_pair(request: HttpRequest, slug: str) -> HttpResponse:
    """Make comparisons of what two people wrote for the same prompt."""
    membership = require_member(request, slug, Role.ADMIN)
    _say(request, pair_submissions(project=membership.project, by=membership.user))
    return redirect("labeling-comparison-list", slug=slug)


def _say(request: HttpRequest, result: ImportedComparisons) -> None:
    text = ngettext("%(n)d comparison was added.", "%(n)d comparisons were added.", result.n_added)
    messages.success(request, text % {"n": result.n_added})
    if result.n_there:
        text = ngettext("%(n)d was there already.", "%(n)d were there already.", result.n_there)
        messages.info(request, text % {"n": result.n_there})


@require_http_methods(["GET", "POST"])
@login_required
def comparison_show(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """The votes on a comparison and where its answers come from. `action` is retire (with a reason) or restore."""
    membership = require_member(request, slug, Role.ADMIN)
    rows = Comparison.objects.select_related("preference_pair")
    comparison = get_object_or_404(rows, project=membership.project, pk=pk)
    problem = ""
    if request.method == "POST":
        try:
            if request.POST.get("action") == "restore":
                restore_comparison(comparison=comparison, by=membership.user)
            else:
                reason = request.POST.get("reason", "")
                retire_comparison(comparison=comparison, by=membership.user, reason=reason)
        except CommentNeeded as error:
            problem = str(error)
        except StateError:
            messages.error(request, _("The comparison changed in the meantime. Look again."))
            return redirect("labeling-comparison-show", slug=slug, pk=pk)
        else:
            messages.success(request, _("Saved."))
            return redirect("labeling-comparison-show", slug=slug, pk=pk)
    context = {
        "comparison": comparison,
        "votes": comparison.votes.select_related("person", "instruction_version").order_by("pk"),
        "skips": comparison.skips.select_related("person").order_by("pk"),
        "problem": problem,
        "can_retire": comparison.state != ComparisonState.RETIRED,
        "can_restore": comparison.state == ComparisonState.SET_ASIDE,
    }
    return render_page(request, "labeling/comparison_show.html", context, status=422 if problem else 200)


@require_http_methods(["GET", "POST"])
@login_required
def judging_edit(request: HttpRequest, slug: str) -> HttpResponse:
    """The settings of comparisons and second reviews."""
    membership = require_member(request, slug, Role.ADMIN)
    form = JudgingForm(request.POST or None, instance=Project.objects.get(pk=membership.project_id))
    if form.is_valid():
        update_judging(project=membership.project, by=membership.user, **form.cleaned_data)
        messages.success(request, _("The settings are saved."))
        return redirect("labeling-judging-edit", slug=slug)
    status = 422 if request.method == "POST" else 200
    return render_page(
        request, "labeling/judging_edit.html", {"form": form}, fragment="labeling/_judging_form.html", status=status
    )
