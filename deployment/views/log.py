"""The log of answers as files, and how long it is kept."""

from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from common.exports import csv_chunks, download, json_chunks
from common.htmx import render_page
from deployment.actions.log_care import change_log_settings, redact, redact_turns
from deployment.forms.log import LogFilterForm, LogSettingsForm
from deployment.models import Completion, LogSettings
from labeling.queries import require_member
from labeling.states import Role

CHUNK = 500
COLUMNS = (
    *("key", "created_at", "model_name", "state", "finish_reason", "rating", "case_id", "thread", "user"),
    *(
        "n_prompt_tokens",
        "n_completion_tokens",
        "time_to_first_token_s",
        "duration_s",
        "mean_logprob",
        "messages",
        "response",
    ),
)


@require_http_methods(["GET", "POST"])
@login_required
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    """How long answers are kept, and with how much of what they say."""
    membership = require_member(request, slug, Role.ADMIN)
    form = LogSettingsForm(request.POST or None, instance=LogSettings.of(membership.project))
    if request.method == "POST" and form.is_valid():
        change_log_settings(project=membership.project, by=membership.user, **form.cleaned_data)
        messages.success(request, _("Kept. What is in the log already is treated within minutes."))
        return redirect("deployment-completion-list", slug)
    return render_page(request, "deployment/log_edit.html", {"form": form}, status=422 if form.errors else 200)


@require_GET
@login_required
def export(request: HttpRequest, slug: str) -> HttpResponseBase:
    """The answers that the log's filters show, the oldest first: `format` is csv or jsonl."""
    membership = require_member(request, slug, Role.REVIEWER)
    rows = LogFilterForm(request.GET, rows=Completion.objects.visible_to(membership)).chosen()
    redacts = LogSettings.of(membership.project).redacts
    lines = _lines(rows.select_related("user").order_by("pk").iterator(chunk_size=CHUNK), redacts=redacts)
    kind = "csv" if request.GET.get("format") == "csv" else "jsonl"
    if kind == "csv":
        chunks = csv_chunks(COLUMNS, (_flat(line) for line in lines))
    else:
        chunks = json_chunks(lines)
    return download(chunks, name=f"{slug}-answers-{timezone.now():%Y-%m-%d}.{kind}")


def _lines(rows: Iterator[Completion], *, redacts: bool) -> Iterator[dict[str, Any]]:
    """Yield what a file has of each answer; where the project wants no personal data, none leaves it, however fresh."""
    for row in rows:
        if redacts and not row.is_tended:
            row.messages, row.response = redact_turns(row.messages), redact(row.response)
        values = {name: getattr(row, name) for name in COLUMNS}
        yield values | {"created_at": row.created_at.isoformat(), "user": str(row.user) if row.user else None}


def _flat(line: dict[str, Any]) -> list[Any]:
    said = "\n\n".join(f"{turn.get('role')}: {turn.get('content')}" for turn in line["messages"])
    return [said if name == "messages" else line[name] for name in COLUMNS]
