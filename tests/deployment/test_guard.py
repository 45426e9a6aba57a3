"""Automatic roll back: what goes, what stays, and that it is told."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from deployment.actions.candidate import set_canary
from deployment.actions.guard import guard_deployments
from deployment.actions.release import deploy_model, roll_back
from deployment.models import Completion, Deployment, DeploymentChange
from deployment.queries.release import tally
from deployment.queries.routing import choose_model, thread_of
from deployment.states import ChangeKind, CompletionState
from labeling.actions.webhook import add_webhook
from labeling.models import WebhookDelivery
from labeling.states import CaseState, WebhookEvent
from tests.deployment.conftest import make_model
from tests.factories import CaseFactory

pytestmark = pytest.mark.django_db
WHY = {"reason": "a test"}


def talk(deployment, numbers: range, *, bad=lambda number, model: False, **fields) -> None:
    """Write a conversation for each number, routed as the gateway would; `bad` says which are rated down."""
    rows = []
    for number in numbers:
        thread = thread_of("test", number)
        model = choose_model(deployment, thread=thread)
        tuned = model if model != deployment.base_model else None
        rows.append(
            Completion(
                key=f"chatcmpl-{number}",
                project=deployment.project,
                deployment=deployment,
                tuned_model=tuned,
                model_name=tuned.name if tuned else deployment.base_model.slug,
                messages=[],
                **{
                    "state": CompletionState.DONE,
                    "thread": thread,
                    "rating": -1 if bad(number, model) else 0,
                    **fields,
                },
            )
        )
    Completion.objects.bulk_create(rows)


def changes() -> list[str]:
    return list(DeploymentChange.objects.order_by("pk").values_list("kind", flat=True))[1:]


def test_a_canary_that_is_worse_is_withdrawn_and_told(deployment, project, tuned_model, alice) -> None:
    add_webhook(project=project, url="https://example.com", events=[WebhookEvent.CANDIDATE_CHANGED], by=alice)
    set_canary(deployment=deployment, model=tuned_model, percent=50, by=alice, **WHY)
    talk(deployment, range(200), bad=lambda number, model: model == tuned_model or number % 20 == 0)
    guard_deployments()
    change = DeploymentChange.objects.first()
    assert (change.kind, change.from_model, change.by) == (ChangeKind.WITHDRAW, tuned_model, None)
    assert change.reason.startswith("Worse than the live model beyond doubt: bad were ")
    assert Deployment.objects.get().candidate_model is None
    said = WebhookDelivery.objects.latest("pk").payload["data"]
    assert (said["kind"], said["by_rule"], said["model"]) == ("withdraw", True, deployment.base_model.slug)
    guard_deployments()
    assert changes() == ["canary", "withdraw"]


def test_the_guard_looks_more_often_than_once_a_minute() -> None:
    assert settings.CELERY_BEAT_SCHEDULE["guard-deployments"]["schedule"] <= 30


@pytest.mark.parametrize("troubled", ["both", "failed for both", "dismissed", "one conversation"])
def test_a_canary_that_is_no_worse_stays(deployment, tuned_model, troubled) -> None:
    set_canary(deployment=deployment, model=tuned_model, percent=20, **WHY)
    talk(deployment, range(60), bad=lambda number, model: troubled == "both" and number % 3 == 0)
    canarys = Completion.objects.filter(tuned_model=tuned_model)
    if troubled == "failed for both":
        Completion.objects.update(state=CompletionState.FAILED)
    elif troubled == "dismissed":
        canarys.update(rating=-1, case=CaseFactory(project=deployment.project, state=CaseState.DISMISSED))
    elif troubled == "one conversation":
        canarys.update(rating=-1, thread=thread_of("somebody who never likes anything"))
    guard_deployments()
    assert changes() == ["canary"]


def test_a_share_that_changed_counts_as_it_was(deployment, tuned_model) -> None:
    """Twelve bad conversations are much at 5 percent and nothing at 99."""
    set_canary(deployment=deployment, model=tuned_model, percent=99, **WHY)
    talk(deployment, range(12), bad=lambda number, model: model == tuned_model)
    set_canary(deployment=deployment, model=tuned_model, percent=5, **WHY)
    guard_deployments()
    assert changes() == ["canary", "canary"]
    Completion.objects.update(created_at=timezone.now() + timedelta(seconds=1))
    guard_deployments()
    assert changes() == ["canary", "canary", "withdraw"]


def test_failures_of_the_canary_alone_count(deployment, tuned_model) -> None:
    set_canary(deployment=deployment, model=tuned_model, percent=50, **WHY)
    talk(deployment, range(200))
    Completion.objects.filter(tuned_model=tuned_model).update(state=CompletionState.FAILED)
    guard_deployments()
    assert changes() == ["canary", "withdraw"]


def gone_live(deployment, project, *, n_former: int = 100):
    """The first model had its conversations, of which one in twenty was bad; the second is live now."""
    first, second = make_model(project), make_model(project)
    deploy_model(deployment=deployment, model=first, **WHY)
    talk(deployment, range(n_former), bad=lambda number, model: number % 20 == 0)
    deploy_model(deployment=deployment, model=second, **WHY)
    return first


def test_a_new_model_that_is_worse_is_rolled_back(deployment, project) -> None:
    first = gone_live(deployment, project)
    talk(deployment, range(1000, 1030), bad=lambda number, model: number % 4 > 0)
    guard_deployments()
    change = DeploymentChange.objects.first()
    assert (change.kind, change.to_model, change.by) == (ChangeKind.ROLL_BACK, first, None)
    assert "bad were 22 of 30 conversations, with the former model 5 of 100" in change.reason
    assert Deployment.objects.get().live_model == first
    guard_deployments()
    assert changes() == ["deploy", "deploy", "roll_back"]  # what was rolled back to is not watched


@pytest.mark.parametrize("why", ["as good", "engine away", "little known", "long ago", "not guarded", "went back"])
def test_a_new_model_stays(deployment, project, why) -> None:
    gone_live(deployment, project, n_former=30 if why == "little known" else 100)
    if why == "went back":
        roll_back(deployment=deployment, by=None)
    before = changes()
    state = CompletionState.FAILED if why == "engine away" else CompletionState.DONE
    is_bad = why not in ("as good", "engine away")
    rows = range(1000, 1030)
    talk(deployment, rows, bad=lambda number, model: is_bad and number % 4 > 0)
    Completion.objects.filter(key__in=[f"chatcmpl-{number}" for number in rows]).update(state=state)
    if why == "long ago":
        DeploymentChange.objects.update(at=timezone.now() - timedelta(days=8))
    Deployment.objects.update(is_guarded=why != "not guarded")
    guard_deployments()
    assert changes() == before


def test_a_conversation_counts_once(deployment, tuned_model) -> None:
    since = timezone.now() - timedelta(minutes=1)
    talk(deployment, range(4), bad=lambda number, model: number == 0)
    Completion.objects.update(thread=thread_of("the same"))
    talk(deployment, range(4, 7), thread="")
    found = tally(deployment, None, since=since)
    assert (found.n, found.n_bad, found.share) == (1, 1, 1.0)
    assert tally(deployment, tuned_model, since=since).low is None
