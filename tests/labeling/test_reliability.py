"""The figures of published examples, and sums done by hand."""

import pytest

from labeling.reliability import MIN_ITEMS, measure

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers, twelve units.
# Nominal alpha is 0.743, ordinal 0.815.
OBSERVERS = [
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
]
UNITS = {
    unit: {person: row.split()[unit] for person, row in enumerate(OBSERVERS) if row.split()[unit] != "."}
    for unit in range(12)
}


def yes_no(text: str) -> dict[int, dict[int, str]]:
    """Two people; "yy yn" is two items on which the second was disagreed."""
    return {number: {1: pair[0], 2: pair[1]} for number, pair in enumerate(text.split())}


@pytest.fixture
def small(monkeypatch) -> None:
    monkeypatch.setattr("labeling.reliability.MIN_ITEMS", 4)


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_krippendorffs_own_example(small, level, alpha) -> None:
    found = measure(UNITS, values=list("12345"), level=level)
    assert found.alpha is not None
    assert round(found.alpha.value, 3) == alpha
    assert found.alpha.low < alpha < found.alpha.high <= 1
    assert (found.n_items, found.n_judgements) == (11, 40)  # the twelfth unit has one judgement


@pytest.mark.parametrize(
    ("first", "second", "alpha"),
    [("0100000010", "1110010000", 0.095), ("aabbdcccedda", "babbbccceddd", 0.692)],
)
def test_his_examples_of_two_observers(small, first, second, alpha) -> None:
    """Sections A (ten articles, yes or no) and B (twelve articles, five values) of the same paper."""
    pairs = {number: dict(enumerate(pair)) for number, pair in enumerate(zip(first, second, strict=True))}
    found = measure(pairs, values=sorted({*first, *second}), level="nominal")
    assert found.alpha is not None
    assert round(found.alpha.value, 3) == alpha


def test_two_people_by_hand(small) -> None:
    """Ten items, 2 unequal. n_y = 12, n_n = 8 of 20. D_o = 4/20, D_e = 2*12*8 / (20*19); alpha = 1 - 0.2/0.50526 = 0.60417."""
    found = measure(yes_no("yy yy yy yy yy nn nn nn yn ny"), values=["y", "n"], level="nominal")
    assert found.same is not None
    assert found.alpha is not None
    assert found.same.value == 0.8
    assert round(found.alpha.value, 5) == 0.60417
    assert found.table == [[5, 2], [0, 3]]


def test_a_person_is_measured_on_their_own_items_and_pairs(small) -> None:
    items = {n: {1: "y", 2: "y", 3: "n"} for n in range(4)} | {n: {2: "y", 3: "n"} for n in range(4, 9)}
    found = measure(items, values=["y", "n"], level="nominal", person=1)
    assert found.same is not None
    assert (found.n_items, found.n_judgements, found.same.value) == (4, 12, 0.5)
    assert found.table == [[4, 4], [0, 0]]


def test_too_few_items_say_nothing() -> None:
    found = measure({n: {1: "y", 2: "n"} for n in range(MIN_ITEMS - 1)}, values=["y", "n"], level="nominal")
    assert (found.same, found.alpha) == (None, None)
    assert found.n_items == MIN_ITEMS - 1
    assert found.table == [[0, MIN_ITEMS - 1], [0, 0]]
    assert measure({n: {1: "y", 2: "n"} for n in range(MIN_ITEMS)}, values=["y", "n"], level="nominal").alpha


def test_who_always_says_the_same_agrees_but_has_no_alpha(small) -> None:
    found = measure(yes_no("yy yy yy yy"), values=["y", "n"], level="nominal")
    assert found.alpha is None
    assert found.same is not None
    assert (found.same.value, found.same.low, found.same.high) == (1, 1, 1)


def test_the_same_judgements_give_the_same_interval(small) -> None:
    items = yes_no("yy yy yn nn nn ny")
    assert measure(items, values=["y", "n"], level="nominal") == measure(items, values=["y", "n"], level="nominal")
