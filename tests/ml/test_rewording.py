import random

from ml.rewording import WRAPPERS_EN, WRAPPERS_ZH, drop_words, lower_first, reword, wrap


def test_lower_first_keeps_names_of_capitals_and_i():
    assert lower_first("What is it?") == "what is it?"
    assert lower_first("I am here") == "I am here"
    assert lower_first("I'm here") == "I'm here"
    assert lower_first("NASA flew") == "NASA flew"
    assert lower_first("") == ""


def test_wrapping_keeps_the_request():
    for seed in range(40):
        assert "is the moon far" in wrap("Is the moon far?", rng=random.Random(seed)).lower()


def test_chinese_requests_are_wrapped_in_chinese():
    for seed in range(20):
        worded = wrap("月亮远吗?", rng=random.Random(seed))
        assert "月亮远吗" in worded
        assert not any(character.isascii() and character.isalpha() for character in worded)


def test_dropping_words_keeps_order_and_never_drops_all():
    for seed in range(20):
        kept = drop_words("a b c d", share=0.5, rng=random.Random(seed))
        assert kept
        assert kept == " ".join(sorted(kept.split()))
    assert drop_words("a", share=1.0, rng=random.Random(0)) == "a"


def test_rewording_follows_its_seed_and_varies():
    wordings = [reword("What is the moon made of?", rng=random.Random(seed)) for seed in range(30)]
    assert wordings == [reword("What is the moon made of?", rng=random.Random(seed)) for seed in range(30)]
    assert len(set(wordings)) > 10


def test_every_wrapper_has_exactly_one_place_for_the_request():
    for wrapper in WRAPPERS_EN + WRAPPERS_ZH:
        assert wrapper.count("{") == 1
