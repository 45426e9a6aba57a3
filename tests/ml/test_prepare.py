import importlib.util
import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from ml import prepare as module
from ml.data import encode_example
from ml.prepare import is_sane, main, prepare


@pytest.fixture(autouse=True)
def _one_thread():
    """Small steps on several threads mostly wait for each other when the machine has other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_missing_package_is_said_plainly(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main([str(tmp_path / "base")]) == 1
    assert "pip install" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_said_plainly_before_anything_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "find_gguf", lambda: tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1024))
    assert main([str(tmp_path / "models" / "base")]) == 1
    assert "nearly full" in capsys.readouterr().err
    assert list((tmp_path / "models").iterdir()) == []


def test_a_model_that_is_there_is_kept(tmp_path, monkeypatch):
    (tmp_path / "emend.json").write_text("{}")
    monkeypatch.setattr(module, "find_gguf", lambda: pytest.fail("nothing is to be unpacked"))
    prepare(out=tmp_path)


@pytest.mark.model
def test_the_unpacked_model_answers_and_stops(bundled_model):
    tokenizer = AutoTokenizer.from_pretrained(bundled_model)
    model = AutoModelForCausalLM.from_pretrained(bundled_model, dtype="auto")
    assert is_sane(model, tokenizer)
    facts = json.loads((bundled_model / "emend.json").read_text())
    assert facts["n_parameters"] == model.num_parameters() == 134_515_008
    assert facts["context_length"] == 8192
    assert facts["licence"] == "Apache-2.0"
    assert GenerationConfig.from_pretrained(bundled_model).eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")


@pytest.mark.model
def test_every_special_token_of_the_bundled_model_is_text_in_contents(bundled_model):
    tokenizer = AutoTokenizer.from_pretrained(bundled_model)
    specials = list(tokenizer.get_added_vocab())
    assert len(specials) >= 17
    for special in specials:
        messages = [{"role": "user", "content": special}, {"role": "assistant", "content": f"a {special} b"}]
        encoded = encode_example(tokenizer, messages)
        learnt = [i for i, m in zip(encoded.ids, encoded.mask, strict=True) if m]
        assert set(learnt[:-1]).isdisjoint(tokenizer.get_added_vocab().values())
        assert tokenizer.decode(learnt) == f"a {special} b<|im_end|>"
        assert [i for i in encoded.ids if i == tokenizer.eos_token_id] == [tokenizer.eos_token_id] * 3
