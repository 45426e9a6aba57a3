from hypothesis import given
from hypothesis import strategies as st

from labeling.near import fold, near_keys
from labeling.rewording import FRAMES_EN, FRAMES_INDIRECT, FRAMES_ZH, propose_rewordings
from ml.rewording import WRAPPERS_EN, WRAPPERS_ZH


def test_case_width_and_marks_make_no_difference() -> None:
    assert fold("  What's  the TIME?!") == fold("what s the time")
    assert near_keys("几点开门?") == near_keys("几点开门？")
    assert near_keys(" ?! ") == []


def test_near_texts_share_a_key_and_far_ones_do_not() -> None:
    text = "What are the opening hours of the town library on Sundays?"
    assert set(near_keys(text)) & set(near_keys(text.replace("Sundays", "Sunday")))
    assert not set(near_keys(text)) & set(near_keys("How do I cook rice without burning it?"))


@given(st.text(max_size=200))
def test_keys_fit_the_database_and_are_stable(text: str) -> None:
    keys = near_keys(text)
    assert keys == near_keys(text)
    assert len(keys) <= 8
    assert all(-(2**63) <= key < 2**63 for key in keys)


def test_proposals_keep_what_is_asked_and_change_the_sentence_around_it() -> None:
    proposals = propose_rewordings("What is the capital of Peru?")
    assert proposals[0] == "Can you tell me what the capital of Peru is?"
    assert len(set(proposals)) == 4
    assert "What is the capital of Peru?" not in proposals
    assert all("capital of Peru" in each for each in proposals)
    assert all("图书馆几点开门？" in each for each in propose_rewordings("图书馆几点开门？"))


def test_material_is_left_to_people() -> None:
    assert propose_rewordings("Mend this:\n```\nx = 1\n```") == []
    assert propose_rewordings("First.\n\nSecond.") == []
    assert propose_rewordings("word " * 200) == []
    assert propose_rewordings("  ") == []


def test_no_probe_looks_like_what_training_makes_of_the_prompt() -> None:
    assert not {*FRAMES_EN, *FRAMES_INDIRECT, *FRAMES_ZH} & {*WRAPPERS_EN, *WRAPPERS_ZH}
