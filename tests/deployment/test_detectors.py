"""Each detector on answers that have its fault, and on good ones that look a little like it."""

import pytest

from deployment.detectors import Answer, KnownCase, Rules, find_faults, find_known
from deployment.states import Detector


def faults(text: str, question: str = "How do I boil an egg?", *, known=(), rules=None, **fields) -> set[str]:
    answer = Answer([{"role": "user", "content": question}], text, **fields)
    found = find_faults(answer, wanted=Detector.values, known=find_known(answer, known), rules=rules)
    return {str(each.value) for each in found}


GOOD = "Put the egg into boiling water for eight minutes, then cool it in cold water and peel it."
FAULTY = [
    ("loop", "Boil it. " + "Then cool it in water and wait. " * 6),
    ("loop", "先把水烧开。" + "然后把鸡蛋放进锅里煮八分钟。" * 6),
    ("loop", "It is very " + "very " * 20),
    ("loop", "\n".join(f"{n}. Boil the egg in water for some minutes." for n in range(1, 12))),
    (
        "loop",
        GOOD + "\n" + "\n".join(f"The answer to the {x} question is the same as that before." for x in "abcdefgh" * 2),
    ),
    ("loop", "Joseph A. " * 7),
    ("loop", "Boil it for " + "WelWel" * 12),
    ("empty", ""),
    ("empty", " \n"),
    ("empty", "…"),
    ("empty", "<|im_end|>"),
    ("refusal", "I'm sorry, but I can't help with that."),
    ("refusal", "As an AI language model, I cannot give opinions on cooking."),
    ("refusal", "It would not be appropriate for me to answer this."),
    ("refusal", "很抱歉，我无法回答这个问题。"),
    ("refusal", "这个问题我不便回答。"),
    ("refusal", "I'd prefer not to answer that."),
    ("refusal", "It's not appropriate for me to respond to that."),
    ("refusal", "Unfortunately, I cannot be of assistance here."),
    ("refusal", "很抱歉，我没有权限处理此请求。"),
    ("refusal", "We are unable to fulfil this request."),
    ("refusal", "I do not have the ability to answer questions like this."),
    ("refusal", "Your request cannot be processed."),
    ("refusal", "对此我无可奉告。"),
    ("refusal", "Apologies, but this isn't something I'm permitted to talk about."),
    ("refusal", "That is outside of what I'm able to help with."),
    ("language", "पहले पानी उबालें, फिर अंडे डालें।"),
    ("language", "Сначала вскипятите воду."),
    ("language", "先把水烧开，然后把鸡蛋放进锅里煮八分钟，再用冷水冷却。"),
    ("language", "Man legt das Ei acht Minuten in kochendes Wasser und kühlt es danach mit kaltem Wasser ab."),
    ("personal", "Ask Peter at peter.huber@posteo.de, he knows."),
    ("personal", "Her card number is 4111 1111 1111 1111."),
    ("personal", "拨打13812345678咨询王师傅。"),
]
FINE = [
    (GOOD, "How do I boil an egg?"),
    ("Knock, knock. " * 12, "Repeat “knock, knock” 12 times."),
    ("- Name:\n- Age:\n- Town:\n- Name of the mother:\n- Name of the father:", "Make a form."),
    ("Ha" * 9 + ", that is a good one!", "What is brown and sticky? A stick."),
    ("Да, конечно, это можно.", "Это можно варить?"),
    ("I have been told not to worry: eight minutes are enough.", "Tell a story about an egg."),
    (
        "她试了三次，最后说：我做不到。于是大家一起帮她把鸡蛋煮好，第二天又教会了她怎么做饭。",
        "写一个关于鸡蛋的小故事。",
    ),
    ("42", "What is six times seven?"),
    ("是", "水会结冰吗？"),
    ("I'm sorry to hear that. Put it into cold water first and drink something.", "I burnt my hand."),
    ("I can't believe how easy it is: eight minutes in boiling water.", "How do I boil an egg?"),
    ("Dear Ann, I am sorry that I cannot help you on Sunday.", "Write a letter that declines an invitation."),
    ("Please provide the text: I cannot summarise what I do not see.", "Summarise the text."),
    ("很遗憾听到这个消息。先用冷水冲手，然后涂一些药膏。", "我的手烫伤了，怎么办？"),
    (
        "先把水烧开，然后把鸡蛋放进锅里煮八分钟，再用冷水冷却。",
        "Translate into Chinese: boil the egg for eight minutes.",
    ),
    ("def boil(egg):\n    return egg.heat(minutes=8)  # then cool it in cold water", "写一个煮鸡蛋的函数。"),
    ("Your address is peter.huber@posteo.de.", "My address is peter.huber@posteo.de. What is it?"),
    ("Write to info@example.com or call 1-800-555-0199.", "How would one contact a firm?"),
    ("Order 123456789012 was sent on 2024-05-06.", "Where is my order?"),
]


@pytest.mark.parametrize(("kind", "text"), FAULTY)
def test_a_fault_is_found_by_its_detector(kind: str, text: str) -> None:
    question = (
        "怎样煮鸡蛋？" if kind != "language" and any(letter > "\u4e00" for letter in text) else "How do I boil an egg?"
    )
    assert faults(text, question) == {kind}


@pytest.mark.parametrize(("text", "question"), FINE)
def test_a_good_answer_is_left(text: str, question: str) -> None:
    assert faults(text, question) == set()


def test_an_answer_is_cut_unless_its_caller_wanted_a_piece() -> None:
    assert faults(GOOD, finish_reason="length") == faults(GOOD, finish_reason="length", max_tokens=512) == {"no_stop"}
    assert faults(GOOD, finish_reason="length", max_tokens=16) == set()


WRONG = (
    "An egg has to be boiled for at least forty minutes, in milk and with a spoon of sugar, so that nobody falls ill."
)


def test_a_corrected_output_that_comes_back_is_known_in_other_spelling() -> None:
    case = KnownCase(7, "How do I boil an egg?", WRONG, GOOD, is_settled=True)
    assert faults(WRONG.upper(), "how do I boil an egg", known=[case]) == {"came_back"}
    assert faults(WRONG.replace("so that", "so"), known=[case]) == {"came_back"}
    assert faults(GOOD, known=[case]) == set()
    assert faults(WRONG, "What did my aunt say about eggs and milk?", known=[case]) == set()
    short = KnownCase(8, "How do I boil an egg?", "No, never in milk.", is_settled=True)
    assert faults("Now ever in milk.", known=[short]) == set()


@pytest.mark.parametrize(
    ("rules", "bad", "good"),
    [
        (Rules(["Acme"]), "Buy it at ACME.", "Acmeist poets wrote about it."),
        (Rules(["竞品"]), "去竞品商店买。", "去商店买。"),
        (Rules(forbidden_pattern=r"\bref \d+"), "See ref 12.", "See the reference."),
        (Rules(must_be_json=True), "Here you are: {}", '```json\n{"minutes": 8}\n```'),
    ],
)
def test_the_rules_of_a_project(rules: Rules, bad: str, good: str) -> None:
    assert (faults(bad, "买什么？ What?", rules=rules), faults(good, "买什么？ What?", rules=rules)) == (
        {"rules"},
        set(),
    )


def test_a_pattern_that_takes_too_long_finds_nothing() -> None:
    assert faults("ab" * 17 + "c", rules=Rules(forbidden_pattern=r"(a|b|ab)*+x|^(([ab])+)+$")) == set()
