"""The figures of the monitoring page."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from deployment.models import Completion
from deployment.queries.monitoring import PERIODS, monitor
from deployment.states import CompletionState
from labeling.states import CaseState
from tests.deployment.test_guard import talk
from tests.factories import CaseFactory

pytestmark = pytest.mark.django_db
DAY, WEEK = PERIODS[:2]


def test_traffic_is_counted_in_its_time(deployment, project) -> None:
    talk(deployment, range(10), bad=lambda number, _model: number < 2, n_prompt_tokens=5, n_completion_tokens=7)
    talk(deployment, range(100, 104), state=CompletionState.FAILED)
    late = Completion.objects.filter(key__in=["chatcmpl-0", "chatcmpl-5", "chatcmpl-100"])
    late.update(created_at=timezone.now() - timedelta(days=3))
    day, week = monitor(project, DAY), monitor(project, WEEK)
    assert (day.total.n, day.total.n_failed, day.total.n_bad, day.total.n_written) == (11, 3, 1, 56)
    assert (week.total.n, week.total.n_down, week.total.n_read) == (14, 2, 50)
    assert sum(part.n for part in week.parts) == 14
    assert (len(week.parts), week.parts[-1].n, max(part.n for part in week.parts[:-1])) == (14, 11, 3)
    assert week.total.bad.low < 2 / 14 < week.total.bad.high


def test_speed_is_the_median_and_the_tail(deployment, project) -> None:
    talk(deployment, range(100))
    for number, row in enumerate(Completion.objects.order_by("pk")):
        row.time_to_first_token_s = (number + 1) / 100
        row.save()
    total = monitor(project, DAY).total
    assert total.first_token == (pytest.approx(0.5), pytest.approx(0.95))
    assert total.duration == ()


def test_one_model_can_be_looked_at(deployment, project) -> None:
    talk(deployment, range(3))
    talk(deployment, range(10, 12), bad=lambda number, _model: True)
    Completion.objects.filter(key__in=["chatcmpl-10", "chatcmpl-11"]).update(model_name="another")
    whole = monitor(project, DAY)
    assert [(row.name, row.n, row.n_bad) for row in whole.models] == [("another", 2, 2), (deployment.live_name, 3, 0)]
    assert monitor(project, DAY, model_name="another").total.n == 2


def test_cases_are_followed_to_their_end(project) -> None:
    now = timezone.now()
    CaseFactory(project=project)
    fixed = CaseFactory(project=project, state=CaseState.FIXED, settled_at=now)
    type(fixed).objects.filter(pk=fixed.pk).update(opened_at=now - timedelta(days=2))
    cases = monitor(project, DAY).cases
    assert (cases.n_opened, cases.n_fixed, cases.n_waiting) == (1, 1, 1)
    assert cases.seconds_to_fixed == pytest.approx(2 * 86400, abs=60)


def test_the_page_needs_no_more_queries_with_more_traffic(
    deployment, project, rita, sign_in, django_assert_max_num_queries
) -> None:
    client, address = sign_in(rita), reverse("deployment-monitoring-show", args=[project.slug])
    assert "Nobody asked in this time" in client.get(address).content.decode()
    talk(deployment, range(60), time_to_first_token_s=0.2, duration_s=1.5)
    with django_assert_max_num_queries(70):
        page = client.get(address, {"period": "day"}).content.decode()
    assert "0.20" in page
    assert deployment.live_name in page
    piece = client.get(address, {"model": "nobody", "period": "for ever"}, headers={"HX-Request": "true"})
    assert piece.status_code == 200
