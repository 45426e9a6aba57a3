"""What the report of an evaluation says: its cases in groups, its rows as a file, and all models side by side."""

from collections.abc import Iterator
from typing import Any

from training.models import Evaluation, EvaluationResult, TunedModel
from training.queries import case_results, probe_counts
from training.states import EvaluationState, Suite

CSV_HEAD = (
    *("group", "case", "prompt", "wrong output", "correction", "answer before", "answer", "right before", "right"),
    *("probes right", "probes", "logprob correction", "logprob wrong output", "chrF correction", "chrF wrong output"),
)
CARD_MEASURES = ("efficacy", "generalisation", "stop_rate", "chrf", "repetition", "held_out_loss", "unrelated_loss")


def probes_hold(counted: tuple[int, int] | None) -> bool:
    """Whether a case's probes let it count as fixed: at least half of them are right."""
    return counted is None or 2 * counted[0] >= counted[1]


def grouped_cases(evaluation: Evaluation, baseline: Evaluation | None) -> list[dict[str, Any]]:
    """Return {after, before, group, probes} for each case.

    Groups: `right` and `wrong` without a baseline, else `fixed`, `kept`, `still_wrong` and `broken`. A case that became
    right, but most of whose probes are wrong, was learnt by heart: it is still wrong.
    """
    before, probes = case_results(baseline) if baseline else {}, probe_counts(evaluation)
    cases = []
    for row_id, after in case_results(evaluation).items():
        old, counted = before.get(row_id), probes.get(row_id)
        if baseline is None:
            group = "right" if after.is_right else "wrong"
        elif after.is_right and old and old.is_right:
            group = "kept"
        elif after.is_right:
            group = "fixed" if probes_hold(counted) else "still_wrong"
        else:
            group = "broken" if old and old.is_right else "still_wrong"
        cases.append({"after": after, "before": old, "group": group, "probes": counted})
    return cases


def report_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """Yield a row for each case, with the columns of CSV_HEAD."""
    for case in grouped_cases(evaluation, evaluation.baseline):
        after, before, probes = case["after"], case["before"], case["probes"] or (None, None)
        data = after.data
        values = (
            *(case["group"], after.test.case_id if after.test else None, _last_words(after)),
            *(data.get("rejected"), data.get("chosen"), before.answer if before else None, after.answer),
            *(before.is_right if before else None, after.is_right, *probes),
            *(data.get("logprob_chosen"), data.get("logprob_rejected")),
            *(data.get("chrf_chosen"), data.get("chrf_rejected")),
        )
        yield dict(zip(CSV_HEAD, values, strict=True))


def suite_shares(evaluation: Evaluation) -> dict[str, tuple[int, int]]:
    """Return, for each suite of the project's own, how many of its rows are right, and how many could be judged."""
    rows = evaluation.results.filter(suite=Suite.OWN, is_right__isnull=False).order_by("pk")
    found: dict[str, tuple[int, int]] = {}
    for name, is_right in rows.values_list("data__own_suite", "is_right"):
        n_right, n = found.get(name, (0, 0))
        found[name] = (n_right + bool(is_right), n + 1)
    return found


def own_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """Yield what was asked and answered in the project's own suites."""
    for row in evaluation.results.filter(suite=Suite.OWN).order_by("pk"):
        answers = {"ideal response": row.data.get("chosen"), "answer": row.answer, "right": row.is_right}
        yield {"suite": row.data.get("own_suite"), "prompt": _last_words(row), **answers}


def report_card(models: list[TunedModel]) -> list[dict[str, Any]]:
    """Return {model, evaluation} for each model: its newest finished evaluation that asked the probes, else any."""
    found: dict[int | None, Evaluation] = {}
    evaluations = Evaluation.objects.filter(tuned_model__in=models, state=EvaluationState.SUCCEEDED)
    for evaluation in evaluations.order_by("has_probes", "pk"):
        found[evaluation.tuned_model_id] = evaluation
    return [{"model": model, "evaluation": found.get(model.pk)} for model in models]


def _last_words(result: EvaluationResult) -> str:
    return str(result.messages[-1]["content"]) if result.messages else ""
