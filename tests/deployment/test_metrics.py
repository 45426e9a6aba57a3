"""What a Prometheus server reads."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from deployment.actions.candidate import set_canary
from deployment.models import Completion
from deployment.states import CompletionState
from tests.deployment.test_guard import talk
from tests.factories import CaseFactory, TaskFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def scrape(client, settings):
    settings.METRICS_TOKEN = "a token"

    def read() -> dict[str, list[tuple[dict[str, str], float]]]:
        answer = client.get(reverse("deployment-metrics-show"), headers={"Authorization": "Bearer a token"})
        families = text_string_to_metric_families(answer.content.decode())
        return {family.name: [(each.labels, each.value) for each in family.samples] for family in families}

    return read


def test_it_counts_what_is_in_the_database(scrape, deployment, project, tuned_model) -> None:
    talk(deployment, range(4), n_completion_tokens=10, time_to_first_token_s=0.5)
    talk(deployment, range(10, 12), state=CompletionState.FAILED)
    Completion.objects.filter(key="chatcmpl-0").update(created_at=timezone.now() - timedelta(hours=1))
    set_canary(deployment=deployment, model=tuned_model, percent=7, reason="a test")
    CaseFactory(project=project)
    TaskFactory(project=project)
    found = scrape()
    labels = {"project": project.slug, "model": deployment.live_name}
    assert (labels | {"state": "done"}, 3.0) in found["emend_answers"]
    assert (labels | {"state": "failed"}, 2.0) in found["emend_answers"]
    assert found["emend_completion_tokens"] == [(labels, 30.0)]
    assert found["emend_first_token_seconds_max"] == [(labels, 0.5)]
    assert [value for labels, value in found["emend_canary_percent"]] == [7.0]
    assert {labels["stage"] for labels, _one in found["emend_deployment"]} == {"live", "canary"}
    assert found["emend_cases_to_correct"] == found["emend_tasks_open"] == [({"project": project.slug}, 1.0)]


@pytest.mark.parametrize(("token", "given"), [("", ""), ("", "Bearer "), ("a token", ""), ("a token", "Bearer other")])
def test_without_the_token_there_is_nothing(client, settings, db, token, given) -> None:
    settings.METRICS_TOKEN = token
    answer = client.get(reverse("deployment-metrics-show"), headers={"Authorization": given})
    assert answer.status_code == 404
