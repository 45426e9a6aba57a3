import pytest

from labeling.actions.errors import BadHints, MissingChangeNote, StaleInstructions, UnchangedInstructions
from labeling.actions.instructions import acknowledge, publish_instructions
from labeling.models import Acknowledgement
from labeling.queries import current_instructions, needs_acknowledgement
from labeling.queries.instructions import diff_versions, examples_by_version
from tests.factories import ExampleFactory


def test_versions_count_up_and_stay_as_they_were(project, alice) -> None:
    publish_instructions(project=project, text="Be kind.\r\n", by=alice, based_on=0)
    publish_instructions(project=project, text="Be kind and short.", by=alice, based_on=1, change_note="Shorter.")
    texts = list(project.instruction_versions.order_by("number").values_list("number", "text", "change_note"))
    assert texts == [(1, "Be kind.", ""), (2, "Be kind and short.", "Shorter.")]
    with pytest.raises(ValueError, match="never changed"):
        current_instructions(project).save()


def test_of_two_admins_the_second_sees_the_version_in_between(project, alice) -> None:
    publish_instructions(project=project, text="One.", by=alice, based_on=0)
    publish_instructions(project=project, text="Two, by Alice.", by=alice, based_on=1, change_note="x")
    with pytest.raises(StaleInstructions) as error:
        publish_instructions(project=project, text="Two, by Anna.", by=alice, based_on=1, change_note="y")
    assert error.value.current.text == "Two, by Alice."
    assert (error.value.based_on, "from version 1" in str(error.value)) == (1, True)
    assert project.instruction_versions.count() == 2


def test_a_change_needs_a_change_and_a_note(project, alice) -> None:
    publish_instructions(project=project, text="One.", by=alice, based_on=0)
    with pytest.raises(UnchangedInstructions):
        publish_instructions(project=project, text=" One. ", by=alice, based_on=1, change_note="nothing")
    with pytest.raises(MissingChangeNote):
        publish_instructions(project=project, text="Two.", by=alice, based_on=1, change_note=" ")


def test_a_new_version_has_to_be_read_by_all_but_its_author(project, alice, bob, member_of) -> None:
    version = publish_instructions(project=project, text="One.", by=alice, based_on=0)
    assert needs_acknowledgement(member_of(alice, project)) is None
    assert needs_acknowledgement(member_of(bob, project)) == version
    acknowledge(version=version, user=bob)
    acknowledge(version=version, user=bob)
    assert needs_acknowledgement(member_of(bob, project)) is None
    assert Acknowledgement.objects.filter(user=bob).count() == 1


GOOD = {"prompt": "Why?", "good": "Because.", "bad": "No idea.", "why": "It says nothing."}
EMPTY = dict.fromkeys(GOOD, "")


def test_a_double_click_publishes_once(project, alice) -> None:
    publish_instructions(project=project, text="One.", by=alice, based_on=0)
    same = {"text": "Two.", "by": alice, "based_on": 1, "change_note": "x", "illustrations": [GOOD]}
    first = publish_instructions(project=project, **same)
    assert publish_instructions(project=project, **same) == first
    assert project.instruction_versions.count() == 2


def test_the_same_text_of_another_admin_is_no_double_click(project, alice, rita) -> None:
    publish_instructions(project=project, text="One.", by=alice, based_on=0)
    with pytest.raises(StaleInstructions):
        publish_instructions(project=project, text="One.", by=rita, based_on=0)


def test_examples_and_hints_belong_to_their_version(project, alice) -> None:
    first = publish_instructions(
        project=project, text="One.", by=alice, based_on=0, illustrations=[GOOD, EMPTY], min_words=5, language="en"
    )
    assert list(first.illustrations.values_list("prompt", "position")) == [("Why?", 1)]
    with pytest.raises(ValueError, match="never changed"):
        first.illustrations.get().save()
    with pytest.raises(UnchangedInstructions):
        publish_instructions(
            project=project, text="One.", by=alice, based_on=1, illustrations=[GOOD], min_words=5, language="en"
        )
    with pytest.raises(BadHints):
        publish_instructions(project=project, text="Two.", by=alice, based_on=1, min_words=5, max_words=4)
    second = publish_instructions(project=project, text="One.", by=alice, based_on=1, change_note="No examples.")
    assert (second.illustrations.count(), first.illustrations.count(), second.min_words) == (0, 1, None)


def test_two_versions_compared(project, alice) -> None:
    other = {**GOOD, "prompt": "How?"}
    publish_instructions(project=project, text="Be kind.\nBe short.", by=alice, based_on=0, illustrations=[GOOD, other])
    changed, added = {**GOOD, "good": "Because of this."}, {**GOOD, "prompt": "When?"}
    publish_instructions(
        project=project,
        text="Be kind.\nBe brief.",
        by=alice,
        based_on=1,
        change_note="x",
        illustrations=[other, changed, added],
        max_words=9,
    )
    found = diff_versions(*project.instruction_versions.order_by("number"))
    assert [(piece.kind, piece.text) for piece in found.text] == [
        ("same", "Be kind.\nBe "),
        ("removed", "short"),
        ("added", "brief"),
        ("same", "."),
    ]
    assert [(row.kind, row.prompt[0].text) for row in found.illustrations] == [("changed", "Why?"), ("added", "When?")]
    assert [(before, after) for _name, before, after in found.hints] == [("–", "9")]


def test_how_many_examples_follow_each_version(project, alice) -> None:
    versions = [
        publish_instructions(project=project, text=f"{n}.", by=alice, based_on=n, change_note="x") for n in range(2)
    ]
    for version, n in zip(versions, (2, 1), strict=True):
        ExampleFactory.create_batch(n, project=project, instruction_version=version)
    ExampleFactory(project=project, instruction_version=versions[0], retracted_at=versions[0].published_at)
    assert examples_by_version(project) == {1: 2, 2: 1}
