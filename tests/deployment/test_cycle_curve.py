"""All cycles of a project beside each other."""

import pytest
from django.urls import reverse
from django.utils import timezone

from deployment.models import Completion, Cycle
from deployment.queries.cycle_curve import cycle_figures
from deployment.states import CompletionState, CycleState
from tests.deployment.conftest import make_model
from training.models import Evaluation

pytestmark = pytest.mark.django_db


@pytest.fixture
def cycles(deployment, project) -> list[Cycle]:
    """Three cycles that trained, and one that found nothing new."""
    rows = []
    for number in range(1, 4):
        model = make_model(project)
        model.job.result = {"n_tokens": 5000, "hyperparameters": {"replay_weight": 1.0}}
        model.job.tuned_model = model
        model.job.save()
        summary = {"model": model.name, "efficacy_before": 0.2, "efficacy_after": 0.8 + number / 20, "total_s": 90.0}
        rows.append(
            Cycle.objects.create(
                project=project,
                number=number,
                state=CycleState.PROMOTED,
                job=model.job,
                evaluation=Evaluation.objects.create(
                    key=f"eval-{number}",
                    project=project,
                    base_model=model.base_model,
                    tuned_model=model,
                    dataset_version=model.job.dataset_version,
                ),
                summary=summary | {"base_drift": number / 100, "generalisation_after": 0.9, "deployed": True},
                ended_at=timezone.now(),
            )
        )
    Cycle.objects.create(project=project, number=4, state=CycleState.STOPPED, ended_at=timezone.now())
    return rows


def answers(deployment, model, *, n: int, n_bad: int) -> None:
    for number in range(n):
        Completion.objects.create(
            key=f"chatcmpl-{model.pk}-{number}",
            project=deployment.project,
            deployment=deployment,
            tuned_model=model,
            thread=f"{model.pk}-{number}",
            messages=[],
            state=CompletionState.DONE,
            rating=-1 if number < n_bad else 0,
        )


def test_each_cycle_has_its_figures(deployment, project, cycles, django_assert_num_queries) -> None:
    answers(deployment, cycles[1].job.tuned_model, n=8, n_bad=2)
    with django_assert_num_queries(2):
        first, second, third = cycle_figures(project)
    assert [first.drift, second.drift, third.drift] == [0.01, 0.02, 0.03]
    assert (second.n_conversations, second.bad.value, third.bad) == (8, 0.25, None)
    assert second.bad.low < 0.25 < second.bad.high
    assert (first.replay_weight, first.efficacy, first.is_deployed) == (1.0, pytest.approx(0.85), True)


def test_the_page_draws_them_once_there_are_two(deployment, project, cycles, alice, sign_in) -> None:
    client, address = sign_in(alice), reverse("deployment-cycle-list", args=[project.slug])
    page = client.get(address).content.decode()
    assert page.count('<svg class="chart"') == 4, "cases, probes, drift, minutes: no traffic, no price"
    assert "1.00 %" in page.replace("\N{NO-BREAK SPACE}", " ")
    Cycle.objects.filter(number__gt=1).delete()
    assert "All cycles together" not in client.get(address).content.decode()
