"""The detectors at work: what is reported, once, and what they are worth; the page where they are chosen."""

import pytest
from django.urls import reverse

from deployment.actions import upkeep
from deployment.actions.detection import change_detectors, examine_answers
from deployment.models import Completion, Detection, DetectorSettings
from deployment.queries.detection import precisions
from deployment.states import SAMPLERS, CompletionState, Detector
from labeling.actions.case import correct_case, dismiss_case, report_output
from labeling.models import Case, PreferencePair, Report
from labeling.states import CaseState, Source
from tests.deployment.test_completions import make_answer

pytestmark = pytest.mark.django_db
REFUSAL = "I'm sorry, but I can't help with that."


def test_equal_answers_become_one_case_and_each_is_looked_at_once(project, bob) -> None:
    for _number in range(2):
        make_answer(project, bob, response=REFUSAL)
    make_answer(project, bob, response="Ada wrote it.")
    writing = make_answer(project, bob, response=REFUSAL, state=CompletionState.STREAMING)
    assert (examine_answers(), examine_answers()) == (3, 0)
    case = Case.objects.get()
    assert (case.source, case.n_reports, case.n_seen, case.wrong_output) == (Source.DETECTOR, 2, 3, REFUSAL)
    report = case.reports.first()
    assert (report.reason, report.reporter) == ("refused", None)
    assert "Refuses: I'm sorry" in report.comment
    assert [row.has_opened for row in Detection.objects.order_by("pk")] == [True, False]
    Completion.objects.filter(pk=writing.pk).update(state=CompletionState.DONE)
    assert examine_answers() == 1
    case.refresh_from_db()
    assert (case.n_reports, case.n_seen) == (3, 4)


def test_nearly_equal_answers_join_one_case_and_other_prompts_do_not(project, bob) -> None:
    text = "The author is not known. " * 8
    make_answer(project, bob, "Who wrote that old book?", text)
    make_answer(project, bob, "Who wrote that old book", text + "The author is")
    make_answer(project, bob, "Which composer wrote this symphony?", text)
    examine_answers()
    assert sorted(Case.objects.values_list("n_reports", flat=True)) == [1, 2]


def test_what_a_person_has_reported_or_dismissed_is_left(project, bob, rita) -> None:
    reported = make_answer(project, bob, response=REFUSAL)
    case = report_output(
        project=project, messages=reported.messages, wrong_output=REFUSAL, model_name="m", reason="wrong",
        reporter=bob, source=Source.CHAT, completion_key=reported.key,
    )  # fmt: skip
    examine_answers()
    assert (Report.objects.count(), Detection.objects.count()) == (1, 0)
    dismiss_case(case=case, by=rita, reason="fine")
    make_answer(project, bob, response=REFUSAL)
    examine_answers()
    assert (Case.objects.count(), Report.objects.count()) == (1, 1)


def test_off_means_off_and_a_day_has_its_limit(project, bob, alice) -> None:
    change_detectors(project=project, off=["refusal"], by=alice)
    make_answer(project, bob, response=REFUSAL)
    examine_answers()
    assert not Case.objects.exists()
    change_detectors(project=project, off=[], max_cases_per_day=1, by=alice)
    for question in ("Who wrote it?", "What colour has the sky?", "Who wrote it?"):
        make_answer(project, bob, question, REFUSAL)
    examine_answers()
    assert Case.objects.get().n_reports == 2


def test_an_empty_answer_becomes_a_case_that_can_be_corrected(project, bob, rita) -> None:
    make_answer(project, bob, response="")
    examine_answers()
    case = Case.objects.get()
    assert case.wrong_output == ""
    correct_case(case=case, text="Ada wrote it.", by=rita)
    assert (case.state, PreferencePair.objects.count()) == (CaseState.CORRECTED, 0)


def test_what_was_fixed_and_comes_back_opens_a_case(project, bob, rita) -> None:
    wrong = "It was written by a committee of forty people who never agreed on anything, least of all on the title."
    make_answer(project, bob, response=wrong)
    examine_answers()
    assert not Case.objects.exists()
    case = report_output(
        project=project, messages=[{"role": "user", "content": "Who wrote it?"}], wrong_output=wrong,
        model_name="m", reason="wrong", reporter=bob, source=Source.CHAT,
    )  # fmt: skip
    correct_case(case=case, text="Ada wrote it.", by=rita)
    Case.objects.update(state=CaseState.FIXED)
    make_answer(project, bob, response=wrong.replace("who never", "that never"))
    make_answer(project, bob, response="Ada wrote it.")
    examine_answers()
    again = Case.objects.exclude(pk=case.pk).get()
    assert f"It came back: #{case.pk}" in again.reports.get().comment


def test_the_sweep_sends_the_task_only_when_something_waits(project, bob, deployment, nudges) -> None:
    upkeep.sweep()
    assert nudges == []
    make_answer(project, bob)
    upkeep.sweep()
    assert nudges == [("deployment.tasks.examine_answers", None)]


def test_precision_counts_cases_by_what_reviewers_made_of_them(project, bob, rita) -> None:
    for question in ("Who wrote it?", "What colour has the sky?", "When does the train leave?"):
        make_answer(project, bob, question, REFUSAL)
    examine_answers()
    first, second, _waiting = Case.objects.order_by("pk")
    correct_case(case=first, text="Ada wrote it.", by=rita)
    dismiss_case(case=second, by=rita, reason="fine")
    figures = {row.detector: row for row in precisions(project)}
    refusal = figures[Detector.REFUSAL]
    assert (refusal.n_opened, refusal.n_corrected, refusal.n_dismissed, refusal.value) == (3, 1, 1, 0.5)
    assert figures[Detector.LOOP].value is None


def test_an_admin_chooses_the_detectors(project, alice, sign_in) -> None:
    client, address = sign_in(alice), reverse("deployment-detector-edit", args=["kitchen"])
    assert "no verdict yet" in client.get(address).content.decode()
    form = {
        "on_loop": "on",
        "forbidden_words": "Acme",
        "max_cases_per_day": "5",
        "samples_per_day": "0",
        "forbidden_pattern": "",
    }
    assert client.post(address, form).status_code == 302
    settings = DetectorSettings.of(project)
    assert (settings.on, settings.forbidden_words, settings.max_cases_per_day) == (["loop"], "Acme", 5)
    bad = client.post(address, form | {"forbidden_pattern": "("})
    assert (bad.status_code, "This is no pattern" in bad.content.decode()) == (422, True)
    assert DetectorSettings.of(project).on == ["loop"]


def test_only_the_rules_are_off_at_first(project) -> None:
    assert set(Detector.values) - set(DetectorSettings.of(project).on) == {Detector.RULES, *SAMPLERS}


def test_cases_are_sorted_by_how_often_they_are_asked(project, rita, sign_in) -> None:
    from tests.factories import CaseFactory

    few, many = CaseFactory(project=project, n_seen=1), CaseFactory(project=project, n_seen=9)
    client = sign_in(rita)
    page = client.get(reverse("labeling-case-list", args=["kitchen"]), {"sort": "asked"})
    assert [row.pk for row in page.context["page"]] == [many.pk, few.pk]
    assert "asked 9 times" in client.get(reverse("labeling-case-show", args=["kitchen", many.pk])).content.decode()
