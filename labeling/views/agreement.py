from itertools import groupby
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from common.htmx import STOP_POLLING, render_page
from labeling.actions.agreement import request_agreement
from labeling.models import AgreementFigure, AgreementReport
from labeling.queries import require_member
from labeling.states import ComparisonOutcome, Measure, Role


@require_GET
@login_required
def agreement_show(request: HttpRequest, slug: str) -> HttpResponse:
    """How far people agree. Admins see everybody, reviewers the whole project and themselves."""
    membership = require_member(request, slug, Role.REVIEWER)
    report = AgreementReport.objects.filter(project=membership.project).first()
    figures = AgreementFigure.objects.visible_to(membership).select_related("person", "instruction_version")
    context = {
        "report": report,
        "is_due": report is not None and report.is_due,
        "measures": [_measure(name, list(group)) for name, group in groupby(figures, key=lambda row: row.measure)],
    }
    status = STOP_POLLING if request.htmx and not context["is_due"] else 200  # type: ignore[attr-defined]
    return render_page(
        request, "labeling/agreement_show.html", context, fragment="labeling/_agreement.html", status=status
    )


def _label(value: str) -> str:
    """Return the words for one value that people gave."""
    labels = {"accept": _("Accept"), "do not accept": _("Do not accept")} | dict(ComparisonOutcome.choices)
    return str(labels.get(value, value))


def _measure(name: str, figures: list[AgreementFigure]) -> dict[str, Any]:
    whole = next(row for row in figures if row.person_id is None and row.instruction_version_id is None)
    values = [_label(value) for value in whole.table["values"]]
    return {
        "name": name,
        "label": Measure(name).label,
        "whole": whole,
        "values": values,
        "rows": list(zip(values, whole.table["rows"], strict=True)),
        "people": [row for row in figures if row.person_id],
        "versions": [row for row in figures if row.instruction_version_id],
    }


@require_POST
@login_required
def agreement_refresh(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    request_agreement(project=membership.project)
    return redirect("labeling-agreement-show", slug=slug)
