"""The report of an evaluation as a file, and the report card of all models."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from common.exports import csv_chunks
from common.htmx import render_page
from common.pagination import paginate
from labeling.queries import require_member
from labeling.states import Role
from training.models import Evaluation, TunedModel
from training.queries import passes
from training.queries.blind import model_strengths
from training.queries.report import CARD_MEASURES, CSV_HEAD, own_rows, report_card, report_rows


@require_GET
@login_required
def evaluation_download(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    """Send the cases as CSV, or with `format=json` the whole report."""
    membership = require_member(request, slug, Role.REVIEWER)
    evaluations = Evaluation.objects.visible_to(membership).select_related("tuned_model", "base_model", "baseline")
    evaluation = get_object_or_404(evaluations, key=key)
    rows = report_rows(evaluation)
    if request.GET.get("format") != "json":
        text = "".join(csv_chunks(CSV_HEAD, ([row[name] for name in CSV_HEAD] for row in rows)))
        return _attached(HttpResponse(text, content_type="text/csv; charset=utf-8"), f"{key}.csv")
    baseline = evaluation.baseline
    report = {
        "evaluation": evaluation.key,
        "model": evaluation.model_name,
        "compared_with": baseline.model_name if baseline else None,
        "passes": passes(evaluation),
        "gate": evaluation.gate,
        "metrics": evaluation.metrics,
        "metrics_before": baseline.metrics if baseline else None,
        "intervals": evaluation.comparison.get("measures", {}),
        "cases": list(rows),
        "own": list(own_rows(evaluation)),
    }
    return _attached(JsonResponse(report, json_dumps_params={"ensure_ascii": False, "indent": 1}), f"{key}.json")


@require_GET
@login_required
def evaluation_card(request: HttpRequest, slug: str) -> HttpResponse:
    """All models of the project, newest first, each with its latest measures."""
    membership = require_member(request, slug, Role.REVIEWER)
    page = paginate(request, TunedModel.objects.visible_to(membership))
    rows = []
    for row in report_card(list(page)):
        evaluation = row["evaluation"]
        metrics = evaluation.metrics if evaluation else {}
        values = {name: metrics.get(name) for name in CARD_MEASURES}
        rows.append({**row, **values, "passes": evaluation is not None and passes(evaluation)})
    context = {"page": page, "rows": rows, "strengths": model_strengths(membership.project)}
    return render_page(request, "training/evaluation_card.html", context)


def _attached(response: HttpResponse, name: str) -> HttpResponse:
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
