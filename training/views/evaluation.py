from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from common.diff import diff_long
from common.htmx import STOP_POLLING, render_page
from common.pagination import paginate
from labeling.models import Membership
from labeling.queries import require_member
from labeling.states import Role
from training.actions.blind import ask_people
from training.actions.errors import NotPossible
from training.actions.evaluation import cancel_evaluation, request_evaluation
from training.forms.suite import BlindForm
from training.models import Evaluation, TunedModel
from training.queries import baseline_model, passes
from training.queries.blind import blind_result
from training.queries.gate import gate_rules
from training.queries.report import grouped_cases, probes_hold
from training.states import EvaluationState
from training.views.measure_rows import measure_rows

AT_WORK = (EvaluationState.QUEUED, EvaluationState.RUNNING)
N_CASES_SHOWN = 20


@require_GET
@login_required
def evaluation_list(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    evaluations = Evaluation.objects.visible_to(membership).select_related(
        "base_model", "tuned_model", "baseline__base_model", "baseline__tuned_model"
    )
    page = paginate(request, evaluations)
    rows = [
        {
            "evaluation": row,
            "passes": passes(row),
            "baseline_name": row.baseline.model_name if row.baseline else "",
            "efficacy": row.metrics.get("efficacy"),
            "generalisation": row.metrics.get("generalisation"),
        }
        for row in page
    ]
    return render_page(request, "training/evaluation_list.html", {"page": page, "rows": rows})


@require_POST
@login_required
def evaluation_create(request: HttpRequest, slug: str) -> HttpResponse:
    """Measure a model against the suites as they stand, compared with the model that it was trained from."""
    membership = require_member(request, slug, Role.ADMIN)
    name = request.POST.get("model", "")
    model = get_object_or_404(TunedModel.objects.visible_to(membership).select_related("base_model"), name=name)
    project, by = membership.project, membership.user
    baseline = request_evaluation(
        project=project, base_model=model.base_model, tuned_model=baseline_model(model), by=by
    )
    evaluation = request_evaluation(
        project=project, base_model=model.base_model, tuned_model=model, baseline=baseline, by=by
    )
    return redirect("training-evaluation-show", slug, evaluation.key)


@require_POST
@login_required
def evaluation_cancel(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    try:
        cancel_evaluation(evaluation=_find(membership, key), by=membership.user)
    except NotPossible as error:
        messages.error(request, str(error))
    return redirect("training-evaluation-show", slug, key)


@require_POST
@login_required
def evaluation_compare(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    """Put pairs of answers before people, who do not see whose is whose."""
    membership = require_member(request, slug, Role.ADMIN)
    form = BlindForm(request.POST)
    evaluation = _find(membership, key)
    if not form.is_valid():
        messages.error(request, _("Choose a number of pairs from 1 to 500."))
        return redirect("training-evaluation-show", slug, key)
    try:
        n_asked = ask_people(evaluation=evaluation, n=form.cleaned_data["n"], by=membership.user)
    except NotPossible as error:
        messages.error(request, str(error))
    else:
        text = ngettext("%(n)d pair waits to be compared.", "%(n)d pairs wait to be compared.", n_asked)
        messages.success(request, text % {"n": n_asked})
    return redirect("training-evaluation-show", slug, key)


@require_GET
@login_required
def evaluation_show(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    """The candidate against the live model; to htmx the progress, or the filtered cases of a finished one."""
    membership = require_member(request, slug, Role.REVIEWER)
    evaluation = _find(membership, key)
    is_waiting = _is_waiting(evaluation)
    context: dict[str, Any] = {"evaluation": evaluation, "is_waiting": is_waiting, "verdict": _verdict(evaluation)}
    if evaluation.state != EvaluationState.SUCCEEDED:
        fragment = "training/_evaluation_progress.html"
    else:
        fragment = "training/_evaluation_cases.html" if "cases" in request.GET else "training/_evaluation_result.html"
        context |= _comparison(request, evaluation)
    is_last = bool(request.htmx) and not is_waiting and "cases" not in request.GET  # type: ignore[attr-defined]
    status = STOP_POLLING if is_last else 200
    return render_page(request, "training/evaluation_show.html", context, fragment=fragment, status=status)


def _find(membership: Membership, key: str) -> Evaluation:
    evaluations = Evaluation.objects.visible_to(membership).select_related(
        "base_model", "tuned_model", "dataset_version", "baseline__base_model", "baseline__tuned_model"
    )
    return get_object_or_404(evaluations, key=key)


def _is_waiting(evaluation: Evaluation) -> bool:
    """Whether something is still to come: measures, its own or those that it is compared with, or the gate's verdict."""
    baseline = evaluation.baseline
    if evaluation.state != EvaluationState.SUCCEEDED or baseline is None:
        return evaluation.state in AT_WORK
    is_unjudged = baseline.state == EvaluationState.SUCCEEDED and not (evaluation.gate or evaluation.comparison)
    return baseline.state in AT_WORK or is_unjudged


def _verdict(evaluation: Evaluation) -> dict[str, str]:
    """Return `tone` (ok, bad or plain) and `text`, a sentence."""
    baseline = evaluation.baseline
    if evaluation.state in AT_WORK:
        return {"tone": "", "text": _("The model is being measured.")}
    if evaluation.state != EvaluationState.SUCCEEDED:
        return {"tone": "bad", "text": _("The model could not be measured.")}
    if baseline is None:
        return {"tone": "", "text": _("Measured by itself: there is no model to compare it with.")}
    if not evaluation.gate and baseline.state in AT_WORK:
        return {"tone": "", "text": _("The model is measured; the live model, for the comparison, is not yet.")}
    if passes(evaluation):
        return {"tone": "ok", "text": _("The candidate passes every rule of the gate: it may go live.")}
    if _is_waiting(evaluation):
        return {"tone": "", "text": _("Both models are measured; the gate is about to speak.")}
    if not evaluation.gate:
        return {"tone": "", "text": _("Nothing was there to be judged: no case, no unrelated prompt.")}
    n_failed = sum(not rule["passed"] for rule in evaluation.gate)
    text = ngettext(
        "The candidate is held back by %(n)d rule of the gate.",
        "The candidate is held back by %(n)d rules of the gate.",
        n_failed,
    )
    return {"tone": "bad", "text": text % {"n": n_failed}}


def _comparison(request: HttpRequest, evaluation: Evaluation) -> dict[str, Any]:
    baseline = evaluation.baseline
    if baseline is not None and baseline.state != EvaluationState.SUCCEEDED:
        baseline = None
    cases = _cases(evaluation, baseline)
    groups = _groups(baseline is not None)
    counts = {name: sum(case["group"] == name for case in cases) for name in groups}
    chosen = request.GET.get("cases", "")
    shown = [case for case in cases if case["group"] == chosen] if chosen in groups else cases
    tabs = [{"name": name, "label": label, "n": counts[name]} for name, label in groups.items()]
    page = Paginator(shown, N_CASES_SHOWN).get_page(request.GET.get("page"))
    for case in page:
        before, after = case["before"], case["after"]
        if before and before.answer != after.answer:
            case["diff"] = diff_long(before.answer, after.answer)
    return {
        "compared": baseline,
        "measures": measure_rows(evaluation, baseline),
        "rules": gate_rules(evaluation),
        "tabs": [{"name": "all", "label": _("All"), "n": len(cases)}, *tabs],
        "tab": chosen if chosen in groups else "all",
        "page": page,
        "blind": blind_result(evaluation),
    }


def _groups(is_compared: bool) -> dict[str, str]:
    if not is_compared:
        return {"wrong": _("Wrong"), "right": _("Right")}
    return {
        "broken": _("Newly broken"),
        "still_wrong": _("Still wrong"),
        "fixed": _("Fixed"),
        "kept": _("Right before and after"),
    }


def _cases(evaluation: Evaluation, baseline: Evaluation | None) -> list[dict[str, Any]]:
    """Return the cases with both answers, the worst group first."""
    labels = _groups(baseline is not None)
    cases = grouped_cases(evaluation, baseline)
    for case in cases:
        after = case["after"]
        case["label"] = labels[case["group"]]
        case["faults"] = [] if after.is_right else _faults(after.data)
        if not probes_hold(case["probes"]):
            case["faults"].append(_("Fewer than half of its probes are right."))
    order = list(labels)
    return sorted(cases, key=lambda case: (order.index(case["group"]), case["after"].pk))


def _faults(line: dict[str, Any]) -> list[str]:
    """Return why an answer does not count as right, a sentence each."""
    faults = []
    if line.get("logprob_chosen", 0) <= line.get("logprob_rejected", 0):
        faults.append(_("The wrong output is still as likely as the correction, or likelier."))
    if line.get("chrf_chosen", 0) <= line.get("chrf_rejected", 0):
        faults.append(_("The answer reads no closer to the correction than to the wrong output."))
    if not all(check["passed"] for check in line.get("checks", [])):
        faults.append(_("A check fails."))
    return faults
