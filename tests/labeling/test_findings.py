"""The checks as pure functions: what they find, and what they leave in peace."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.findings.chatbots import find_chatbot
from labeling.findings.fingerprints import (
    N_BANDS,
    band_keys,
    estimate_overlap,
    overlap,
    pair_words,
    sketch_pairs,
    split_words,
)
from labeling.findings.languages import detect_language, find_other_language
from labeling.findings.lengths import count_words, find_length
from labeling.findings.personal import find_personal
from labeling.findings.places import QUOTE_LENGTH, shorten
from labeling.findings.unfinished import find_unfinished
from tests.word_counts import WORD_COUNTS

CODE = "```python\ndef add(a, b):\n    return a + b,\n```"
TABLE = "| town | people |\n|---|---|\n| Lund | 94,000 |\n| Umeå | 91,000 |"
LIST = "- apples\n- pears and plums\n- 12 eggs"
FINE = [
    "42",
    "Yes.",
    "是的。",
    "Paris",
    CODE,
    TABLE,
    LIST,
    "The kettle boils at 100 degrees. Turn it off and let it stand.",
    "水在一百度沸腾。把壶关掉，放一会儿。",
    "He was president from 1994-1999 and again 2003-2007; the vote was 62,040,610 to 59,028,444.",
    "pi is 3.14159265358979 and e is 2.718281828459045",
    "The ISBN is 978-3-16-148410-0, order number 20231114-000123.",
    "AI models learn from data. ChatGPT was trained by OpenAI; an AI assistant answers questions.",
    "人工智能是计算机科学的一个分支。语言模型可以预测下一个词。",
]


@pytest.mark.parametrize("text", FINE)
def test_ordinary_answers_are_left_in_peace(text: str) -> None:
    assert find_personal(text) == []
    assert find_chatbot(text) == []
    assert find_unfinished(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Write to jane.doe@gmail.com today.", [("mail", "jane.doe@gmail.com")]),
        ("请发邮件到zhang.wei@qq.com，谢谢。", [("mail", "zhang.wei@qq.com")]),
        ("My card is 4539 1488 0343 6467.", [("card", "4539 1488 0343 6467")]),
        ("卡号4539148803436467，请查收", [("card", "4539148803436467")]),
        ("卡号6222021001122334455不对", []),  # no valid check digit
        ("我的身份证号是11010519491231002X。", [("id", "11010519491231002X")]),
        ("编号110105194912310021", []),  # the check digit is wrong
        ("My SSN is 536-90-4399.", [("id", "536-90-4399")]),
        ("Pay to DE89 3704 0044 0532 0130 00, please.", [("account", "DE89 3704 0044 0532 0130 00")]),
        ("我的手机是13812345678，请打给我", [("phone", "13812345678")]),
        ("Call +44 20 7946 0018 or so.", [("phone", "+44 20 7946 0018")]),
        ("Call (212) 736-5000 now.", [("phone", "(212) 736-5000")]),
        ("Ask help@example.org or call (212) 555-0123.", []),  # reserved for examples
    ],
)
def test_personal_data(text: str, found: list[tuple[str, str]]) -> None:
    assert find_personal(text) == found


def test_a_long_text_of_digits_is_read_in_bounded_time() -> None:
    assert find_personal("1 " * 20_000) == []


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I cannot taste food.",
        "As a large language model, I have no opinion.",
        "Sorry, I'm just an AI assistant.",
        "I am ChatGPT, and I like soup.",
        "I was not there: my knowledge cutoff is 2021.",
        "Soup is good.\nRegenerate response",
        "See https://example.org/?utm_source=chatgpt.com",
        "作为一个人工智能语言模型，我没有味觉。",
        "作为AI助手，我无法回答。",
        "很抱歉，我是一个语言模型，不能吃饭。",
        "截至我上次知识更新，情况并非如此。",
    ],
)
def test_a_chatbots_words(text: str) -> None:
    [words, *_more] = find_chatbot(text)
    assert words in text


def test_the_first_words_of_a_chatbot_come_first() -> None:
    assert find_chatbot("I'm an AI. As an AI, I cannot.") == ["I'm an AI", "As an AI"]


ENGLISH = (
    "The kettle is ready when the water has boiled for a minute, so be patient and keep an eye on it while you wait."
)
GERMAN = "Der Wasserkocher ist fertig, wenn das Wasser eine Minute lang gekocht hat, also haben Sie bitte etwas Geduld."
CHINESE = "水烧开一分钟以后就可以关火了，请耐心等待，不要离开厨房。"


@pytest.mark.parametrize(
    ("prompt", "answer", "found"),
    [
        (ENGLISH, GERMAN, ("en", "de")),
        (CHINESE, ENGLISH, ("zh", "en")),
        (ENGLISH, CHINESE, ("en", "zh")),
        (ENGLISH, ENGLISH, None),
        (CHINESE, CHINESE, None),
        (f"Translate into German: {ENGLISH}", GERMAN, None),
        (f"把下面这句话翻译一下：{CHINESE}", ENGLISH, None),
        (ENGLISH, "42", None),
        (ENGLISH, CODE, None),
        (ENGLISH, "Tenerife, La Palma, El Hierro", None),
    ],
)
def test_another_language_than_the_prompts(prompt: str, answer: str, found: tuple[str, str] | None) -> None:
    assert find_other_language(prompt=prompt, answer=answer) == found


def test_code_and_control_characters_have_no_language() -> None:
    assert detect_language(f"{CODE}\n\x01\x7f") is None
    assert detect_language(f"{ENGLISH}\ud800\x01") == "en"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("First boil the water, then add the tea leaves and", "end"),
        ("You need three things: a kettle, a cup,", "end"),
        ("先把水烧开，然后放入茶叶，最后加一点糖，例如", "end"),
        ("先把水烧开，然后放入茶叶，最后加一点糖，", "end"),
        ("Here it is:\n```python\nprint(1)", "fence"),
        ("Boil the water.\nTODO: say for how long", "placeholder"),
        ("先把水烧开。【待补充】", "placeholder"),
    ],
)
def test_unfinished_texts(text: str, what: str) -> None:
    found = find_unfinished(text)
    assert found is not None
    assert found[0] == what


@pytest.mark.parametrize(
    ("text", "limits", "found"),
    [
        ("Boil the water.", (5, None), ("short", 3, 5)),
        ("Boil the water.", (None, 2), ("long", 3, 2)),
        ("把水烧开。", (None, 3), ("long", 4, 3)),
        ("Boil the water.", (3, 3), None),
        ("Boil the water.", (None, None), None),
    ],
)
def test_length(text: str, limits: tuple[int | None, int | None], found: tuple[str, int, int] | None) -> None:
    assert find_length(text, fewest=limits[0], most=limits[1]) == found


@pytest.mark.parametrize(("text", "n"), WORD_COUNTS)
def test_words_are_counted_as_below_the_editor(text: str, n: int) -> None:
    assert count_words(text) == n


def test_words_and_pairs() -> None:
    assert split_words("The CAT, the ｃａｔ: 猫很好!") == ["the", "cat", "the", "cat", "猫", "很", "好"]
    assert pair_words("a b a b") == {"a b", "b a"}
    assert pair_words("Forty-two") == {"forty two"}
    assert pair_words("42") == {"42"}
    assert pair_words("…") == frozenset()
    assert overlap(pair_words("a b c"), pair_words("a b d")) == pytest.approx(1 / 3)


def test_band_keys_stay_what_they_are() -> None:
    """They are kept in the database: when a new rensa gives others, `fill_in_fingerprints --anew` has to be run."""
    keys = band_keys(sketch_pairs(pair_words("the quick brown fox")), space="1:answer")
    assert len(keys) == N_BANDS
    assert keys[0] == 8572974116238478590


@given(st.lists(st.sampled_from("abcdefghij"), max_size=60), st.lists(st.sampled_from("abcdefghij"), max_size=60))
def test_overlap_is_a_symmetric_share_and_equal_pairs_share_every_band(one: list[str], other: list[str]) -> None:
    first, second = pair_words(" ".join(one)), pair_words(" ".join(other))
    assert overlap(first, second) == overlap(second, first)
    assert 0 <= overlap(first, second) <= 1
    if first == second:
        assert band_keys(sketch_pairs(first), space="x") == band_keys(sketch_pairs(second), space="x")
        assert overlap(first, second) == bool(first)


def test_a_text_with_one_word_changed_shares_a_band_but_none_with_another_space() -> None:
    words = [f"word{number}" for number in range(60)]
    changed = [*words[:30], "other", *words[31:]]
    one, other = (sketch_pairs(pair_words(" ".join(each))) for each in (words, changed))
    assert 0.8 < estimate_overlap(one, other) < estimate_overlap(one, one) == 1
    assert set(band_keys(one, space="1")) & set(band_keys(other, space="1"))
    assert not set(band_keys(one, space="1")) & set(band_keys(one, space="2"))


def test_a_quote_is_one_short_line() -> None:
    assert shorten("a\n b") == "a b"
    assert len(shorten("a" * 500)) == QUOTE_LENGTH
