"""The hand-written Llama computes what transformers' computes."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ml.engine_cache import SlotCache
from ml.engine_forward import Piece
from ml.engine_llama import FastLlama, is_fast_llama
from tests.ml.engine_cast import create_model

ROTATIONS = [
    {"rope_type": "default", "rope_theta": 10_000.0},
    {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 2.0},
]


def create_llama(rotation: dict[str, object], **config: object) -> LlamaForCausalLM:
    torch.manual_seed(3)
    sizes = {"vocab_size": 50, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 64}
    model = LlamaForCausalLM(LlamaConfig(**sizes, **heads, rope_parameters=rotation, **config))
    for name, values in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(values)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("rotation", ROTATIONS, ids=lambda rotation: rotation["rope_type"])
@pytest.mark.parametrize("bias", [False, True])
def test_its_logits_are_the_models_own_in_pieces_and_steps(rotation, bias) -> None:
    model = create_llama(rotation, attention_bias=bias)
    assert is_fast_llama(model)
    tokens = torch.randint(0, 50, (1, 20))
    wanted = model(input_ids=tokens, use_cache=False).logits[0]
    fast, cache = FastLlama(model), SlotCache()
    cache.reserve(n_slots=1, n_columns=20)
    for start, end in ((0, 7), (7, 15), (15, 16), (16, 20)):
        got = fast.read([Piece(0, start, tokens[0, start:end].tolist())], cache)
        torch.testing.assert_close(got[0], wanted[end - 1])


def test_rows_of_several_lengths_take_a_step_together() -> None:
    model = create_llama(ROTATIONS[0])
    rows = [torch.randint(0, 50, (n,)) for n in (3, 9)]
    wanted = [model(input_ids=row[None]).logits[0, -1] for row in rows]
    fast, cache = FastLlama(model), SlotCache()
    cache.reserve(n_slots=2, n_columns=10)
    fast.read([Piece(slot, 0, row[:-1].tolist()) for slot, row in enumerate(rows)], cache)
    got = fast.step([int(row[-1]) for row in rows], [len(row) - 1 for row in rows], 9, cache)
    torch.testing.assert_close(got, torch.stack(wanted))


def test_prompts_are_read_together_each_from_where_it_is() -> None:
    model = create_llama(ROTATIONS[0])
    rows = [torch.randint(0, 50, (n,)) for n in (12, 5, 1)]
    wanted = [model(input_ids=row[None]).logits[0, -1] for row in rows]
    fast, cache = FastLlama(model), SlotCache()
    cache.reserve(n_slots=3, n_columns=12)
    fast.read([Piece(0, 0, rows[0][:7].tolist())], cache)
    pieces = [Piece(0, 7, rows[0][7:].tolist()), Piece(2, 0, rows[1].tolist()), Piece(1, 0, rows[2].tolist())]
    got = fast.read(pieces, cache)
    torch.testing.assert_close(got, torch.stack(wanted))


def test_what_it_does_not_know_is_left_to_transformers() -> None:
    assert is_fast_llama(create_model())
    assert not is_fast_llama(create_llama({"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 2.0}))
    assert not is_fast_llama(create_llama(ROTATIONS[0], hidden_act="gelu"))
    quantized = create_model()
    quantized.lm_head = torch.nn.Sequential(quantized.lm_head)
    assert not is_fast_llama(quantized)
