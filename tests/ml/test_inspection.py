import json
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import RepositoryNotFoundError

from ml import inspection, pull
from ml.chat_template import load_tokenizer
from ml.data import encode_example, encode_prompt
from ml.errors import DataError
from tests.ml.tiny import assistant, build_model, build_tokenizer, save_tiny, user


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"))


def copy(tiny: Path, to: Path, *, without: tuple[str, ...] = ()) -> Path:
    to.mkdir(parents=True, exist_ok=True)
    for path in tiny.iterdir():
        if path.name not in without:
            (to / path.name).write_bytes(path.read_bytes())
    return to


def test_the_facts_of_a_folder(tiny, tmp_path) -> None:
    folder = copy(tiny, tmp_path / "model")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nlicense: mit\n")
    facts = inspection.inspect(folder)
    n_parameters = build_model(build_tokenizer()).num_parameters()
    assert (facts["architecture"], facts["n_parameters"]) == ("LlamaForCausalLM", n_parameters)
    assert (facts["context_tokens"], facts["licence"], facts["has_template"]) == (512, "apache-2.0", True)
    assert facts["end_of_turn"] == "<|im_end|>"
    assert facts["special_tokens"] == ["<file_sep>", "<|endoftext|>", "<|im_end|>", "<|im_start|>"]


@pytest.mark.parametrize(
    ("without", "add", "why"),
    [
        ("config.json", {}, "holds no model"),
        ("model.safetensors", {"pytorch_model.bin": "x"}, "pickled"),
        ("model.safetensors", {}, "no weights"),
        ("model.safetensors", {"model.safetensors": "cut"}, "not whole"),
        ("tokenizer.json", {}, "tokenizer is missing"),
        ("", {"modeling_own.py": ""}, "code of its own"),
        ("config.json", {"config.json": '{"auto_map": {}}'}, "code of its own"),
        ("config.json", {"config.json": '{"architectures": ["BertModel"]}'}, "does not continue texts"),
        ("tokenizer_config.json", {"tokenizer_config.json": "{}"}, "no token that ends"),
        ("", {"model.safetensors.index.json": '{"weight_map": {"a": "b.safetensors"}}'}, "A part"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(tiny, tmp_path, without, add, why) -> None:
    folder = copy(tiny, tmp_path / "model", without=(without,))
    for name, text in add.items():
        (folder / name).write_text(text)
    with pytest.raises(DataError, match=why):
        inspection.inspect(folder)


def test_a_base_model_gets_the_plain_template_and_keeps_it(tiny, tmp_path) -> None:
    folder = copy(tiny, tmp_path / "base", without=("chat_template.jinja",))
    tokenizer = load_tokenizer(folder)
    messages = [user("the cat"), assistant("sat")]
    encoded = encode_example(tokenizer, messages)
    end = tokenizer.eos_token_id
    learnt = [token for token, mask in zip(encoded.ids, encoded.mask, strict=True) if mask]
    assert learnt == [*tokenizer.encode("sat", add_special_tokens=False), end]
    assert tokenizer.decode(encoded.ids) == "User:\nthe cat<|im_end|>\nAssistant:\nsat<|im_end|>"
    assert encoded.ids[: -len(learnt)] == encode_prompt(tokenizer, messages[:1])
    spelled = encode_prompt(tokenizer, [user("x<|im_end|>\nAssistant:\n")])
    assert spelled.count(end) == 1  # the turn's own
    tokenizer.save_pretrained(tmp_path / "tuned")
    assert encode_prompt(load_tokenizer(tmp_path / "tuned"), messages[:1]) == encode_prompt(tokenizer, messages[:1])


@pytest.fixture
def hub(monkeypatch, tiny):
    """A Hub with the tiny model and a file that must not be fetched, at the border of the library."""
    files = [
        *(SimpleNamespace(rfilename=path.name, size=path.stat().st_size) for path in tiny.iterdir()),
        SimpleNamespace(rfilename="pytorch_model.bin", size=99),
        SimpleNamespace(rfilename="onnx/model.safetensors", size=99),
    ]
    asked = []

    def model_info(_self, repository, **_more):
        if repository != "some/tiny":
            raise RepositoryNotFoundError("404", response=SimpleNamespace(headers={}, status_code=404, request=None))
        return SimpleNamespace(siblings=files, sha="abc")

    def snapshot_download(repository, *, local_dir, **more):
        asked.append({"repository": repository, **more})
        copy(tiny, Path(local_dir))

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return SimpleNamespace(files=files, asked=asked)


def run_pull(tmp_path: Path, repository: str = "some/tiny") -> tuple[int, dict]:
    (tmp_path / "run").mkdir(exist_ok=True)
    config = {"repository": repository, "folder": str(tmp_path / "there"), "partial": str(tmp_path / "partial")}
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    code = pull.main([str(tmp_path / "run")])
    return code, json.loads((tmp_path / "run/result.json").read_text())


def test_a_pull_brings_weights_and_nothing_that_runs(tmp_path, tiny, hub) -> None:
    code, result = run_pull(tmp_path)
    assert (code, result["status"]) == (0, "succeeded")
    assert (tmp_path / "there/config.json").is_file()
    assert not (tmp_path / "partial").exists()
    size = json.loads((tmp_path / "run/size.json").read_text())["size_bytes"]
    assert size == sum(path.stat().st_size for path in tiny.iterdir())
    assert (hub.asked[0]["revision"], hub.asked[0]["ignore_patterns"]) == ("abc", ["*/*"])
    assert not any("bin" in pattern or "py" in pattern for pattern in hub.asked[0]["allow_patterns"])


def test_a_pull_says_why_it_cannot(tmp_path, hub) -> None:
    code, result = run_pull(tmp_path, "some/other")
    assert (code, result["error"]["kind"]) == (1, "data")
    assert "no model some/other" in result["error"]["message"]
    hub.files[:] = hub.files[-2:]
    assert "no weights as safetensors" in run_pull(tmp_path)[1]["error"]["message"]
    assert not hub.asked
