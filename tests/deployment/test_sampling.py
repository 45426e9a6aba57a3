"""The sample of the traffic: what is put before reviewers, how much of it, and what it counts as."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from deployment.actions.detection import change_detectors, examine_answers
from deployment.actions.sampling import sample_answers
from deployment.models import Completion, Detection
from deployment.queries.detection import precisions
from deployment.queries.release import tally
from deployment.states import Detector
from labeling.actions.case import correct_case, dismiss_case
from labeling.models import Case
from labeling.states import Source
from tests.deployment.test_completions import make_answer

pytestmark = pytest.mark.django_db
KNOWN = "How do I bake a sourdough bread?"


@pytest.fixture
def asked(project, bob, deployment):
    def ask(question: str, response: str, logprob: float, **fields) -> Completion:
        fields = {
            "n_completion_tokens": 20,
            "thread": question[:16],
            "deployment": deployment,
            "tuned_model": deployment.live_model,
        } | fields
        return make_answer(project, bob, question, response, mean_logprob=logprob, **fields)

    return ask


def sampled() -> list[tuple[str, str]]:
    return list(Detection.objects.order_by("pk").values_list("detector", "completion__messages__0__content"))


def let_hours_pass(hours: float) -> None:
    for row in Detection.objects.all():
        Detection.objects.filter(pk=row.pk).update(created_at=row.created_at - timedelta(hours=hours))


def test_the_least_sure_and_the_least_known_come_in_turn_and_spread_over_the_day(project, asked) -> None:
    change_detectors(project=project, samples_per_day=48)
    dismissed = asked(KNOWN, "Mix, rest, bake.", -0.2)
    asked("How do I bake a rye bread?", "With a sour dough, too.", -0.1)
    asked("How do I bake a bread with nuts?", "Put nuts into it, then bake.", -2.5)
    asked("Which of the moons of Saturn has an atmosphere?", "Titan has one.", -0.3)
    asked("How do I bake?", "Hm.", -9.0, n_completion_tokens=2)
    Completion.objects.filter(pk=dismissed.pk).update(rating=1)
    assert sample_answers() == 0, "the detectors come first"
    examine_answers()
    Case.objects.create(
        project=project, messages=dismissed.messages, wrong_output="x", prompt_hash="0", output_hash="0", model_name="m"
    )
    assert sample_answers() == 2
    assert sampled() == [
        (Detector.UNCERTAIN, "How do I bake a bread with nuts?"),
        (Detector.NOVEL, "Which of the moons of Saturn has an atmosphere?"),
    ]
    case = Case.objects.filter(source=Source.SAMPLE).first()
    assert case.reports.get().comment == "Sample: the model was unsure (mean log-probability -2.50)."
    assert sample_answers() == 0
    let_hours_pass(0.6)
    assert sample_answers() == 1
    let_hours_pass(30)
    assert sample_answers() == 1
    let_hours_pass(30)
    assert sample_answers() == 0, "the one left was rated good"


def test_without_a_number_nothing_is_sampled_and_never_more_than_a_day_brings(project, asked) -> None:
    for number in range(6):
        asked(f"Question number {number}?", f"Answer {number}.", -1.0)
    examine_answers()
    assert sample_answers() == 0
    change_detectors(project=project, samples_per_day=2)
    assert sample_answers() == 1
    let_hours_pass(12.5)
    assert sample_answers() == 1
    let_hours_pass(11)
    assert (sample_answers(), len(sampled())) == (0, 2)


def test_a_sampled_answer_counts_as_bad_once_it_is_corrected(project, asked, rita, deployment) -> None:
    change_detectors(project=project, samples_per_day=24)
    wrong, fine = asked("What is two and two?", "Five.", -3.0), asked("Where is the harbour?", "In the north.", -2.0)
    examine_answers()
    sample_answers()
    let_hours_pass(1.5)
    sample_answers()
    cases = {row.pk: Completion.objects.get(pk=row.pk).case for row in (wrong, fine)}
    assert {case.source for case in cases.values()} == {Source.SAMPLE}

    def n_bad() -> int:
        since = timezone.now() - timedelta(days=1)
        return tally(deployment, deployment.live_model, since=since).n_bad

    assert n_bad() == 0
    dismiss_case(case=cases[fine.pk], by=rita, reason="fine")
    assert n_bad() == 0
    correct_case(case=cases[wrong.pk], text="Four.", by=rita)
    assert n_bad() == 1
    figures = {each.detector: each for each in precisions(project)}
    assert (figures[Detector.UNCERTAIN].n_corrected, figures[Detector.NOVEL].n_dismissed) == (1, 1)


def test_what_a_detector_found_counts_as_bad_at_once(project, asked, deployment) -> None:
    asked("Who wrote it?", "I'm sorry, but I can't help with that.", -0.5)
    examine_answers()
    found = tally(deployment, deployment.live_model, since=timezone.now() - timedelta(days=1))
    assert (found.n, found.n_bad) == (1, 1)


def test_the_page_sets_how_many_and_shows_what_became_of_them(project, alice, sign_in) -> None:
    client, address = sign_in(alice), reverse("deployment-detector-edit", args=[project.slug])
    typed = {"max_cases_per_day": 50, "samples_per_day": 12}
    assert client.post(address, typed | {"samples_per_day": 501}).status_code == 422
    assert client.post(address, typed).status_code == 302
    page = client.get(address).content.decode()
    assert 'value="12"' in page
    assert "Sample: unsure" in page
    assert 'name="on_uncertain"' not in page
