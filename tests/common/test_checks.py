import pytest

from common.checks import CheckError, clean_check, passes


@pytest.mark.parametrize(
    ("kind", "value", "good", "bad"),
    [
        ("contains", "canberra", "It is Canberra.", "It is Sydney."),
        ("contains", "堪培拉", "首都是堪培拉。", "首都是悉尼。"),
        ("excludes", "SYDNEY", "It is Canberra.", "It is Sydney."),
        ("matches", r"^\d{4}$", "1066", "In 1066"),
        ("matches", "Canberra", "It is Canberra.", "it is canberra."),
        ("max_words", 3, "one two three", "one two three four"),
        ("max_words", "3", "one", "one two three four"),
        ("json", None, '{"a": [1]}', "{a: 1}"),
    ],
)
def test_a_check_tells_a_right_answer_from_a_wrong_one(kind, value, good, bad) -> None:
    check = clean_check({"kind": kind, "value": value})
    assert passes(check, good)
    assert not passes(check, bad)


@pytest.mark.parametrize(
    ("check", "code"),
    [
        ("contains", "not_a_check"),
        ({"value": "x"}, "unknown_kind"),
        ({"kind": "contains", "value": "  "}, "no_value"),
        ({"kind": "excludes", "value": 4}, "no_value"),
        ({"kind": "contains", "value": "x" * 501}, "too_long"),
        ({"kind": "matches", "value": "("}, "pattern"),
        ({"kind": "max_words", "value": "few"}, "number"),
        ({"kind": "max_words", "value": 0}, "number"),
        ({"kind": "max_words", "value": True}, "number"),
    ],
)
def test_a_check_that_makes_no_sense_is_refused(check, code) -> None:
    with pytest.raises(CheckError) as caught:
        clean_check(check)
    assert caught.value.code == code


def test_a_runaway_pattern_does_not_match_and_does_not_hang(monkeypatch) -> None:
    monkeypatch.setattr("common.checks.PATTERN_TIMEOUT_S", 0.05)
    assert not passes({"kind": "matches", "value": r"^(a|aa)+$"}, "a" * 200 + "b")
