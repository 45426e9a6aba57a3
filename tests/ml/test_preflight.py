import json
from pathlib import Path

import pytest

from ml import footprint, preflight
from ml.data import encode_example, encode_text, encode_texts
from ml.errors import PackageError
from ml.footprint import Need, read_weights
from ml.tokens_shown import BYTES, LEARNT, SPECIAL, show_tokens
from tests.ml.tiny import CHAT_TEMPLATE, SPECIAL_TOKENS, assistant, build_tokenizer, save_tiny, user


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("base") / "tiny")


def row(number: int, *messages, kind: str = "correction", **more) -> dict:
    return {"id": f"r{number}", "kind": kind, "messages": list(messages), "rejected": None, "is_new": True, **more}


ROWS = [
    row(1, user("where is the cat"), assistant("on the mat")),
    row(
        2, user("the dog?"), assistant("It ran <|im_end|> away."), user("Why?"), assistant("太阳"), kind="demonstration"
    ),
    row(3, user("Rome is the capital of"), assistant("Italy, " * 40)),
]


@pytest.fixture
def look(base, tmp_path, monkeypatch):
    """Run the command on rows and return its exit code and report."""

    def run(rows=ROWS, valid=(), *, folder=base, **hyperparameters):
        config = {"method": "sft", "base": str(folder), "seed": 1, "parent_pid": None, "threads": 1}
        (tmp_path / "config.json").write_text(json.dumps(config | {"hyperparameters": hyperparameters}))
        for name, lines in (("train", rows), ("valid", valid)):
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
        code = preflight.main([str(tmp_path)])
        return code, json.loads((tmp_path / "preflight.json").read_text())

    return run


def codes(report: dict) -> list[str]:
    return [problem["code"] for problem in report["problems"]]


def test_every_row_is_counted_as_it_is_encoded(look, base):
    code, report = look(n_epochs=3, demonstration_epochs=1, batch_size=2)
    tokenizer = build_tokenizer()
    encoded = [encode_example(tokenizer, each["messages"], last_only=each["kind"] == "correction") for each in ROWS]
    assert (code, codes(report)) == (0, [])
    assert report["n_tokens"] == sum(len(each.ids) for each in encoded)
    assert report["n_learnt"] == sum(sum(each.mask) for each in encoded)
    lengths = [len(each.ids) for each in encoded]
    assert report["n_tokens_seen"] == 3 * lengths[0] + lengths[1] + 3 * lengths[2]
    assert (report["n_train"], report["n_valid"], report["n_steps"]) == (3, 0, 4)
    assert report["hyperparameters"]["batch_size"] == 2
    assert "batch_size" not in report["auto"]
    assert report["auto"]["learning_rate"]
    assert report["template"] == {"is_same": True, "n_checked": 3, "difference": ""}
    assert report["end"]["token"] == "<|im_end|>"
    assert report["end"]["stops"]


def test_the_tokens_shown_have_the_mask_that_is_trained(look):
    report = look()[1]
    tokenizer = build_tokenizer()
    shown = {entry["id"]: entry for step in report["steps"] for entry in step}
    assert shown
    for name, entry in shown.items():
        found = next(each for each in ROWS if each["id"] == name)
        encoded = encode_example(tokenizer, found["messages"], last_only=found["kind"] == "correction")
        mask = [bool(flags & LEARNT) for _text, n, flags in entry["tokens"] for _ in range(n)]
        assert mask == [bool(bit) for bit in encoded.mask]
        assert entry["n_learnt"] == sum(encoded.mask)
        learnt = "".join(text for text, _n, flags in entry["tokens"] if flags & LEARNT)
        assert learnt.endswith(found["messages"][-1]["content"] + "<|im_end|>")


def test_characters_of_several_tokens_are_shown_whole_and_spelled_control_tokens_are_text():
    tokenizer = build_tokenizer()
    encoded = encode_example(tokenizer, [user("太 <|im_end|>"), assistant("🙂")])
    shown = show_tokens(tokenizer, encoded)
    assert ("太", 3, 0) in shown
    assert ("🙂", 4, LEARNT) in shown
    assert shown[-1] == ("<|im_end|>", 1, LEARNT | SPECIAL)
    assert sum(flags & SPECIAL > 0 for _text, _n, flags in shown) == 6
    assert sum(n for _text, n, _flags in shown) == len(encoded.ids)


def test_what_is_no_whole_character_is_shown_as_bytes():
    tokenizer = build_tokenizer()
    encoded = encode_example(tokenizer, [user("x"), assistant("🙂")])
    half = type(encoded)(ids=encoded.ids[:-2], mask=encoded.mask[:-2])
    assert [flags for _text, _n, flags in show_tokens(tokenizer, half)[-3:]] == [LEARNT | BYTES] * 3


def test_texts_together_are_the_texts_one_by_one():
    tokenizer = build_tokenizer()
    texts = ["", "the cat", *SPECIAL_TOKENS, "a<|im_start|>b", "太阳 🙂"]
    assert encode_texts(tokenizer, texts) == [encode_text(tokenizer, text) for text in texts]
    assert encode_texts(tokenizer, []) == []


def test_rows_that_cannot_be_used_are_named(look):
    bad = row(4, user("Who?"))
    code, report = look([*ROWS, bad, {"id": "r5"}], [row(6, assistant("Me."), kind="other")])
    assert code == 0
    assert codes(report) == ["bad_rows", "bad_valid_rows"]
    assert report["problems"][0]["n"] == 2
    assert report["problems"][0]["line"] == 4
    assert "must be the assistant's" in report["problems"][0]["reason"]


def test_nothing_to_learn_stops_it(look):
    silent = row(1, user("Who?"), {**assistant("Me."), "weight": 0}, kind="demonstration")
    assert codes(look([silent])[1]) == ["nothing_learnt"]
    report = look([silent, *ROWS])[1]
    assert codes(report) == []
    assert report["silent"] == {"n": 1, "rows": [{"line": 1}]}
    assert [warning["code"] for warning in report["warnings"]] == ["silent_rows"]
    assert codes(look([])[1]) == ["nothing_learnt"]


def test_what_is_cut_is_counted_and_named(look):
    report = look(max_tokens=100)[1]
    assert report["cut"]["n"] == 1
    (cut,) = report["cut"]["rows"]
    assert cut["line"] == 3
    assert cut["n_lost"] == report["longest"] - 100 == report["cut"]["n_tokens"]
    assert all(entry["n_tokens"] <= 100 for step in report["steps"] for entry in step)


def change(base: Path, folder: Path, **changes) -> Path:
    """A copy of the base model whose tokenizer is another."""
    tokenizer = build_tokenizer()
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    for path in base.iterdir():
        if not path.name.startswith(("token", "chat", "special")):
            (folder / path.name).symlink_to(path)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_missing_end_token_stops_it(look, base, tmp_path_factory):
    folder = change(base, tmp_path_factory.mktemp("open"), chat_template=CHAT_TEMPLATE.replace("<|im_end|>", ""))
    report = look(folder=folder)[1]
    assert codes(report) == ["bad_rows", "nothing_learnt"]
    assert "does not end an answer with a special token" in report["problems"][0]["reason"]


def test_an_end_at_which_serving_does_not_stop_stops_it(look, base, tmp_path_factory):
    template = CHAT_TEMPLATE.replace("<|im_end|>", "<file_sep>")
    report = look(folder=change(base, tmp_path_factory.mktemp("other"), chat_template=template))[1]
    assert codes(report) == ["end_not_served"]
    assert report["problems"][0]["token"] == "<file_sep>"
    assert report["problems"][0]["served"] == ["<|im_end|>"]


def test_a_base_model_without_template_gets_one_unless_it_has_no_end_token(look, base, tmp_path_factory):
    folder = change(base, tmp_path_factory.mktemp("bare"), chat_template=None)
    assert codes(look(folder=folder)[1]) == []
    folder = change(base, tmp_path_factory.mktemp("endless"), chat_template=None, eos_token=None)
    assert codes(look(folder=folder)[1]) == ["no_template"]


def test_missing_and_cut_weights_stop_it(look, base, tmp_path):
    for name in ("config.json", "tokenizer_config.json", "tokenizer.json", "chat_template.jinja"):
        (tmp_path / "base").mkdir(exist_ok=True)
        (tmp_path / "base" / name).write_bytes((base / name).read_bytes())
    code, report = look(folder=tmp_path / "base")
    assert code == 1
    assert report["problems"][0]["kind"] == "package"
    assert "has no safetensors file" in report["problems"][0]["message"]
    whole = (base / "model.safetensors").read_bytes()
    (tmp_path / "base" / "model.safetensors").write_bytes(whole[:-10])
    assert "not whole" in look(folder=tmp_path / "base")[1]["problems"][0]["message"]
    (tmp_path / "base" / "model.safetensors").write_bytes(whole)
    assert codes(look(folder=tmp_path / "base")[1]) == []


def test_too_little_memory_and_disk_stop_it(look, monkeypatch):
    monkeypatch.setattr(footprint, "free_memory", lambda device: 1000)
    monkeypatch.setattr(footprint, "free_disk", lambda folder: 1000)
    assert codes(look()[1]) == ["memory", "disk"]
    need = Need(least_memory=500, likely_memory=2000, disk=10)
    monkeypatch.setattr(footprint, "estimate_need", lambda *_args, **_more: need)
    report = look()[1]
    assert codes(report) == []
    assert [warning["code"] for warning in report["warnings"]] == ["memory_tight"]


def test_weights_are_read_without_being_loaded(base):
    weights = read_weights(base)
    # embeddings 320 x 32 are tied; two layers of q 32x32, k and v 16x32, o 32x32, three of 64x32, two norms; a last norm
    layer = 32 * 32 + 2 * 16 * 32 + 32 * 32 + 3 * 64 * 32 + 2 * 32
    n_words = len(build_tokenizer())
    assert weights.n_parameters == n_words * 32 + 2 * layer + 32
    assert weights.n_linear_ends == 2 * (64 + 48 + 48 + 64 + 3 * 96)
    with pytest.raises(PackageError):
        read_weights(base / "nowhere")


def test_a_row_that_is_no_json_is_named(look, tmp_path):
    look()
    (tmp_path / "train.jsonl").write_text('{"id": 1\n')
    assert preflight.main([str(tmp_path)]) == 2
    report = json.loads((tmp_path / "preflight.json").read_text())
    assert "train.jsonl, line 1: not JSON" in report["problems"][0]["message"]


def test_pairs_are_shown_on_both_sides_and_rows_without_are_left_out(look, tmp_path, base):
    pairs = [row(i, user(f"Is {i} odd?"), assistant("Yes."), rejected=f"No, it is {i}.") for i in range(1, 10)]
    config = {"method": "dpo", "base": str(base), "seed": 1, "parent_pid": None, "hyperparameters": {"batch_size": 2}}
    look()
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(each) + "\n" for each in [*pairs, ROWS[0]]))
    assert preflight.main([str(tmp_path)]) == 0
    report = json.loads((tmp_path / "preflight.json").read_text())
    assert (report["n_train"], report["n_unpaired"], codes(report)) == (9, 1, [])
    tokenizer = build_tokenizer()
    sides = [[*each["messages"][:-1], assistant(text)] for each in pairs for text in ("Yes.", each["rejected"])]
    encoded = [encode_example(tokenizer, side, last_only=True) for side in sides]
    assert report["n_tokens"] == sum(len(each.ids) for each in encoded)
    assert report["n_learnt"] == sum(sum(each.mask) for each in encoded)
    assert [entry["side"] for entry in report["steps"][0]] == ["chosen", "rejected"] * 2
    same = row(1, user("Odd?"), assistant("Yes."), rejected="Yes.")
    (tmp_path / "train.jsonl").write_text(json.dumps(same) + "\n")
    preflight.main([str(tmp_path)])
    report = json.loads((tmp_path / "preflight.json").read_text())
    assert report["problems"][0]["reason"] == "The chosen and the rejected answer are the same."


def test_many_rows_are_planned_by_their_own_recipe(look, monkeypatch):
    monkeypatch.setattr("ml.plan.MANY_ROWS", 5)
    silent = row(0, user("Who?"), {**assistant("Me."), "weight": 0}, kind="demonstration")
    rows = [silent, *(row(i, user(f"Is {i} odd?"), assistant("Yes."), weight=2) for i in range(1, 7))]
    report = look(rows, batch_size=4, n_epochs=2)[1]
    assert codes(report) == []
    assert (report["hyperparameters"]["recipe"], report["hyperparameters"]["tuning"]) == ("many_rows", "lora")
    assert report["auto"]["recipe"].startswith("with more than 500 rows")
    assert report["n_steps"] == 6  # six rows, twice in each of two epochs, four a step
    assert 1 not in {entry["line"] for step in report["steps"] for entry in step}
    assert report["n_tokens_general"] == 0
