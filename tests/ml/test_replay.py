import pytest

from ml import replay
from ml.data import encode_prompt
from ml.replay import content_start, own_answers
from tests.ml.tiny import assistant, build_model, build_tokenizer, user


def test_content_start_is_where_the_last_message_begins():
    tokenizer = build_tokenizer()
    prompt = [user("the cat"), assistant("sat"), user("the dog ran")]
    ids = encode_prompt(tokenizer, prompt)
    assert tokenizer.decode(ids[content_start(tokenizer, prompt) :]).startswith("the dog ran<|im_end|>")


@pytest.mark.parametrize("is_ours", [True, False])
def test_answers_are_kept_only_beside_a_model_that_emend_unpacked(tmp_path, monkeypatch, is_ours):
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    if is_ours:
        (tmp_path / "emend.json").write_text("{}")
    asked = []
    answer = replay.answer_prompts
    monkeypatch.setattr(replay, "answer_prompts", lambda *a, **k: asked.append(k["seed"]) or answer(*a, **k))
    prompts = [[user("the cat")], [user("the dog ran")]]
    first = own_answers(model, tokenizer, prompts, base=tmp_path, seed=0)
    assert own_answers(model, tokenizer, prompts, base=tmp_path, seed=0) == first
    assert asked == ([0] if is_ours else [0, 0])
    own_answers(model, tokenizer, prompts, base=tmp_path, seed=1)
    own_answers(model, tokenizer, prompts[:1], base=tmp_path, seed=0)
    assert asked[-2:] == [1, 0]
    assert len(list(tmp_path.glob("replay-*.json"))) == (3 if is_ours else 0)
