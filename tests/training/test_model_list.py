from django.urls import reverse

from tests.factories import TunedModelFactory
from tests.training.test_evaluation_actions import make_test
from training.actions.evaluation import execute_evaluation, request_evaluation

URL = reverse("training-model-list", args=["kitchen"])


def test_the_list_is_for_reviewers_of_the_project(sign_in, project, bob, charlie, rita) -> None:
    assert sign_in(charlie).get(URL).status_code == 404
    assert sign_in(bob).get(URL).status_code == 403
    assert sign_in(rita).post(URL).status_code == 405
    assert "No model yet" in sign_in(rita).get(URL).content.decode()


def test_models_stand_with_what_the_gate_says(
    sign_in, project, base_model, rita, alice, trainer, count_queries
) -> None:
    trainer("succeed")
    make_test(project, "One?")
    model = TunedModelFactory(project=project, job__base_model=base_model)
    client = sign_in(rita)
    response, n_queries = count_queries(lambda: client.get(URL))
    text = response.content.decode()
    assert model.name in text
    assert "not measured" in text
    assert "Evaluate" not in text.replace("Evaluations", "")
    assert "on this machine" in text
    baseline = request_evaluation(project=project, base_model=base_model)
    evaluation = request_evaluation(project=project, base_model=base_model, tuned_model=model, baseline=baseline)
    for row in (baseline, evaluation):
        execute_evaluation(evaluation=row)
    TunedModelFactory(project=project, job__base_model=base_model)
    TunedModelFactory(project=project, job__base_model=base_model)
    TunedModelFactory()
    response, n_queries_of_three = count_queries(lambda: client.get(URL))
    assert n_queries_of_three <= n_queries + 1  # the evaluation's baseline
    assert len(response.context["rows"]) == 3
    assert "Passes" in response.content.decode()
    assert "Evaluate</button>" in sign_in(alice).get(URL).content.decode()
