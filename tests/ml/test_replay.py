from ml.data import encode_prompt
from ml.replay import content_start
from tests.ml.tiny import assistant, build_tokenizer, user


def test_content_start_is_where_the_last_message_begins():
    tokenizer = build_tokenizer()
    prompt = [user("the cat"), assistant("sat"), user("the dog ran")]
    ids = encode_prompt(tokenizer, prompt)
    assert tokenizer.decode(ids[content_start(tokenizer, prompt) :]).startswith("the dog ran<|im_end|>")
