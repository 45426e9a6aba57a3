"""The engine with the real bundled model."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ml.data import encode_prompt
from ml.engine import Engine
from ml.engine_cache import SlotCache, round_up
from ml.engine_forward import Piece
from ml.engine_linear import pack_linears
from ml.engine_llama import FastLlama
from ml.engine_sampling import Sampling
from tests.ml.engine_cast import PATIENCE_S, ask

pytestmark = pytest.mark.model

GREEDY = Sampling(temperature=0)
QUESTIONS = [
    "What is the capital of France?",
    "Name three colours.",
    "Write a short poem about the sea, with rhymes, and tell me afterwards what it means. " * 8,
    "用中文说你好。",
]


@pytest.fixture(scope="module")
def engine(bundled_model):
    engine = Engine(root=bundled_model.parent, device=torch.device("cpu"))
    name = bundled_model.name
    engine.load(name=name, path=name).result(PATIENCE_S)
    yield engine
    engine.close(wait=True)


def test_it_answers_as_transformers_does_alone_and_in_a_batch(bundled_model):
    """In float32: there the two ways of computing differ by less than the distance between two candidates."""
    model = AutoModelForCausalLM.from_pretrained(bundled_model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(bundled_model)
    wanted = []
    for question in QUESTIONS:
        prompt = encode_prompt(tokenizer, [{"role": "user", "content": question}])
        output = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)[0, len(prompt) :]
        wanted.append(tokenizer.decode(output, skip_special_tokens=True).rstrip("\ufffd"))
    del model
    name = bundled_model.name
    engine = Engine(root=bundled_model.parent, dtype=torch.float32, device=torch.device("cpu"))
    for ask_together in (False, True):
        asked = []
        for question in QUESTIONS:
            _, heard = ask(engine, question, name=name, sampling=GREEDY, max_tokens=12)
            asked.append(heard)
            if not ask_together:
                heard.wait()
        for heard in asked:
            heard.wait()
        assert [heard.text for heard in asked] == wanted
    engine.close(wait=True)


def test_it_knows_a_thing_and_stops(engine, bundled_model):
    _, heard = ask(engine, QUESTIONS[0], name=bundled_model.name, sampling=GREEDY, max_tokens=60)
    assert heard.wait()["finish_reason"] == "stop"
    assert "Paris" in heard.text


def test_a_seed_gives_the_same_text_whatever_else_is_in_the_batch(engine, bundled_model):
    settings = {"name": bundled_model.name, "sampling": Sampling(seed=5), "max_tokens": 60}
    _, alone = ask(engine, QUESTIONS[1], **settings)
    alone.wait()
    others = [ask(engine, question, name=bundled_model.name, max_tokens=40)[1] for question in QUESTIONS]
    _, together = ask(engine, QUESTIONS[1], **settings)
    for heard in (*others, together):
        heard.wait()
    assert together.text == alone.text


def test_packed_layers_give_the_same_bits(bundled_model):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch is built without oneDNN here")
    model = AutoModelForCausalLM.from_pretrained(bundled_model, dtype=torch.bfloat16).eval()
    ids = torch.arange(5, 45)[None]
    with torch.inference_mode():
        plain = model(input_ids=ids).logits
        pack_linears(model)
        assert torch.equal(model(input_ids=ids).logits, plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_a_step_has_the_same_bits_in_a_batch_of_any_size_and_length(bundled_model, dtype):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch is built without oneDNN here")
    whole = AutoModelForCausalLM.from_pretrained(bundled_model, dtype=dtype).eval()
    whole.model.layers = whole.model.layers[:2]
    model = FastLlama(whole)
    ids = torch.randint(100, 40_000, (9, 300), generator=torch.Generator().manual_seed(1))
    cache = SlotCache()
    cache.reserve(n_slots=9, n_columns=600)

    def step(n_rows: int, n_columns: int) -> torch.Tensor:
        tokens = ids[:n_rows, n_stored].tolist()
        return model.step(tokens, [n_stored] * n_rows, round_up(n_columns, model.block), cache)

    with torch.inference_mode():
        for n_stored in (30, 90, 299):
            model.read([Piece(slot, 0, ids[slot, :n_stored].tolist()) for slot in range(9)], cache)
            together = step(9, 512)
            for n_rows, n_more in ((1, 1), (2, 1), (5, 100), (8, 1), (9, 200)):
                assert torch.equal(step(n_rows, n_stored + n_more), together[:n_rows]), (n_stored, n_rows)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_a_prompt_has_the_same_bits_whoever_is_read_with_it(bundled_model, dtype):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch is built without oneDNN here")
    whole = AutoModelForCausalLM.from_pretrained(bundled_model, dtype=dtype).eval()
    whole.model.layers = whole.model.layers[:2]
    model = FastLlama(whole)
    draw = torch.Generator().manual_seed(2)
    lengths = (1, 2, 7, 40, 41, 130, 256)
    pieces = [Piece(i, 0, torch.randint(100, 40_000, (n,), generator=draw).tolist()) for i, n in enumerate(lengths)]
    cache = SlotCache()
    cache.reserve(n_slots=len(pieces), n_columns=256)
    with torch.inference_mode():
        together = model.read(pieces, cache)
        for piece, wanted in zip(pieces, together, strict=True):
            assert torch.equal(model.read([piece], cache)[0], wanted), len(piece.tokens)
        assert torch.equal(model.read(pieces[2:5], cache), together[2:5])


def test_a_row_has_the_same_bits_in_a_batch_of_any_size(bundled_model):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch is built without oneDNN here")
    model = AutoModelForCausalLM.from_pretrained(bundled_model, dtype=torch.bfloat16).eval()
    pack_linears(model)
    ids = torch.arange(5, 45)[:, None]
    with torch.inference_mode():
        together = model(input_ids=ids).logits
        for n in (1, 2, 5, 8, 17):
            assert torch.equal(model(input_ids=ids[:n]).logits, together[:n]), n
