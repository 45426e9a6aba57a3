"""The shadow: copies of real prompts, at a bounded pace, and what reviewers make of the differences."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from deployment.actions.candidate import set_canary, start_shadow
from deployment.actions.errors import JudgedAlready
from deployment.actions.shadow import begin_shadow, end_abandoned_shadows, judge_shadow, run_shadows
from deployment.models import Completion, Deployment, ShadowAnswer
from deployment.queries.release import shadow_counts
from deployment.states import CompletionState, ShadowVerdict
from labeling.models import Case
from tests.deployment.conftest import make_model

pytestmark = pytest.mark.django_db
PROMPT = [{"role": "user", "content": "May I fry in butter?"}]


@pytest.fixture
def shadowed(deployment, tuned_model) -> Deployment:
    """A deployment with a candidate in shadow, which answers every copy."""
    start_shadow(deployment=deployment, model=tuned_model, reason="a test")
    Deployment.objects.update(shadow_percent=100, shadow_per_minute=60)
    deployment.refresh_from_db()
    return deployment


def answered(deployment, number: int = 0, **fields) -> Completion:
    values = {"tuned_model": deployment.live_model, "response": "Yes.", "state": CompletionState.DONE, **fields}
    return Completion.objects.create(
        key=f"chatcmpl-{number}",
        project=deployment.project,
        deployment=deployment,
        model_name=deployment.live_name,
        messages=PROMPT,
        parameters={"temperature": 0, "logprobs": 3},
        **values,
    )


def test_the_candidate_answers_copies_that_stand_beside_the_live_answers(engine, shadowed, tuned_model) -> None:
    live = answered(shadowed)
    assert run_shadows() == 1
    row = ShadowAnswer.objects.get()
    assert (row.completion, row.tuned_model, row.response) == (live, tuned_model, f"{tuned_model.name} says hello")
    assert (row.state, row.is_same, row.n_completion_tokens) == (CompletionState.DONE, False, 3)
    assert engine.requests[-1]["temperature"] == 0
    assert "logprobs" not in engine.requests[-1]
    assert Completion.objects.count() == 1
    assert run_shadows() == 0


def test_only_live_answers_of_this_shadow_are_copied(engine, shadowed, project) -> None:
    answered(shadowed, 1, state=CompletionState.FAILED)
    answered(shadowed, 2, tuned_model=make_model(project))
    answered(shadowed, 3, response="")
    old = answered(shadowed, 4)
    Completion.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(hours=1))
    assert run_shadows() == 0
    set_canary(deployment=shadowed, model=shadowed.candidate_model, percent=5, reason="a test")
    answered(shadowed, 5)
    assert run_shadows() == 0


def test_a_share_is_taken_at_a_bounded_pace(engine, shadowed) -> None:
    for number in range(40):
        answered(shadowed, number)
    Deployment.objects.update(shadow_percent=50, shadow_per_minute=5)
    assert run_shadows() == 5
    ShadowAnswer.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    Deployment.objects.update(shadow_per_minute=60)
    assert 10 <= 5 + run_shadows() <= 30


def test_real_requests_come_first(engine, shadowed) -> None:
    answered(shadowed)
    engine.n_waiting = 1
    assert run_shadows() == 0
    engine.n_waiting = 0
    assert run_shadows() == 1


def test_what_fails_is_kept_and_what_a_crash_left_is_given_up(engine, shadowed) -> None:
    engine.refuse_generate = (507, "no memory left")
    answered(shadowed)
    run_shadows()
    row = ShadowAnswer.objects.get()
    assert (row.state, "no memory left" in row.error) == (CompletionState.FAILED, True)
    answered(shadowed, 1)
    left = begin_shadow(deployment=shadowed)
    end_abandoned_shadows()
    ShadowAnswer.objects.update(created_at=timezone.now() - timedelta(hours=1))
    end_abandoned_shadows()
    left.refresh_from_db()
    assert left.state == CompletionState.FAILED
    assert not ShadowAnswer.objects.to_judge().exists()


def test_the_same_words_need_no_judge(engine, shadowed, tuned_model, project) -> None:
    engine.answers[tuned_model.name] = ["Yes."]
    answered(shadowed)
    run_shadows()
    assert not ShadowAnswer.objects.to_judge().exists()
    assert [(row.n, row.n_identical, row.low) for row in shadow_counts(project)] == [(1, 1, None)]


def test_where_both_are_wrong_a_case_is_opened(engine, shadowed, rita) -> None:
    for number in range(3):
        answered(shadowed, number)
    run_shadows()
    first, second, third = ShadowAnswer.objects.to_judge()
    judge_shadow(shadow=first, verdict=ShadowVerdict.WORSE, by=rita)
    assert not Case.objects.exists()
    judge_shadow(shadow=second, verdict=ShadowVerdict.BOTH_WRONG, by=rita)
    case = Case.objects.get()
    assert (case.wrong_output, case.model_name) == ("Yes.", shadowed.live_name)
    judge_shadow(shadow=third, verdict=ShadowVerdict.BETTER, by=rita, opens_case=True)
    assert {row.pk for row in case.completions.all()} == {second.completion_id, third.completion_id}
    with pytest.raises(JudgedAlready):
        judge_shadow(shadow=third, verdict=ShadowVerdict.SAME, by=rita)
    counts = shadow_counts(shadowed.project)[0]
    assert (counts.n_better, counts.n_worse, counts.n_both_wrong, counts.n_same) == (1, 1, 1, 0)
    assert counts.low == pytest.approx(0.0945, abs=0.001)  # Wilson, 1 of 2
    assert counts.high == pytest.approx(0.9055, abs=0.001)


def test_the_inbox_is_for_reviewers(engine, shadowed, alice, bob, rita, charlie, sign_in) -> None:
    answered(shadowed)
    address = reverse("deployment-shadow-list", args=["kitchen"])
    assert "Nothing to judge" in sign_in(rita).get(address).content.decode()
    run_shadows()
    shadow = ShadowAnswer.objects.get()
    judge = reverse("deployment-shadow-judge", args=["kitchen", shadow.pk])
    assert sign_in(charlie).get(address).status_code == sign_in(charlie).post(judge).status_code == 404
    assert sign_in(bob).get(address).status_code == sign_in(bob).post(judge).status_code == 403
    client = sign_in(rita)
    assert client.post(address).status_code == client.get(judge).status_code == 405
    page = client.get(address).content.decode()
    assert "Yes." in page
    assert shadow.response in page
    assert client.post(judge, {"verdict": "fine"}).status_code == 422
    assert client.post(judge, {"verdict": "better"}).status_code == 302
    assert client.post(judge, {"verdict": "worse"}).status_code == 302
    shadow.refresh_from_db()
    assert (shadow.verdict, shadow.judged_by) == ("better", rita)
    assert "Nothing to judge" in client.get(address).content.decode()
    assert sign_in(alice).get(reverse("deployment-release-show", args=["kitchen"])).status_code == 200
