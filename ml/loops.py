"""Answers caught in a loop, from which a model learns to end there and nothing else.

A small model that answers greedily may say the same few words for ever. The base model does so in half of its answers,
and a fine-tuned one where a question misses its correction.
"""

import random
from collections.abc import Sequence

from ml.data import Encoded

ENDING_WEIGHT = 0.05
# How many tokens go round, and how often and for how many tokens they have done so when the end is taught.
PERIODS = (1, 2, 3, 4, 5, 6, 8, 10)
LOOP_TURNS, LOOP_TOKENS = 6, 36
KEPT_TURNS = 3
LEAD_TOKENS = 20
PREAMBLE_TURNS = 5


def loop_rows(
    answers: Sequence[Encoded], starts: Sequence[int], *, end_token: int, rng: random.Random
) -> list[Encoded]:
    """The answers caught in a loop: the end token behind it is to be learnt, what comes before it to be kept.

    Each is a prompt and the first tokens of its answer, the last few of which (a turn) then come again and again,
    LOOP_TURNS times and for LOOP_TOKENS tokens at the least. In two of three a preamble precedes the loop. The mask is on
    the end token, on the preamble and on the first KEPT_TURNS of the loop: a list of yes and no, a quotation, a refrain
    are no loops, and there the model has to stay as it was.

    `starts` says where each answer begins; an answer shorter than a turn goes round as a whole, an empty one is left
    out.
    """
    rows = []
    for number, (encoded, start) in enumerate(zip(answers, starts, strict=True)):
        answer = [token for token in encoded.ids[start:] if token != end_token]
        if not answer:
            continue
        lead = answer[: rng.randint(1, min(LEAD_TOKENS, len(answer)))]
        turn = lead[-rng.choice(PERIODS) :]
        kept = preamble(turn, answer, kind=number % 3, rng=rng) + turn * KEPT_TURNS
        n_turns = max(LOOP_TURNS, -(-LOOP_TOKENS // len(turn))) + rng.randint(0, 2)
        before, rest = encoded.ids[:start] + lead, turn * (n_turns - KEPT_TURNS)
        ids = before + kept + rest + [end_token]
        rows.append(Encoded(ids=ids, mask=[0] * len(before) + [1] * len(kept) + [0] * len(rest) + [1]))
    return rows


def preamble(turn: Sequence[int], answer: Sequence[int], *, kind: int, rng: random.Random) -> list[int]:
    """What resembles a loop and is none: PREAMBLE_TURNS pieces as long as the turn, or nothing (`kind` 0).

    Kind 1 alternates at random between the turn and the beginning of the answer, as a list of yes and no does. Kind 2
    repeats the turn with one place filled anew each time, as in "Cats are mammals. Whales are mammals."
    """
    pieces: list[int] = []
    place = rng.randrange(len(turn))
    for _ in range(PREAMBLE_TURNS if kind else 0):
        if kind == 1:
            pieces += rng.choice([turn, answer[: len(turn)]])
        else:
            pieces += [*turn[:place], rng.choice(answer), *turn[place + 1 :]]
    return pieces
