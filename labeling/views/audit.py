"""The audit log, for admins."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.timezone import localtime
from django.views.decorators.http import require_GET

from common.exports import csv_chunks, download, json_chunks
from common.htmx import render_page
from labeling.forms.audit import AuditForm
from labeling.queries import require_member
from labeling.queries.audit import SUBJECTS, as_record, audit_history, audit_page, subject_link
from labeling.states import Role

COLUMNS = ("at", "by", "by_id", "kind", "id", "what", "before", "after", "reason")


def _key(request: HttpRequest, name: str) -> int:
    value = request.GET.get(name, "")
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 19 else 0


@require_GET
@login_required
def audit_list(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    form = AuditForm(request.GET, project=membership.project)
    page = audit_page(membership.project, form.query(), before=_key(request, "before"), after=_key(request, "after"))
    context = {
        "form": form,
        "page": page,
        "rows": [
            {
                "row": row,
                "day": localtime(row.at).date(),
                "kind": SUBJECTS.get(row.subject_type, (row.subject_type,))[0],
                "url": subject_link(row, membership),
            }
            for row in page.rows
        ],
        "is_filtered": any(request.GET.get(name) for name in form.fields),
    }
    return render_page(request, "labeling/audit_list.html", context, fragment="labeling/_audit_rows.html")


@require_GET
@login_required
def audit_export(request: HttpRequest, slug: str, ending: str) -> StreamingHttpResponse:
    """The filtered log as a file, oldest first, sent while it is read."""
    membership = require_member(request, slug, Role.ADMIN)
    rows = audit_history(membership.project, AuditForm(request.GET, project=membership.project).query())
    records = (as_record(row) for row in rows)
    if ending == "csv":
        chunks = csv_chunks(COLUMNS, ([record[name] for name in COLUMNS] for record in records))
    else:
        chunks = json_chunks(records)
    return download(chunks, name=f"{slug}-audit.{ending}")
