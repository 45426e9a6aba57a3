from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from common.htmx import render_page
from common.pagination import paginate
from labeling.queries import require_member
from labeling.states import Role
from training.actions.composition import Composition
from training.actions.dataset import freeze_dataset
from training.actions.errors import Leak, NothingToFreeze
from training.forms.dataset import FreezeForm, RowsForm
from training.models import DatasetVersion
from training.queries import export_chunks, gone_rows, new_rows, previous_version, sources, unfrozen_examples
from training.queries.lineage import mark_retracted, retracted_counts
from training.queries.rows import COUNT_LIMIT, Criteria, count_up_to, narrow, page_of
from training.states import Split
from training.views.composition import show_leak


@require_GET
@login_required
def dataset_list(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    versions = DatasetVersion.objects.visible_to(membership).select_related("created_by").order_by("-number")
    page = paginate(request, versions)
    mark_retracted(membership.project, page)
    context = {
        "page": page,
        "n_unfrozen": unfrozen_examples(membership.project).count(),
        "form": FreezeForm(),
    }
    return render_page(request, "training/dataset_list.html", context)


@require_POST
@login_required
def dataset_create(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    form = FreezeForm(request.POST)
    if not form.is_valid():
        context = {"form": form, "n_unfrozen": unfrozen_examples(membership.project).count()}
        context["page"] = paginate(request, DatasetVersion.objects.visible_to(membership).order_by("-number"))
        template, fragment = "training/dataset_list.html", "training/_freeze_form.html"
        return render_page(request, template, context, fragment=fragment, status=422)
    try:
        version = freeze_dataset(project=membership.project, by=membership.user, note=form.cleaned_data["note"])
    except NothingToFreeze as error:
        messages.error(request, str(error))
        return redirect("training-dataset-list", slug)
    except Leak as error:
        return show_leak(request, membership, Composition(), error, note=form.cleaned_data["note"])
    return redirect("training-dataset-show", slug, version.number)


@require_GET
@login_required
def dataset_show(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """A version, and its rows, searched and filtered, some at a time."""
    membership = require_member(request, slug, Role.ADMIN)
    version = get_object_or_404(DatasetVersion.objects.visible_to(membership), number=number)
    previous = previous_version(version)
    new, gone = new_rows(version, previous), gone_rows(version, previous)
    n_new, n_gone = new.count(), gone.count()
    tabs = [
        {"name": "all", "label": _("All"), "n": version.n_examples},
        {"name": "new", "label": _("New"), "n": n_new},
        {"name": "gone", "label": _("Gone"), "n": n_gone},
    ]
    tab = request.GET.get("rows", "all")
    rows = {"new": new, "gone": gone}.get(tab, version.rows.all())
    form = RowsForm(request.GET, version=version)
    criteria = form.criteria()
    found = narrow(rows, criteria)
    context = {
        "version": version,
        "previous": previous,
        "tabs": tabs,
        "tab": tab if tab in ("new", "gone") else "all",
        "shown": previous if tab == "gone" else version,
        "n_new": n_new,
        "n_gone": n_gone,
        "n_retracted": retracted_counts(membership.project).get(version.pk, 0),
        "form": form,
        "note_form": FreezeForm(initial={"note": version.note}),
        "is_filtered": criteria != Criteria(),
        "n_found": count_up_to(found) if criteria != Criteria() else None,
        "limit": COUNT_LIMIT,
        "page": page_of(found, after=_position(request, "after"), before=_position(request, "before")),
        "sources": SimpleLazyObject(lambda: sources(version)),
        "jobs": version.jobs.select_related("preflight").order_by("-pk")[:5],
    }
    return render_page(request, "training/dataset_show.html", context, fragment="training/_dataset_rows.html")


def _position(request: HttpRequest, name: str) -> int | None:
    value = request.GET.get(name, "")
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else None


@require_GET
@login_required
def dataset_download(request: HttpRequest, slug: str, number: int) -> StreamingHttpResponse:
    """The version as OpenAI chat JSONL; `?split=train` or `valid` gives one part."""
    membership = require_member(request, slug, Role.ADMIN)
    version = get_object_or_404(DatasetVersion.objects.visible_to(membership), number=number)
    split = request.GET.get("split", "")
    split = split if split in Split.values else ""
    name = f"{slug}-v{version.number}{'-' if split else ''}{split}.jsonl"
    response = StreamingHttpResponse(_stream(version, split), content_type="application/jsonl; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


async def _stream(version: DatasetVersion, split: str) -> AsyncIterator[str]:
    chunks = export_chunks(version, split=split)
    while chunk := await sync_to_async(lambda: next(chunks, ""))():
        yield chunk
