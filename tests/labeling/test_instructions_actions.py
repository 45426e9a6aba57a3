import pytest

from labeling.actions.errors import MissingChangeNote, StaleInstructions, UnchangedInstructions
from labeling.actions.instructions import acknowledge, publish_instructions
from labeling.models import Acknowledgement
from labeling.queries import current_instructions, needs_acknowledgement


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
