import json

import pytest

from ml.count import count, main
from ml.data import encode_example
from tests.ml.tiny import build_tokenizer


def test_each_row_is_counted_as_it_is_trained_on(tmp_path) -> None:
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(tmp_path / "base")
    turns = [{"role": "user", "content": "what is the cat"}, {"role": "assistant", "content": "the dog <|im_end|>"}]
    rows = [turns, turns[:1], [*turns, *turns]]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    (tmp_path / "config.json").write_text(json.dumps({"base": str(tmp_path / "base")}))
    count(tmp_path)
    counts = [json.loads(line) for line in (tmp_path / "counts.jsonl").read_text().splitlines()]
    whole = encode_example(tokenizer, turns)
    assert counts[0] == [len(whole.ids), sum(whole.mask)]
    assert counts[1] is None
    assert counts[2][1] == 2 * counts[0][1]
    assert not (tmp_path / "counts.part").exists()


def test_it_wants_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 64
    assert "usage" in capsys.readouterr().err
