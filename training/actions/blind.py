"""Asking people, who do not see whose answer is whose, whether a candidate answers better than the live model."""

from django.db import transaction
from django.utils.translation import gettext as _

from common.conversations import digest
from labeling.actions.comparison import create_comparison
from labeling.actions.errors import BadComparison, BadConversation, DuplicateComparison
from labeling.models import Comparison, User
from labeling.states import ComparisonSource
from training.actions.errors import NotPossible
from training.models import Evaluation, EvaluationResult
from training.queries import case_results
from training.states import EvaluationState


def ask_people(*, evaluation: Evaluation, n: int, by: User | None = None) -> int:
    """Queue up to `n` cases that the two models answer differently for a blind comparison, and return how many there were.

    Which ones follows from a hash, so that asking twice asks for others. Two answers that people have compared already
    count at once. Raises NotPossible while one side is not measured, and where nothing is left to compare.
    """
    baseline = evaluation.baseline
    if baseline is None or not evaluation.state == baseline.state == EvaluationState.SUCCEEDED:
        raise NotPossible(_("Both models have to be measured first."))
    before, after = case_results(baseline), case_results(evaluation)
    row_ids = sorted(before.keys() & after.keys(), key=lambda row_id: digest([evaluation.key, row_id]))
    n_asked = 0
    with transaction.atomic():
        Evaluation.objects.select_for_update(of=("self",)).get(pk=evaluation.pk)
        for row_id in row_ids:
            if n_asked == n:
                break
            comparison = _comparison(evaluation, baseline, after[row_id], before[row_id].answer, by)
            if comparison is not None:
                is_candidate_a = comparison.answer_a.split() == after[row_id].answer.split()
                values = {"is_candidate_a": is_candidate_a}
                n_asked += evaluation.blind_pairs.get_or_create(comparison=comparison, defaults=values)[1]
    if not n_asked:
        raise NotPossible(_("There is no case left that the two models answer differently."))
    return n_asked


def _comparison(
    evaluation: Evaluation, baseline: Evaluation, result: EvaluationResult, other: str, by: User | None
) -> Comparison | None:
    try:
        return create_comparison(
            project=evaluation.project,
            messages=result.messages,
            answers=(result.answer, other),
            origins=(evaluation.model_name, baseline.model_name),
            source=ComparisonSource.EVALUATION,
            by=by,
        )
    except DuplicateComparison as error:
        return error.existing
    except (BadComparison, BadConversation):  # equal or empty answers, or a prompt that is held out
        return None
