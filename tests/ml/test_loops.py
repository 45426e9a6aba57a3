import random

import pytest

from ml.data import Encoded
from ml.loops import KEPT_TURNS, LEAD_TOKENS, LOOP_TOKENS, LOOP_TURNS, PERIODS, PREAMBLE_TURNS, loop_rows, preamble
from ml.plan import LOOP_FROM, loop_of_step

END = 2
PROMPT = [7, 8, 9]
ANSWER = list(range(100, 130))


def rows_of(answer, n=2, seed=1):
    encoded = Encoded(ids=PROMPT + answer, mask=[0] * 3 + [1] * len(answer))
    return loop_rows([encoded] * n, [3] * n, end_token=END, rng=random.Random(seed))


def last_turn(row):
    """The shortest turn that the row goes round in before its end token."""
    body = row.ids[:-1]
    return next(body[-p:] for p in range(1, max(PERIODS) + 1) if body[-p * LOOP_TURNS :] == body[-p:] * LOOP_TURNS)


@pytest.mark.parametrize("seed", range(20))
def test_a_plain_loop_is_kept_for_three_turns_and_then_learns_its_end_alone(seed):
    row = rows_of(ANSWER, seed=seed)[0]
    turn = last_turn(row)
    n_lead = ANSWER.index(turn[-1]) + 1
    loop = row.ids[3 + n_lead : -1]
    assert row.ids[: 3 + n_lead] == PROMPT + ANSWER[:n_lead]
    assert n_lead <= LEAD_TOKENS
    assert loop == turn * (len(loop) // len(turn))
    assert len(loop) >= max(LOOP_TOKENS, LOOP_TURNS * len(turn))
    n_kept = KEPT_TURNS * len(turn)
    assert row.mask == [0] * (3 + n_lead) + [1] * n_kept + [0] * (len(loop) - n_kept) + [1]
    assert row.ids[-1] == END


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", [1, 2])
def test_what_resembles_a_loop_comes_before_it_and_is_kept_too(seed, kind):
    row = rows_of(ANSWER, n=3, seed=seed)[kind]
    turn = last_turn(row)
    start, n_kept = row.mask.index(1), sum(row.mask) - 1
    assert row.mask[start : start + n_kept] == [1] * n_kept
    assert row.ids[start - len(turn) : start] == turn
    kept = row.ids[start : start + n_kept]
    assert len(kept) == (PREAMBLE_TURNS + KEPT_TURNS) * len(turn)
    assert kept[PREAMBLE_TURNS * len(turn) :] == turn * KEPT_TURNS


def test_a_preamble_alternates_or_fills_one_place_anew():
    rng = random.Random(1)
    assert preamble([5, 6], [1, 2, 3], kind=0, rng=rng) == []
    alternating = pairs(preamble([5, 6], [1, 2, 3], kind=1, rng=rng))
    assert set(alternating) == {(5, 6), (1, 2)}
    filled = pairs(preamble([5, 6], [1, 2, 3], kind=2, rng=rng))
    assert all((a == 5) != (b == 6) for a, b in filled)
    assert len({a == 5 for a, _ in filled}) == 1
    assert {token for pair in filled for token in pair} - {5, 6} <= {1, 2, 3}


def pairs(tokens):
    return list(zip(tokens[::2], tokens[1::2], strict=True))


def test_an_answer_that_has_ended_goes_round_without_its_end():
    (row,) = rows_of([5, END], n=1)
    assert row.ids[:3] == PROMPT
    assert set(row.ids[3:-1]) == {5}
    assert len(row.ids) - 4 > LOOP_TOKENS


def test_an_empty_answer_has_no_loop():
    assert rows_of([END]) == []


def test_every_second_step_after_the_first_few_shows_a_loop_of_its_own():
    loops = [loop_of_step(number) for number in range(LOOP_FROM + 6)]
    assert loops == [None] * LOOP_FROM + [0, None, 1, None, 2, None]
