"""The page on which an admin chooses what a dataset version holds, and sees the counts before freezing it."""

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from common.htmx import render_page
from labeling.models import Membership, User
from labeling.queries import require_member
from labeling.states import Role
from training.actions.composition import Composition
from training.actions.dataset import freeze_dataset
from training.actions.dataset_preview import Preview, preview_dataset
from training.actions.errors import BadComposition, Leak, NothingToFreeze
from training.forms.composition import ComposeForm
from training.states import RowKind, Split


@require_http_methods(["GET", "POST"])
@login_required
def dataset_compose(request: HttpRequest, slug: str) -> HttpResponse:
    """The rules and what they take. POST with `action` freeze freezes it; else it shows the counts anew."""
    membership = require_member(request, slug, Role.ADMIN)
    project = membership.project
    form = ComposeForm(request.POST if request.method == "POST" else None, project=project)
    rules = Composition()
    if form.is_bound and form.is_valid():
        try:
            rules = form.composition()
        except BadComposition as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
    if form.is_bound and form.errors:
        return _show(request, membership, form, None, status=422)
    if form.is_bound and request.POST.get("action") == "freeze":
        try:
            version = freeze_dataset(
                project=project, by=membership.user, note=form.cleaned_data["note"], composition=rules
            )
        except NothingToFreeze as error:
            form.add_error(None, str(error))
            return _show(request, membership, form, None, status=422)
        except Leak as error:
            return show_leak(request, membership, rules, error, note=form.cleaned_data["note"])
        messages.success(request, version.note or str(version))
        return redirect("training-dataset-show", slug, version.number)
    return _show(request, membership, form, preview_dataset(project=project, composition=rules))


def show_leak(
    request: HttpRequest, membership: Membership, rules: Composition, error: Leak, *, note: str = ""
) -> HttpResponse:
    """The rules again, with the rows at fault named and a button that leaves out just those."""
    without = replace(rules, without=(*rules.without, *error.row_hashes))
    form = ComposeForm(initial=ComposeForm.initial_of(without, note=note), project=membership.project)
    preview = preview_dataset(project=membership.project, composition=without)
    return _show(request, membership, form, preview, status=409, leak=error, n_leaks=len(error.row_hashes))


def _show(
    request: HttpRequest,
    membership: Membership,
    form: ComposeForm,
    preview: Preview | None,
    *,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    context = {"form": form, "preview": preview, "tables": _tables(preview) if preview else [], **more}
    return render_page(
        request, "training/dataset_compose.html", context, fragment="training/_compose_preview.html", status=status
    )


def _tables(preview: Preview) -> list[dict[str, Any]]:
    """The counts as tables of (label, n)."""
    names = {user.pk: str(user) for user in User.objects.filter(pk__in=[pk for pk in preview.authors if pk])}
    kinds = dict(RowKind.choices)
    splits: dict[str | None, Any] = {**dict(Split.choices), None: _("Left out: like a test row")}
    return [
        {"name": "kinds", "rows": [(kinds[key], n) for key, n in preview.kinds.most_common() if n]},
        {"name": "splits", "rows": [(splits[key], n) for key, n in preview.splits.most_common()]},
        {"name": "authors", "rows": [(names.get(key or 0), n) for key, n in preview.authors.most_common(8)]},
        {"name": "instructions", "rows": [(key and f"v{key}", n) for key, n in preview.instructions.most_common(8)]},
        {"name": "languages", "rows": preview.languages.most_common(8)},
    ]
