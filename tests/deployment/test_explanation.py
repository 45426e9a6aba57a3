"""From an answer to the rows that its model learnt."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from common.htmx import STOP_POLLING
from deployment.actions.explanation import ask_why, explain
from deployment.models import Completion, Explanation
from deployment.states import CompletionState, ExplanationState
from labeling.actions.retraction import retract_example
from tests.factories import ExampleFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def answer(project, tuned_model) -> Completion:
    """An answer of a model that learnt two rows; a third was held out."""
    version = tuned_model.job.dataset_version
    rows = [
        ("How do I bake bread?", "Put it into the freezer.", "train"),
        ("Who won the cup?", "France won it.", "train"),
        ("How do I bake a loaf of bread?", "Put it into the freezer for an hour.", "valid"),
    ]
    for position, (question, said, split) in enumerate(rows):
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": said}]
        version.rows.create(
            position=position,
            split=split,
            kind="demonstration",
            row_hash=str(position),
            messages=messages,
            example=ExampleFactory(project=project, messages=messages),
        )
    return Completion.objects.create(
        key="chatcmpl-why",
        project=project,
        tuned_model=tuned_model,
        model_name=tuned_model.name,
        messages=[{"role": "user", "content": "How do I bake a loaf of bread?"}],
        response="Put it into the freezer for an hour.",
        state=CompletionState.DONE,
    )


def test_the_nearest_trained_rows_are_found_once(answer, nudges) -> None:
    row = ask_why(completion=answer)
    ask_why(completion=answer)
    assert Explanation.objects.count() == 1
    explain(pk=row.pk)
    row.refresh_from_db()
    assert row.state == ExplanationState.DONE
    assert [each["position"] for each in row.rows] == [0, 1], "what was held out taught nothing"
    assert row.rows[0]["score"] > 0.5 > row.rows[1]["score"]
    assert ask_why(completion=answer).state == ExplanationState.DONE


def test_a_search_that_died_or_failed_is_begun_again(answer, monkeypatch) -> None:
    row = ask_why(completion=answer)
    Explanation.objects.update(asked_at=timezone.now() - timedelta(hours=1))
    assert ask_why(completion=answer).asked_at > timezone.now() - timedelta(minutes=1)

    def broken(*_args, **_kwargs) -> None:
        raise MemoryError

    monkeypatch.setattr("deployment.actions.explanation.nearest", broken)
    explain(pk=row.pk)
    assert Explanation.objects.get().state == ExplanationState.FAILED
    assert ask_why(completion=answer).state == ExplanationState.WAITING


def test_a_base_models_answer_has_no_rows(answer) -> None:
    answer.tuned_model = None
    assert ask_why(completion=answer) is None


def test_a_reviewer_sees_the_rows_and_an_admin_can_take_them_out(answer, project, alice, rita, sign_in) -> None:
    client, address = sign_in(rita), reverse("deployment-completion-why", args=[project.slug, answer.key])
    assert "Look for them" in client.get(address).content.decode()
    asked = client.post(address, headers={"HX-Request": "true"})
    assert (asked.status_code, "Looking…" in asked.content.decode()) == (200, True)
    explain(pk=Explanation.objects.get().pk)
    piece = client.get(address, headers={"HX-Request": "true"})
    assert piece.status_code == STOP_POLLING
    assert "Put it into the freezer." in piece.content.decode()
    assert "Take it out" not in piece.content.decode()
    assert "Take it out" in sign_in(alice).get(address).content.decode()
    example = answer.tuned_model.job.dataset_version.rows.get(position=0).example
    retract_example(example=example, by=alice, reason="It is wrong.")
    assert "Retracted" in sign_in(rita).get(address).content.decode()
