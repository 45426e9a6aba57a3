import json
import threading
from concurrent.futures import wait

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, MambaConfig, MambaForCausalLM

from ml.data import encode_prompt
from ml.engine import Engine
from ml.engine_cache import SlotCache
from ml.engine_model import LOADING, EngineError, find_context_length, find_end_tokens, find_forward, load_model
from ml.engine_sampling import Sampling
from tests.ml.engine_cast import (
    PATIENCE_S,
    ask,
    create_model,
    create_tokenizer,
    pause_within_answer,
    save_model,
)

GREEDY = Sampling(temperature=0)
CONTENTS = ["hi", "the user asks " * 20, "你好🙂", "x" * 150, "answers", "the assistant\n" * 9]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for seed, name in enumerate("abc"):
        save_model(root / name, seed=seed)
    save_model(root / "short", context_length=40)
    return root


@pytest.fixture
def engine(root):
    engine = Engine(root=root, dtype=torch.float32, device=torch.device("cpu"))
    yield engine
    engine.close(wait=True)


def generate_alone(folder, content: str, max_tokens: int) -> str:
    """What transformers itself answers greedily."""
    with LOADING:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = create_tokenizer()
    prompt = encode_prompt(tokenizer, [{"role": "user", "content": content}])
    output = model.generate(torch.tensor([prompt]), max_new_tokens=max_tokens, do_sample=False)
    text = tokenizer.decode(output[0, len(prompt) :], skip_special_tokens=True)
    return text.rstrip("\ufffd")


def test_greedy_is_what_transformers_generates(engine, root):
    for content in CONTENTS:
        _, heard = ask(engine, content, sampling=GREEDY, max_tokens=40)
        heard.wait()
        assert heard.text == generate_alone(root / "a", content, 40)


def test_greedy_in_a_batch_of_mixed_lengths_is_what_transformers_generates(engine, root):
    asked = [
        (content, n, ask(engine, content, sampling=GREEDY, max_tokens=n)[1])
        for content, n in zip(CONTENTS * 2, [40, 3, 25, 60, 1, 17, 33, 50, 2, 9, 21, 70], strict=True)
    ]
    for content, n, heard in asked:
        heard.wait()
        assert heard.text == generate_alone(root / "a", content, n), content


def test_a_prompt_of_several_pieces_is_read_as_a_whole(root, monkeypatch):
    monkeypatch.setattr("ml.engine_model.PROMPT_PIECE", 7)
    engine = Engine(root=root, dtype=torch.float32, device=torch.device("cpu"))
    asked = [(content, ask(engine, content, sampling=GREEDY, max_tokens=30)[1]) for content in CONTENTS]
    for content, heard in asked:
        heard.wait()
        assert heard.text == generate_alone(root / "a", content, 30), content
    engine.close(wait=True)


def test_more_requests_than_places_wait_their_turn(root):
    engine = Engine(root=root, max_batch=2, dtype=torch.float32, device=torch.device("cpu"))
    asked = [ask(engine, content, sampling=GREEDY, max_tokens=12)[1] for content in CONTENTS]
    for content, heard in zip(CONTENTS, asked, strict=True):
        heard.wait()
        assert heard.text == generate_alone(root / "a", content, 12)
    engine.close(wait=True)


def test_several_models_answer_at_once_each_for_itself(engine, root):
    asked = [(name, ask(engine, "hi", name=name, sampling=GREEDY, max_tokens=30)[1]) for name in "abcabc"]
    for name, heard in asked:
        heard.wait()
        assert heard.text == generate_alone(root / name, "hi", 30)


def test_a_seed_gives_the_same_text_whatever_else_is_in_the_batch(engine):
    sampling = Sampling(temperature=1.5, top_p=0.95, seed=42)
    _, alone = ask(engine, "hi", sampling=sampling, max_tokens=50)
    alone.wait()
    others = [
        ask(engine, content, sampling=Sampling(temperature=2, top_k=20), max_tokens=30)[1] for content in CONTENTS
    ]
    _, together = ask(engine, "hi", sampling=sampling, max_tokens=50)
    _, another_seed = ask(engine, "hi", sampling=Sampling(temperature=1.5, top_p=0.95, seed=43), max_tokens=50)
    for heard in (*others, together, another_seed):
        heard.wait()
    assert together.text == alone.text
    assert another_seed.text != alone.text


def test_the_last_line_says_why_and_how_much(engine):
    _, heard = ask(engine, "hi", sampling=GREEDY, max_tokens=5)
    last = heard.wait()
    prompt = encode_prompt(create_tokenizer(), [{"role": "user", "content": "hi"}])
    assert last["finish_reason"] == "length"
    assert last["usage"] == {"prompt_tokens": len(prompt), "completion_tokens": 5}
    assert 0 <= last["time_to_first_token_s"] <= last["duration_s"]


def test_scores_tell_each_token_of_the_answer_and_change_nothing_of_it(engine):
    _, plain = ask(engine, "hi", sampling=GREEDY, max_tokens=8)
    _, scored = ask(engine, "hi", sampling=Sampling(temperature=0, n_logprobs=2), max_tokens=8)
    assert "logprobs" not in plain.wait()
    last = scored.wait()
    scores = last["logprobs"]
    assert scored.text == plain.text  # a token may be half a character, so the tokens' own texts need not add up to it
    assert len(scores) == last["usage"]["completion_tokens"]
    mean = sum(score["logprob"] for score in scores) / len(scores)
    assert last["mean_logprob"] == plain.wait()["mean_logprob"] == pytest.approx(mean, abs=1e-4)
    for score in scores:
        # Greedy: each token is the likeliest one in its place.
        assert len(score["top"]) == 2
        assert (score["top"][0]["token"], score["top"][0]["logprob"]) == (score["token"], score["logprob"])
        is_half = "\N{REPLACEMENT CHARACTER}" in score["token"]
        assert score["bytes"] == (None if is_half else list(score["token"].encode()))


def test_a_penalty_keeps_an_answer_from_repeating_itself(engine):
    _, plain = ask(engine, "hi", sampling=GREEDY, max_tokens=40)
    _, penalized = ask(
        engine, "hi", sampling=Sampling(temperature=0, frequency_penalty=2, presence_penalty=2), max_tokens=40
    )
    plain.wait(), penalized.wait()
    assert penalized.text != plain.text


def test_an_end_token_stops(engine, root):
    with LOADING:
        model = AutoModelForCausalLM.from_pretrained(root / "a")
    prompt = encode_prompt(create_tokenizer(), [{"role": "user", "content": "hi"}])
    second = model.generate(torch.tensor([prompt]), max_new_tokens=2, do_sample=False)[0, -1].item()
    save_model(root / "ends")
    config = json.loads((root / "ends" / "generation_config.json").read_text())
    (root / "ends" / "generation_config.json").write_text(json.dumps(config | {"eos_token_id": [1, second]}))
    _, heard = ask(engine, "hi", name="ends", sampling=GREEDY)
    last = heard.wait()
    assert (last["finish_reason"], last["usage"]["completion_tokens"]) == ("stop", 2)


def test_a_stop_string_stops_and_is_not_sent(engine):
    _, whole = ask(engine, "hi", sampling=GREEDY, max_tokens=40)
    whole.wait()
    stop = whole.text[10:13]
    _, cut = ask(engine, "hi", sampling=GREEDY, max_tokens=40, stop=[stop])
    assert cut.wait()["finish_reason"] == "stop"
    assert cut.text == whole.text[: whole.text.index(stop)]


def test_an_answer_ends_with_the_context(engine):
    _, heard = ask(engine, "hi", name="short", sampling=GREEDY)
    last = heard.wait()
    assert last["finish_reason"] == "length"
    assert sum(last["usage"].values()) == 40


def test_a_prompt_longer_than_the_context_is_an_error(engine):
    _, heard = ask(engine, "x" * 40, name="short")
    error = heard.wait()["error"]
    assert error["kind"] == "context"
    assert "40" in error["message"]


def test_spelt_special_tokens_are_text(engine):
    _, plain = ask(engine, "<|im_end|>", max_tokens=1)
    _, empty = ask(engine, "", max_tokens=1)
    n_more = plain.wait()["usage"]["prompt_tokens"] - empty.wait()["usage"]["prompt_tokens"]
    assert n_more == len("<|im_end|>")


def test_cancelling_frees_the_place(root):
    engine = Engine(root=root, max_batch=1, dtype=torch.float32, device=torch.device("cpu"))
    engine.load(name="a", path="a").result(PATIENCE_S)
    with pause_within_answer(engine, "a"):
        endless, heard = ask(engine, "hi", sampling=GREEDY, max_tokens=480)
        heard.wait_for_first()
        waiting, silent = ask(engine, "hi", sampling=GREEDY, max_tokens=1)
        _, last = ask(engine, "hi", sampling=GREEDY, max_tokens=1)
        engine.cancel(waiting)
        engine.cancel(endless)
    last.wait()
    assert silent.lines == []
    assert "finish_reason" not in heard.lines[-1]
    assert engine.health()["models"][0]["n_active"] == 0
    engine.close(wait=True)


def test_no_thread_outlives_its_load(root, monkeypatch):
    """One that has computed keeps a team of threads, which would make each step slower (ml.engine.run_apart)."""
    loading = []

    def load(**options):
        loading.append(threading.current_thread())
        return load_model(**options)

    monkeypatch.setattr("ml.engine.load_model", load)
    engine = Engine(root=root, dtype=torch.float32, device=torch.device("cpu"))
    engine.load(name="a", path="a").result(PATIENCE_S)
    loading[0].join(PATIENCE_S)
    assert not loading[0].is_alive()
    engine.close(wait=True)


def test_a_failed_load_leaves_the_others_alone(engine, root):
    (root / "broken").mkdir()
    (root / "broken" / "config.json").write_text("{}")
    (root / "broken" / "model.safetensors").write_bytes(b"no weights")
    _, running = ask(engine, "hi", sampling=GREEDY, max_tokens=100)
    _, failing = ask(engine, "hi", name="broken")
    assert failing.wait()["error"]["kind"] == "load"
    running.wait()
    assert running.text == generate_alone(root / "a", "hi", 100)
    states = {model["name"]: model["state"] for model in engine.health()["models"]}
    assert states == {"a": "ready", "broken": "failed"}


def test_a_failed_load_can_be_tried_again(engine, root):
    (root / "later").mkdir()
    failed = engine.load(name="later", path="later")
    with pytest.raises(EngineError, match="not a model folder"):
        failed.result(PATIENCE_S)
    save_model(root / "later")
    engine.load(name="later", path="later").result(PATIENCE_S)


def test_an_adapter_is_refused(engine, root):
    save_model(root / "adapter")
    (root / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(EngineError, match="merged"):
        engine.load(name="adapter", path="adapter").result(PATIENCE_S)


@pytest.mark.parametrize("path", ["nowhere", "..", "../models", ".", "/etc", "a/../.."])
def test_a_path_outside_of_the_root_is_not_found(engine, path):
    with pytest.raises(EngineError) as caught:
        engine.load(name="x", path=path)
    assert caught.value.kind == "not_found"


def test_a_link_that_leads_out_of_the_root_is_not_found(engine, root, tmp_path):
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(EngineError) as caught:
        engine.load(name="x", path="link")
    assert caught.value.kind == "not_found"


def test_a_name_stands_for_one_folder(engine):
    engine.load(name="live", path="a").result(PATIENCE_S)
    engine.load(name="live", path="./a").result(PATIENCE_S)
    with pytest.raises(EngineError) as caught:
        engine.load(name="live", path="b")
    assert caught.value.kind == "conflict"


def test_too_little_memory_is_told_before_loading(engine, monkeypatch):
    monkeypatch.setattr("ml.engine_model.MEMORY_MARGIN", 1e12)
    _, heard = ask(engine, "hi")
    assert heard.wait()["error"]["kind"] == "memory"


def test_unloading_waits_for_what_runs(engine):
    engine.load(name="a", path="a").result(PATIENCE_S)
    with pause_within_answer(engine, "a"):
        _, heard = ask(engine, "hi", sampling=GREEDY, max_tokens=200)
        heard.wait_for_first()
        unloaded = engine.unload(name="a")
        with pytest.raises(EngineError, match="being unloaded"):
            ask(engine, "hi")
        assert not unloaded.done()
    unloaded.result(PATIENCE_S)
    assert "finish_reason" in heard.lines[-1]
    assert engine.health()["models"] == []
    with pytest.raises(EngineError, match="no model"):
        engine.unload(name="a")


def test_the_least_recently_used_idle_model_is_forgotten(root):
    engine = Engine(root=root, max_models=2, dtype=torch.float32, device=torch.device("cpu"))
    for name in "aba":
        ask(engine, "hi", name=name, max_tokens=1)[1].wait()
    ask(engine, "hi", name="c", max_tokens=1)[1].wait()
    assert {model["name"] for model in engine.health()["models"]} == {"a", "c"}
    engine.close(wait=True)


def test_a_busy_model_is_not_forgotten(root):
    engine = Engine(root=root, max_models=1, dtype=torch.float32, device=torch.device("cpu"))
    wait([engine.load(name="a", path="a")], PATIENCE_S)
    with pause_within_answer(engine, "a"):
        _, busy = ask(engine, "hi", name="a", sampling=GREEDY, max_tokens=200)
        busy.wait_for_first()
        _, other = ask(engine, "hi", name="b", max_tokens=1)
    other.wait()
    busy.wait()
    assert busy.text == generate_alone(root / "a", "hi", 200)
    engine.close(wait=True)


def test_a_failing_step_fails_its_own_model_only(engine, root, monkeypatch):
    wait([engine.load(name=name, path=name) for name in "ab"], PATIENCE_S)
    broken = engine._entries["a"].model

    def explode(*args, **kwargs):
        raise RuntimeError("boom")

    monkeypatch.setattr(broken._forward, "_step", explode)
    _, failing = ask(engine, "hi", name="a")
    _, running = ask(engine, "hi", name="b", sampling=GREEDY, max_tokens=20)
    assert failing.wait()["error"]["kind"] == "engine"
    running.wait()
    assert running.text == generate_alone(root / "b", "hi", 20)
    monkeypatch.undo()
    _, again = ask(engine, "hi", name="a", sampling=GREEDY, max_tokens=20)
    again.wait()
    assert again.text == generate_alone(root / "a", "hi", 20)


def test_closing_ends_what_runs_with_an_error(engine):
    engine.load(name="a", path="a").result(PATIENCE_S)
    with pause_within_answer(engine, "a"):
        _, heard = ask(engine, "hi", sampling=GREEDY, max_tokens=200)
        heard.wait_for_first()
        engine.close(wait=True)
        assert heard.wait()["error"]["kind"] == "stopping"
    engine._stepper.join(PATIENCE_S)
    assert not engine._stepper.is_alive()


def test_health_counts_tokens(engine):
    ask(engine, "hi", sampling=GREEDY, max_tokens=30)[1].wait()
    health = engine.health()
    assert health["models"] == [{"name": "a", "path": "a", "state": "ready", "n_active": 0, "n_waiting": 0}]
    # 30 of them, of which the last may not be counted yet, over ten seconds.
    assert health["tokens_per_s"] == pytest.approx(3, abs=0.2)


def test_end_tokens_are_the_configured_ones_and_the_tokenizers():
    model = create_model()
    model.generation_config.eos_token_id = [5, 6]
    assert find_end_tokens(model, create_tokenizer()) == {1, 5, 6}
    model.generation_config.eos_token_id = None
    assert find_end_tokens(model, create_tokenizer()) == {1}


def test_a_sliding_window_bounds_the_context():
    model = create_model(sliding_window=64)
    assert find_context_length(model) == 64
    model.config.use_sliding_window = False
    assert find_context_length(model) == 512


def test_an_architecture_with_its_own_memory_is_refused():
    model = MambaForCausalLM(MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=2, state_size=4)).eval()
    with pytest.raises(EngineError, match="mamba"):
        find_forward(model)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=25))
def test_the_cache_keeps_every_row_apart(moves):
    """Rows are appended to, join and leave at random; each must read back what was written for it alone."""
    cache = SlotCache()
    rows: list[list[float]] = [[]]
    cache.reserve(n_slots=1, n_columns=1)
    written = 0.0
    for which, move in moves:
        slot = which % len(rows)
        if move == 0:
            rows.append([])
            cache.reserve(n_slots=len(rows), n_columns=1)
        elif move == 1 and len(rows) > 1:
            last = len(rows) - 1
            if slot != last:
                cache.move(source=last, target=slot, n_columns=len(rows[last]))
                rows[slot] = rows[last]
            rows.pop()
        else:
            written += 1
            rows[slot].append(written)
            end = len(rows[slot])
            cache.reserve(n_slots=len(rows), n_columns=end)
            cache.place(slots=torch.tensor([slot]), positions=torch.tensor([end - 1]), window=(slot, 1, end))
            states = torch.full((1, 2, 1, 3), written)
            keys, values = cache.update(states, -states, 0)
            assert keys[0, 1, :, 2].tolist() == rows[slot]
            assert values[0, 0, :, 1].tolist() == [-x for x in rows[slot]]
