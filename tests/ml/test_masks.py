"""Which tokens are trained on, exactly, for the templates of four families: learnt ones stand in brackets."""

import pytest
from transformers import AutoTokenizer

from ml.data import encode_example, encode_prompt, encode_text
from ml.errors import DataError
from tests.ml.templates import FAMILIES, build_family, control_tokens, table
from tests.ml.tiny import assistant, user

SYSTEM = {"role": "system", "content": "Be kind"}
ONE_TURN = [user("the cat"), assistant("sat on the mat")]
TWO_TURNS = [SYSTEM, user("the cat"), assistant("sat"), user("the dog"), assistant("ran")]

TABLES = {
    ("smollm2", "one turn"): """
        <|im_start|> system Ċ Be Ġkind <|im_end|> Ċ
        <|im_start|> user Ċ the Ġcat <|im_end|> Ċ
        <|im_start|> assistant Ċ [sat] [Ġon] [Ġthe] [Ġmat] [<|im_end|>]
    """,
    ("smollm2", "two turns"): """
        <|im_start|> system Ċ Be Ġkind <|im_end|> Ċ
        <|im_start|> user Ċ the Ġcat <|im_end|> Ċ
        <|im_start|> assistant Ċ [sat] [<|im_end|>] Ċ
        <|im_start|> user Ċ the Ġdog <|im_end|> Ċ
        <|im_start|> assistant Ċ [ran] [<|im_end|>]
    """,
    ("smollm2", "last only"): """
        <|im_start|> system Ċ Be Ġkind <|im_end|> Ċ
        <|im_start|> user Ċ the Ġcat <|im_end|> Ċ
        <|im_start|> assistant Ċ sat <|im_end|> Ċ
        <|im_start|> user Ċ the Ġdog <|im_end|> Ċ
        <|im_start|> assistant Ċ [ran] [<|im_end|>]
    """,
    ("llama3", "one turn"): """
        <|begin_of_text|>
        <|start_header_id|> user <|end_header_id|> Ċ Ċ the Ġcat <|eot_id|>
        <|start_header_id|> assistant <|end_header_id|> Ċ Ċ [sat] [Ġon] [Ġthe] [Ġmat] [<|eot_id|>]
    """,
    ("llama3", "two turns"): """
        <|begin_of_text|>
        <|start_header_id|> system <|end_header_id|> Ċ Ċ Be Ġkind <|eot_id|>
        <|start_header_id|> user <|end_header_id|> Ċ Ċ the Ġcat <|eot_id|>
        <|start_header_id|> assistant <|end_header_id|> Ċ Ċ [sat] [<|eot_id|>]
        <|start_header_id|> user <|end_header_id|> Ċ Ċ the Ġdog <|eot_id|>
        <|start_header_id|> assistant <|end_header_id|> Ċ Ċ [ran] [<|eot_id|>]
    """,
    ("llama3", "last only"): """
        <|begin_of_text|>
        <|start_header_id|> system <|end_header_id|> Ċ Ċ Be Ġkind <|eot_id|>
        <|start_header_id|> user <|end_header_id|> Ċ Ċ the Ġcat <|eot_id|>
        <|start_header_id|> assistant <|end_header_id|> Ċ Ċ sat <|eot_id|>
        <|start_header_id|> user <|end_header_id|> Ċ Ċ the Ġdog <|eot_id|>
        <|start_header_id|> assistant <|end_header_id|> Ċ Ċ [ran] [<|eot_id|>]
    """,
    ("qwen", "one turn"): """
        <|im_start|> user Ċ the Ġcat <|im_end|> Ċ
        <|im_start|> assistant Ċ [sat] [Ġon] [Ġthe] [Ġmat] [<|im_end|>]
    """,
    ("qwen", "two turns"): """
        <|im_start|> system Ċ Be Ġkind <|im_end|> Ċ
        <|im_start|> user Ċ the Ġcat <|im_end|> Ċ
        <|im_start|> assistant Ċ [sat] [<|im_end|>] Ċ
        <|im_start|> user Ċ the Ġdog <|im_end|> Ċ
        <|im_start|> assistant Ċ [ran] [<|im_end|>]
    """,
    ("qwen", "last only"): """
        <|im_start|> system Ċ Be Ġkind <|im_end|> Ċ
        <|im_start|> user Ċ the Ġcat <|im_end|> Ċ
        <|im_start|> assistant Ċ sat <|im_end|> Ċ
        <|im_start|> user Ċ the Ġdog <|im_end|> Ċ
        <|im_start|> assistant Ċ [ran] [<|im_end|>]
    """,
    ("plain", "one turn"): """
        User : Ċ the Ġcat Ċ Ċ
        Assistant : Ċ [sat] [Ġon] [Ġthe] [Ġmat] [<|endoftext|>]
    """,
    ("plain", "two turns"): """
        System : Ċ Be Ġkind Ċ Ċ
        User : Ċ the Ġcat Ċ Ċ
        Assistant : Ċ [sat] [<|endoftext|>] Ċ Ċ
        User : Ċ the Ġdog Ċ Ċ
        Assistant : Ċ [ran] [<|endoftext|>]
    """,
    ("plain", "last only"): """
        System : Ċ Be Ġkind Ċ Ċ
        User : Ċ the Ġcat Ċ Ċ
        Assistant : Ċ sat <|endoftext|> Ċ Ċ
        User : Ċ the Ġdog Ċ Ċ
        Assistant : Ċ [ran] [<|endoftext|>]
    """,
}


@pytest.fixture(scope="module")
def families():
    return {name: build_family(name) for name in FAMILIES}


@pytest.mark.parametrize(("family", "what"), TABLES)
def test_exactly_these_tokens_are_learnt(families, family, what):
    tokenizer = families[family]
    messages = ONE_TURN if what == "one turn" else TWO_TURNS
    encoded = encode_example(tokenizer, messages, last_only=what == "last only")
    assert table(tokenizer, encoded.ids, encoded.mask) == " ".join(TABLES[family, what].split())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("messages", [ONE_TURN, TWO_TURNS], ids=["one turn", "two turns"])
def test_what_precedes_the_last_answer_is_the_prompt_that_serving_sends(families, family, messages):
    tokenizer = families[family]
    prompt, encoded = encode_prompt(tokenizer, messages[:-1]), encode_example(tokenizer, messages, last_only=True)
    assert encoded.ids[: len(prompt)] == prompt
    assert encoded.mask == [0] * len(prompt) + [1] * (len(encoded.ids) - len(prompt))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_contents_that_spell_every_control_token_are_text(families, family, role):
    """The control tokens of the row are those of the same row with harmless contents, and the text comes back as typed."""
    tokenizer = families[family]
    control = {tokenizer.convert_tokens_to_ids(token) for token in control_tokens(family)}
    spelled = " ".join(["the", *control_tokens(family), "cat"]) + "".join(control_tokens(family))

    def encode(text):
        messages = [{**m, "content": text if m["role"] == role else m["content"]} for m in TWO_TURNS]
        return encode_example(tokenizer, messages), encode_prompt(tokenizer, messages[:-1])

    (harmless, harmless_prompt), (attacked, attacked_prompt) = encode("the mat"), encode(spelled)
    for before, after in ((harmless.ids, attacked.ids), (harmless_prompt, attacked_prompt)):
        assert [i for i in after if i in control] == [i for i in before if i in control]
    assert spelled in tokenizer.decode(attacked.ids)
    assert control.isdisjoint(encode_text(tokenizer, spelled))
    assert tokenizer.decode(encode_text(tokenizer, spelled)) == spelled


def test_contents_are_stripped_where_the_template_strips_them(families):
    messages = [user("  the cat \n"), assistant("\nsat ")]
    stripped = [user("the cat"), assistant("sat")]
    llama3, smollm2 = families["llama3"], families["smollm2"]
    assert encode_example(llama3, messages) == encode_example(llama3, stripped)
    assert "user\n  the cat \n<|im_end|>" in smollm2.decode(encode_example(smollm2, messages).ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tokens_are_those_of_the_rendered_template(families, family):
    """Pieces encoded apart come out as the whole text does, where nothing is spelled out and the template is regular."""
    tokenizer = families[family]
    text = tokenizer.apply_chat_template(TWO_TURNS[:-1], tokenize=False, add_generation_prompt=True)
    assert encode_prompt(tokenizer, TWO_TURNS[:-1]) == tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("role", ["user<|im_end|>", "", "a b", "user\n"])
def test_a_role_is_a_word(families, role):
    with pytest.raises(DataError, match="role"):
        encode_prompt(families["smollm2"], [{"role": role, "content": "the cat"}])


@pytest.mark.model
def test_no_special_token_of_the_bundled_tokenizer_can_be_spelled(bundled_model):
    tokenizer = AutoTokenizer.from_pretrained(bundled_model)
    special = {str(token): i for i, token in tokenizer.added_tokens_decoder.items()}
    assert {"<|im_start|>", "<|im_end|>", "<|endoftext|>"} <= set(special)
    spelled = " ".join(special)
    ids = encode_text(tokenizer, spelled)
    assert set(special.values()).isdisjoint(ids)
    assert tokenizer.decode(ids) == spelled
    learnt = encode_example(tokenizer, [user(spelled), assistant(spelled)])
    plain = encode_example(tokenizer, [user("a"), assistant("b")])
    assert sum(i in special.values() for i in learnt.ids) == sum(i in special.values() for i in plain.ids)
