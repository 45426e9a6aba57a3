import pytest

from common.conversations import digest
from common.models import Transition
from labeling.actions.case import claim_case, correct_case
from labeling.actions.case_training import settle_case, start_training
from labeling.actions.errors import (
    BadCheck,
    BadConversation,
    BadProbe,
    HeldByOther,
    NotCorrectable,
    UnchangedText,
)
from labeling.actions.retraction import retract_example
from labeling.models import Correction, Draft, Example, PreferencePair, Probe, RegressionTest
from labeling.queries import regression_suite
from labeling.states import CaseState, ExampleKind
from tests.factories import CaseFactory, ExampleFactory, InstructionVersionFactory

PROMPT = [{"role": "user", "content": "Which city is the capital of Australia?"}]


@pytest.fixture
def case(project):
    return CaseFactory(project=project, messages=PROMPT, wrong_output="It is Sydney.")


def nothing_was_written() -> bool:
    return not any(model.objects.exists() for model in (Correction, Example, PreferencePair, RegressionTest, Probe))


def test_a_correction_is_an_example_a_pair_and_a_test(case, rita) -> None:
    version = InstructionVersionFactory(project=case.project)
    Draft.objects.create(user=rita, case=case, content={"text": "It is C"})
    correction = correct_case(
        case=case,
        text=" It is Canberra.\r\n",
        by=rita,
        note="wrong city",
        checks=[{"kind": "contains", "value": "Canberra"}],
        probes=["Name Australia's capital."],
    )
    assert (correction.text, correction.author, correction.instruction_version) == ("It is Canberra.", rita, version)
    example = correction.example
    answer = {"role": "assistant", "content": "It is Canberra."}
    assert (example.kind, example.messages) == (ExampleKind.CORRECTION, [*PROMPT, answer])
    assert (example.author, example.accepted_by, example.instruction_version) == (rita, rita, version)
    assert (example.content_hash, example.prompt_hash) == (digest([*PROMPT, answer]), digest(PROMPT))
    pair = correction.preference_pair
    assert (pair.messages, pair.chosen, pair.rejected) == (PROMPT, "It is Canberra.", "It is Sydney.")
    test = regression_suite(case.project).get()
    assert (test.case, test.correction, test.chosen, test.rejected) == (case, correction, pair.chosen, pair.rejected)
    assert test.checks == [{"kind": "contains", "value": "Canberra"}]
    assert [probe.messages for probe in test.probes.all()] == [
        [{"role": "user", "content": "Name Australia's capital."}]
    ]
    assert (case.state, case.leased_by, case.wrong_output) == (CaseState.CORRECTED, None, "It is Sydney.")
    assert [(row.after, row.by_name) for row in Transition.objects.of(case)] == [
        ("claimed", "Rita"),
        ("corrected", "Rita"),
    ]
    assert not Draft.objects.exists()


@pytest.mark.parametrize(
    ("text", "more", "error"),
    [
        ("  ", {}, BadConversation),
        (" It  is\nSydney. ", {}, UnchangedText),
        ("It is Canberra.", {"checks": [{"kind": "contains", "value": "Perth"}]}, BadCheck),
        ("It is Canberra.", {"checks": [{"kind": "matches", "value": "("}]}, BadCheck),
        ("It is Canberra.", {"probes": ["Which city is the capital of Australia?"]}, BadProbe),
        ("It is Canberra.", {"probes": [" "]}, BadProbe),
        ("It is Canberra.", {"probes": [[{"role": "assistant", "content": "Hm?"}]]}, BadProbe),
    ],
)
def test_what_cannot_be_a_correction_leaves_nothing(case, rita, text, more, error) -> None:
    with pytest.raises(error):
        correct_case(case=case, text=text, by=rita, **more)
    case.refresh_from_db()
    assert case.state == CaseState.OPEN
    assert nothing_was_written()
    assert not Transition.objects.exists()


def test_a_failure_in_the_middle_leaves_nothing(case, rita, monkeypatch) -> None:
    def fail(**fields: object) -> None:
        assert Example.objects.exists()
        raise OSError("disk full")

    monkeypatch.setattr("labeling.actions.case.write_test", fail)
    with pytest.raises(OSError, match="disk full"):
        correct_case(case=case, text="It is Canberra.", by=rita)
    case.refresh_from_db()
    assert case.state == CaseState.OPEN
    assert nothing_was_written()


def test_a_probe_that_is_trained_on_is_refused(case, rita) -> None:
    example = ExampleFactory(project=case.project)
    trained = example.messages[0]["content"]
    with pytest.raises(BadProbe) as caught:
        correct_case(case=case, text="It is Canberra.", by=rita, probes=["Fine?", trained])
    assert (caught.value.prompt, trained in str(caught.value)) == (trained, True)


def test_a_probe_that_another_correction_trains_on_is_held_out_no_longer(case, rita) -> None:
    correct_case(case=case, text="It is Canberra.", by=rita, probes=["Name the capital.", "Capital, please?"])
    other = CaseFactory(
        project=case.project,
        messages=[{"role": "user", "content": "Name the capital."}],
        wrong_output="Sydney, of course.",
    )
    correct_case(case=other, text="Canberra.", by=rita)
    assert [probe.messages[0]["content"] for probe in case.test.probes.all()] == ["Capital, please?"]


def test_a_probe_stands_in_place_of_the_last_turn(project, rita) -> None:
    opening = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hello!"},
    ]
    case = CaseFactory(project=project, messages=[*opening, {"role": "user", "content": "Two plus two?"}])
    correct_case(case=case, text="Four.", by=rita, probes=["2 + 2?"])
    assert case.test.probes.get().messages == [*opening, {"role": "user", "content": "2 + 2?"}]


def test_a_second_correction_takes_the_place_of_the_first(case, rita, alice) -> None:
    first = correct_case(case=case, text="Canbera.", by=rita, probes=["Name it."])
    start_training(cases=[case])
    settle_case(case=case, is_fixed=False, model_name="m1")
    second = correct_case(case=case, text="It is Canberra.", by=alice, probes=["Say its name."])
    assert Example.objects.trainable().get().correction == second
    assert Example.objects.get(correction=first).retracted_at is not None
    assert list(PreferencePair.objects.filter(retracted_at=None)) == [second.preference_pair]
    test = RegressionTest.objects.get()
    assert (test.correction, test.chosen) == (second, "It is Canberra.")
    assert [probe.messages[0]["content"] for probe in test.probes.all()] == ["Say its name."]


def test_two_wrong_outputs_with_one_right_answer_share_the_example(case, rita) -> None:
    twin = CaseFactory(project=case.project, messages=PROMPT, wrong_output="Melbourne.")
    first = correct_case(case=case, text="It is Canberra.", by=rita)
    second = correct_case(case=twin, text="It is Canberra.", by=rita)
    assert Example.objects.get().correction == first
    assert regression_suite(case.project).count() == PreferencePair.objects.count() == 2
    start_training(cases=[case])
    settle_case(case=case, is_fixed=False, model_name="m1")
    correct_case(case=case, text="Canberra, in the south-east.", by=rita)
    trained = Example.objects.trainable().order_by("pk")
    assert {row.messages[-1]["content"] for row in trained} == {"It is Canberra.", "Canberra, in the south-east."}
    assert trained.get(correction=second).content_hash == digest(
        [*PROMPT, {"role": "assistant", "content": "It is Canberra."}]
    )


def test_a_retracted_correction_leaves_training_and_the_suite(case, rita, alice) -> None:
    twin = CaseFactory(project=case.project, messages=PROMPT, wrong_output="Melbourne.")
    correction = correct_case(case=case, text="It is Canberra.", by=rita)
    correct_case(case=twin, text="It is Canberra.", by=rita)
    other = CaseFactory(project=case.project)
    correct_case(case=other, text="Its author.", by=rita)
    retract_example(example=correction.example, by=alice, reason="Wrong after all")
    assert [row.correction.case for row in Example.objects.trainable()] == [other]
    assert [pair.chosen for pair in PreferencePair.objects.filter(retracted_at=None)] == ["Its author."]
    assert [test.case for test in regression_suite(case.project)] == [other]


def test_of_two_reviewers_one_corrects(case, rita, alice) -> None:
    claim_case(case=case, by=rita)
    with pytest.raises(HeldByOther):
        correct_case(case=case, text="It is Canberra.", by=alice)
    correct_case(case=case, text="It is Canberra.", by=rita)
    with pytest.raises(NotCorrectable) as caught:
        correct_case(case=case, text="It is Perth.", by=alice)
    assert caught.value.case.state == CaseState.CORRECTED
    assert Correction.objects.get().text == "It is Canberra."


def test_the_system_corrects_without_a_person(case) -> None:
    correction = correct_case(case=case, text="It is Canberra.", by=None)
    assert (correction.author, correction.example.accepted_by) == (None, None)
    assert (case.state, case.leased_by) == (CaseState.CORRECTED, None)
