"""What is written as GGUF is the model: read back, it gives the same numbers for the same text."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ml.gguf_export import main
from tests.ml.tiny import build_model, build_tokenizer

TEXT = "<|im_start|>user\nthe cat, 42 dogs<|im_end|>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = build_tokenizer()
    build_model(tokenizer).to(torch.bfloat16).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change(folder: Path, name: str, **values: object) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_it_is_read_back_with_the_same_logits_tokens_and_template(folder: Path) -> None:
    path = folder.parent / "model.gguf"
    assert main([str(folder), str(path)]) == 0
    was = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    became = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    read = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    ids = tokenizer(TEXT, return_tensors="pt").input_ids
    assert read(TEXT).input_ids == ids[0].tolist()
    assert (read.chat_template, read.eos_token) == (tokenizer.chat_template, tokenizer.eos_token)
    with torch.inference_mode():
        assert torch.equal(was(ids).logits, became(ids).logits)


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("config.json", {"model_type": "qwen2"}, "Llama architecture"),
        ("config.json", {"rope_parameters": {"rope_type": "yarn"}}, "rotary embedding"),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}, "tokenizer"),
    ],
)
def test_what_cannot_be_written_exactly_is_refused(folder: Path, capsys, name, values, why) -> None:
    change(folder, name, **values)
    path = folder.parent / "model.gguf"
    assert main([str(folder), str(path)]) == 65
    assert why in capsys.readouterr().err
    assert list(folder.parent.iterdir()) == [folder]
