from collections import Counter

import pytest
import torch

from ml.engine_sampling import Sampler, Sampling, candidates, penalize, score

# Probabilities 0.5, 0.25, 0.125, 0.125 at temperature 1.
LOGITS = torch.tensor([0.5, 0.25, 0.125, 0.125]).log()


def picks(sampling: Sampling, n: int = 20) -> list[int]:
    sampler = Sampler(sampling)
    return [sampler.pick(LOGITS) for _ in range(n)]


def test_temperature_0_takes_the_likeliest():
    assert set(picks(Sampling(temperature=0))) == {0}


def test_a_tiny_temperature_takes_the_likeliest():
    assert set(picks(Sampling(temperature=1e-38, seed=1))) == {0}


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(), {0, 1, 2, 3}),
        (Sampling(top_k=1), {0}),
        (Sampling(top_k=2), {0, 1}),
        (Sampling(top_k=99), {0, 1, 2, 3}),
        (Sampling(top_p=0), {0}),
        (Sampling(top_p=0.49), {0}),
        (Sampling(top_p=0.51), {0, 1}),
        (Sampling(top_p=0.74), {0, 1}),
        (Sampling(top_p=0.99), {0, 1, 2, 3}),
        # Of the two kept by top_k, the first has 2/3 of what is left.
        (Sampling(top_k=2, top_p=0.66), {0}),
        (Sampling(top_k=2, top_p=0.67), {0, 1}),
        # At temperature 1/2 the probabilities are 32, 8, 2 and 2 of 44.
        (Sampling(temperature=0.5, top_p=0.72), {0}),
        (Sampling(temperature=0.5, top_p=0.74), {0, 1}),
    ],
)
def test_candidates(sampling, kept):
    probabilities, tokens = candidates(LOGITS, sampling)
    assert set(range(4) if tokens is None else tokens.tolist()) == kept
    assert len(probabilities) == len(kept)


def test_top_p_beyond_the_quick_candidates_sorts_them_all():
    logits = torch.zeros(1000)
    _, tokens = candidates(logits, Sampling(top_p=0.5))
    assert len(tokens) in (500, 501)


def test_frequencies_follow_the_probabilities():
    counts = Counter(picks(Sampling(seed=3), n=8000))
    for token, probability in enumerate([0.5, 0.25, 0.125, 0.125]):
        assert counts[token] / 8000 == pytest.approx(probability, abs=0.02)


def test_the_same_seed_gives_the_same_picks():
    assert picks(Sampling(seed=7)) == picks(Sampling(seed=7))
    assert picks(Sampling(seed=7)) != picks(Sampling(seed=8))
    assert picks(Sampling(seed=-1)) == picks(Sampling(seed=-1))


def test_without_a_seed_the_picks_differ():
    assert picks(Sampling(), n=64) != picks(Sampling(), n=64)


def test_penalties_count_how_often_a_token_was_there():
    logits = torch.tensor([1.0, 1.0, 1.0])
    sampling = Sampling(presence_penalty=0.5, frequency_penalty=0.25)
    assert penalize(logits, {1: 1, 2: 3}, sampling).tolist() == [1.0, 0.25, -0.25]
    assert logits.tolist() == [1.0, 1.0, 1.0]


def test_a_greedy_answer_with_a_penalty_moves_on_to_other_tokens():
    # log 0.5, 0.25 and twice 0.125: a penalty of 1 is more than the log of 2 between two neighbours.
    assert picks(Sampling(temperature=0, presence_penalty=1), n=4) == [0, 1, 0, 0]
    assert set(picks(Sampling(temperature=0, frequency_penalty=1), n=8)) == {0, 1, 2, 3}


def test_a_token_is_scored_by_the_model_alone():
    logprob, likeliest = score(LOGITS + 7, 1, 2)
    assert logprob == pytest.approx(-1.3863, abs=1e-4)
    assert [token for token, _ in likeliest] == [0, 1]
    assert [value for _, value in likeliest] == pytest.approx([-0.6931, -1.3863], abs=1e-4)
    assert score(LOGITS, 3, 0)[1] == []
