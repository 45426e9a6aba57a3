"""Results of public benchmarks: the table of all models, and adding a file."""

from itertools import groupby

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import render_page
from common.pagination import paginate
from labeling.queries import require_member
from labeling.states import Role
from training.actions.benchmark import add_benchmark, remove_benchmark
from training.actions.errors import FileRefused
from training.forms.benchmark import BenchmarkForm
from training.models import BenchmarkResult


@require_GET
@login_required
def benchmark_list(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    page = paginate(request, BenchmarkResult.objects.visible_to(membership))
    groups = [(name, list(rows)) for name, rows in groupby(page, key=lambda row: (row.task, row.metric))]
    return render_page(request, "training/benchmark_list.html", {"page": page, "groups": groups})


@require_http_methods(["GET", "POST"])
@login_required
def benchmark_add(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    form = BenchmarkForm(request.POST or None, request.FILES or None, project=membership.project)
    if request.method == "POST" and form.is_valid():
        content, name = form.cleaned_data["file"], form.cleaned_data["model"]
        try:
            rows = add_benchmark(project=membership.project, content=content, model_name=name, by=membership.user)
        except FileRefused as error:
            form.add_error(error.field, str(error))
        else:
            n = len(rows)
            said = ngettext("%(n)d figure is kept.", "%(n)d figures are kept.", n) % {"n": n}
            messages.success(request, said if n else _("These figures were here already."))
            return redirect("training-benchmark-list", slug)
    status = 422 if form.errors else 200
    page, piece = "training/benchmark_add.html", "training/_benchmark_form.html"
    return render_page(request, page, {"form": form}, fragment=piece, status=status)


@require_POST
@login_required
def benchmark_remove(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    result = get_object_or_404(BenchmarkResult.objects.visible_to(membership), pk=pk)
    remove_benchmark(result=result, by=membership.user)
    messages.success(request, _("What this run measured of the task is removed."))
    return redirect("training-benchmark-list", slug)
