"""Guessed tokens: what is guessed, and that an answer is the same with and without guesses, only in fewer steps."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ml.engine import Engine
from ml.engine_draft import Drafter
from ml.engine_llama import FastLlama
from ml.engine_sampling import Sampling
from tests.ml.engine_cast import PATIENCE_S, ask, save_model


def test_it_goes_on_as_behind_the_latest_place_that_shares_most() -> None:
    drafter = Drafter([1, 2, 3, 4, 9, 3, 7, 8, 1, 2])
    drafter.append(3)
    assert drafter.draft(3) == [4, 9, 3], "1 2 3 is found, not the later 3 alone"
    drafter.append(7)
    assert drafter.draft(2) == [8, 1]
    assert Drafter([5, 1, 5, 2, 5]).draft(1) == [2]


def test_near_the_end_the_text_repeats_itself() -> None:
    assert Drafter([7, 7]).draft(4) == [7, 7, 7, 7]
    assert Drafter([1, 2, 3, 1, 2, 3]).draft(4) == [1, 2, 3, 1]


def test_what_was_never_there_is_not_guessed() -> None:
    assert Drafter([1, 2, 3]).draft(4) == []
    assert Drafter([1, 1]).draft(0) == []
    assert Drafter([1]).draft(4) == Drafter([]).draft(4) == []


@given(tokens=st.lists(st.integers(0, 3), max_size=30), n_most=st.integers(-1, 6))
def test_a_guess_begins_behind_what_the_text_ends_with(tokens: list[int], n_most: int) -> None:
    draft = Drafter(tokens).draft(n_most)
    if n_most < 1 or tokens[-1:] == [] or tokens[-1] not in tokens[:-1]:
        assert draft == []
        return
    assert len(draft) == n_most
    shared = [
        next(n for n in range(4) if n == min(3, at) or tokens[at - n - 1] != tokens[-n - 1])
        for at in range(1, len(tokens))
        if tokens[at] == draft[0]
    ]
    assert max(shared) == max(
        next(n for n in range(4) if n == min(3, at) or tokens[at - n - 1] != tokens[-n - 1])
        for at in range(1, len(tokens))
    )


REQUESTS = {
    "greedy": {"sampling": Sampling(temperature=0), "max_tokens": 120},
    "drawn": {"sampling": Sampling(temperature=0.3, seed=4), "max_tokens": 120},
    "nucleus": {"sampling": Sampling(temperature=1.5, top_p=0.6, top_k=20, seed=5), "max_tokens": 120},
    "penalties": {"sampling": Sampling(temperature=0.5, seed=6, frequency_penalty=0.2, presence_penalty=0.1)},
    "log-probabilities": {"sampling": Sampling(temperature=0.3, seed=7, n_logprobs=3), "max_tokens": 60},
    "few tokens": {"sampling": Sampling(temperature=0), "max_tokens": 7},
    "one token": {"sampling": Sampling(temperature=0), "max_tokens": 1},
    "stop string": {"sampling": Sampling(temperature=0), "stop": ["the u", "e", "s"]},
    "to the end of the context": {"sampling": Sampling(temperature=0.2, seed=8), "max_tokens": 4000},
}
CONTENTS = ["hi", "the user asks the user asks the user " * 3, "你好🙂你好🙂", "answers"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    save_model(root / "a", context_length=300)
    engine = Engine(root=root, dtype=torch.bfloat16, device=torch.device("cpu"))
    engine.load(name="a", path="a").result(PATIENCE_S)
    yield engine
    engine.close(wait=True)


@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS)
def test_an_answer_does_not_depend_on_guesses(engine, request_of, monkeypatch) -> None:
    steps: list[int] = []
    step = FastLlama._step
    monkeypatch.setattr(FastLlama, "_step", lambda *args: steps.append(len(args[1])) or step(*args))

    def answers() -> list[dict]:
        lines = []
        for content in CONTENTS:
            _, heard = ask(engine, content, **request_of)
            last = heard.wait()
            lines.append({"text": heard.text} | {key: last.get(key) for key in ("finish_reason", "usage", "logprobs")})
        return lines

    guessed, n_guessed = answers(), len(steps)
    assert max(steps, default=0) <= 1 + FastLlama.n_ahead
    steps.clear()
    monkeypatch.setattr(FastLlama, "n_ahead", 0)
    assert guessed == answers()
    assert set(steps) <= {1}
    assert n_guessed <= len(steps)


@pytest.mark.parametrize("n_right", [0, 2, 4])
def test_right_guesses_save_steps_and_wrong_ones_nothing(engine, monkeypatch, n_right: int) -> None:
    said: list[int] = []
    append = Drafter.append
    monkeypatch.setattr(Drafter, "append", lambda self, token: said.append(token) or append(self, token))
    request_of = {"sampling": Sampling(temperature=0), "max_tokens": 61}
    _, heard = ask(engine, "hi", **request_of)
    assert heard.wait()["usage"]["completion_tokens"] == 61
    text, known = heard.text, [*said]
    said.clear()
    steps: list[int] = []
    step = FastLlama._step

    def guess(self: Drafter, n_most: int) -> list[int]:
        right = known[len(said) :][:n_right]
        return [*right, *(0 for _ in range(4 - n_right))][:n_most]

    monkeypatch.setattr(Drafter, "draft", guess)
    monkeypatch.setattr(FastLlama, "_step", lambda *args: steps.append(len(args[1])) or step(*args))
    _, heard = ask(engine, "hi", **request_of)
    heard.wait()
    assert (heard.text, said) == (text, known)
    assert len(steps) == 60 // (1 + n_right), "the first token comes with the prompt"


def test_whoever_comes_in_between_changes_nothing(engine) -> None:
    request_of = REQUESTS["nucleus"]
    _, alone = ask(engine, CONTENTS[1], **request_of)
    alone.wait()
    _, first = ask(engine, CONTENTS[1], **request_of)
    others = [
        ask(engine, content, sampling=Sampling(temperature=0), max_tokens=n)[1] for n, content in enumerate(CONTENTS, 3)
    ]
    for heard in (first, *others):
        heard.wait()
    assert first.text == alone.text
