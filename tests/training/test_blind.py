import pytest
from django.urls import reverse

from labeling.actions.comparison import first_side, vote
from labeling.models import Comparison, Membership
from labeling.states import ComparisonState, VoteChoice
from tests.factories import TunedModelFactory
from tests.training.test_evaluation_actions import make_test
from training.actions.blind import ask_people
from training.actions.errors import NotPossible
from training.actions.evaluation import request_evaluation
from training.models import Evaluation, TunedModel
from training.queries.blind import blind_result
from training.states import EvaluationState, Suite


@pytest.fixture
def tuned_model(project, base_model) -> TunedModel:
    return TunedModelFactory(project=project, job__base_model=base_model)


@pytest.fixture
def evaluation(project, base_model, tuned_model) -> Evaluation:
    """A candidate that answers two of three cases otherwise than the live model."""
    tests = [make_test(project, f"What colour is {thing}?") for thing in ("sky", "grass", "snow")]
    baseline = request_evaluation(project=project, base_model=base_model)
    evaluation = request_evaluation(project=project, base_model=base_model, tuned_model=tuned_model, baseline=baseline)
    for row, answers in ((baseline, ("Red.", "Red.", "White.")), (evaluation, ("Blue.", "Green.", "White."))):
        Evaluation.objects.filter(pk=row.pk).update(state=EvaluationState.SUCCEEDED)
        for test, answer in zip(tests, answers, strict=True):
            asked = {"suite": Suite.REGRESSION, "row_id": str(test.pk), "messages": test.messages}
            row.results.create(test=test, answer=answer, is_right=True, **asked)
    return Evaluation.objects.select_related("baseline").get(pk=evaluation.pk)


def prefer(comparison: Comparison, answer: str, membership: Membership) -> None:
    is_first = comparison.answer(first_side(comparison, membership.user)) == answer
    choice = VoteChoice.FIRST_CLEARLY if is_first else VoteChoice.SECOND_CLEARLY
    vote(comparison=comparison, membership=membership, choice=choice)


def test_people_judge_where_the_models_differ(evaluation, project, rita) -> None:
    assert blind_result(evaluation) is None
    assert ask_people(evaluation=evaluation, n=1) == 1
    assert ask_people(evaluation=evaluation, n=9) == 1
    with pytest.raises(NotPossible):
        ask_people(evaluation=evaluation, n=9)
    rows = {row.answer_a: row for row in Comparison.objects.filter(project=project)}
    assert rows.keys() == {"Blue.", "Green."}
    membership = Membership.objects.get(project=project, user=rita)
    prefer(rows["Blue."], "Blue.", membership)
    prefer(rows["Green."], "Red.", membership)
    found = blind_result(evaluation)
    assert (found.n, found.n_open, found.n_won, found.n_lost, found.win_rate.value) == (2, 0, 1, 1, 0.5)
    Comparison.objects.filter(pk=rows["Green."].pk).update(state=ComparisonState.RETIRED)
    assert blind_result(evaluation).win_rate.value == 1.0


def test_what_was_compared_before_the_other_way_round_counts(evaluation, project, rita) -> None:
    earlier = request_evaluation(project=project, base_model=evaluation.base_model)
    earlier.baseline = evaluation  # the live model against the candidate
    ask_people(evaluation=earlier, n=2)
    membership = Membership.objects.get(project=project, user=rita)
    for row in Comparison.objects.filter(project=project):
        prefer(row, row.answer_b, membership)
    ask_people(evaluation=evaluation, n=2)
    found = blind_result(evaluation)
    assert (found.n_won, found.n_lost) == (2, 0)
    assert found.win_rate.low == pytest.approx(0.342, abs=1e-3)


def test_an_admin_asks_from_the_report(evaluation, sign_in, alice, rita) -> None:
    address = reverse("training-evaluation-compare", args=["kitchen", evaluation.key])
    assert sign_in(rita).post(address, {"n": "5"}).status_code == 403
    client = sign_in(alice)
    assert client.get(address).status_code == 405
    client.post(address, {"n": "0"})
    assert not evaluation.blind_pairs.exists()
    Evaluation.objects.filter(pk=evaluation.pk).update(comparison={"measures": {}})
    text = client.post(address, {"n": "5"}, follow=True).content.decode()
    assert "2 pairs wait to be compared." in text
    assert "Not judged yet" in text
