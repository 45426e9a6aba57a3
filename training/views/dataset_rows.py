"""The rows of a dataset version: one with its whole conversation and its lineage, the figures, the differences."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from common.charts import bar_chart
from common.htmx import STOP_POLLING, render_page
from common.pagination import paginate
from labeling.models import Membership
from labeling.queries import require_member
from labeling.states import Role
from training.actions.note import change_note
from training.forms.dataset import FreezeForm
from training.models import DatasetStatistics, DatasetVersion
from training.queries import previous_version
from training.queries.diff import KINDS, diff_versions
from training.queries.lineage import origins_of, versions_with
from training.queries.rows import neighbours_of
from training.states import CountState

N_PAGE = 25


def find_version(membership: Membership, number: int) -> DatasetVersion:
    return get_object_or_404(DatasetVersion.objects.visible_to(membership), number=number)


@require_GET
@login_required
def row_show(request: HttpRequest, slug: str, number: int, position: int) -> HttpResponse:
    """One row: all of its conversation, where it comes from, which versions hold the same text."""
    membership = require_member(request, slug, Role.ADMIN)
    version = find_version(membership, number)
    rows = version.rows.select_related(
        "example__retraction", "pair__retraction", "pair__comparison", "facts", "version"
    )
    row = get_object_or_404(rows, position=position)
    before, after = neighbours_of(row)
    context = {
        "version": version,
        "row": row,
        "facts": getattr(row, "facts", None),
        "comparison": row.pair.comparison if row.pair else None,
        "origin": origins_of([row]).get(row.pk),
        "versions": versions_with(row),
        "before": before,
        "after": after,
    }
    return render_page(request, "training/row_show.html", context)


@require_POST
@login_required
def note(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Change the version's note; the audit log keeps the former one."""
    membership = require_member(request, slug, Role.ADMIN)
    version = find_version(membership, number)
    form = FreezeForm(request.POST)
    if not form.is_valid():
        template, context = "training/_note_form.html", {"version": version, "note_form": form}
        return render_page(request, template, context, status=422)
    change_note(version=version, note=form.cleaned_data["note"], by=membership.user)
    return redirect("training-dataset-show", slug, number)


@require_GET
@login_required
def diff(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """What is different from the version `?with=`, the former one where none is named."""
    membership = require_member(request, slug, Role.ADMIN)
    version = find_version(membership, number)
    asked = request.GET.get("with", "")
    versions = DatasetVersion.objects.visible_to(membership).exclude(pk=version.pk).order_by("-number")
    other = versions.filter(number=int(asked)).first() if asked.isdecimal() and len(asked) < 10 else None
    other = other or previous_version(version) or versions.first()
    context: dict[str, Any] = {"version": version, "other": other, "versions": versions[:200]}
    if other is not None:
        found = diff_versions(other, version)
        kind = request.GET.get("show", "")
        kind = kind if kind in KINDS else next((each for each in KINDS if found.counts[each]), KINDS[0])
        page = paginate(request, getattr(found, kind), size=N_PAGE)
        start = page.start_index() - 1 if page.object_list else 0
        labels = {"added": _("Added"), "removed": _("Removed"), "changed": _("Changed")}
        context |= {
            "found": found,
            "kind": kind,
            "page": page,
            "changes": found.changes(kind, start, start + N_PAGE),
            "tabs": [{"name": each, "label": labels[each], "n": found.counts[each]} for each in KINDS],
        }
    return render_page(request, "training/dataset_diff.html", context, fragment="training/_diff_rows.html")


@require_GET
@login_required
def statistics(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """The figures of a version, which a worker counts once; asked for again until they are there."""
    membership = require_member(request, slug, Role.ADMIN)
    version = find_version(membership, number)
    found = DatasetStatistics.objects.filter(version=version).select_related("base_model").first()
    is_waiting = found is None or found.state == CountState.COUNTING
    context: dict[str, Any] = {"version": version, "statistics": found, "is_waiting": is_waiting}
    if found is not None and found.state == CountState.DONE:
        data = found.data
        bins = [(f"{low}–{high}", n) for low, high, n in data["lengths"]]
        context |= {
            "data": data,
            "n_tokens": sum(data["n_tokens"].values()),
            "n_learnt": sum(data["n_learnt"].values()),
            "bins": bins,
            "chart": bar_chart(bins, n_labels=8),
        }
    template = "training/dataset_statistics.html"
    is_last = not is_waiting and bool(request.htmx)  # type: ignore[attr-defined]
    status = STOP_POLLING if is_last else 200
    return render_page(request, template, context, fragment="training/_statistics.html", status=status)
