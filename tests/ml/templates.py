"""Four small tokenizers with chat templates in the manner of well-known families, written for the tests."""

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = ["the cat sat on the mat and the dog ran", "system user assistant System User Assistant Be kind"] * 3
WHITESPACE = {" ": "Ġ", "\n": "Ċ"}

SMOLLM2 = (
    "{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind"
    "<|im_end|>\n' }}{% endif %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Begins with a token of its own, names the role between two tokens, strips what people write.
LLAMA3 = (
    "{% for m in messages %}{% set turn = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim"
    " + '<|eot_id|>' %}{% if loop.first %}{% set turn = bos_token + turn %}{% endif %}{{ turn }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# Shows the last answer with an empty thought that it neither opens an answer with nor shows in earlier ones.
QWEN = (
    "{% if messages[0].role == 'system' %}{{ '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\n' }}"
    "{% if loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{{ m.content + '<|im_end|>\n' }}"
    "{% elif m.role != 'system' %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{{ m.role | capitalize + ':\n' + m.content }}"
    "{{ eos_token if m.role == 'assistant' }}{{ '\n\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:\n' }}{% endif %}"
)

FAMILIES = {
    "smollm2": (["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<file_sep>"], [], None, "<|im_end|>", SMOLLM2),
    "llama3": (
        [
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
            "<|python_tag|>",
        ],
        [],
        "<|begin_of_text|>",
        "<|eot_id|>",
        LLAMA3,
    ),
    "qwen": (["<|endoftext|>", "<|im_start|>", "<|im_end|>"], ["<think>", "</think>"], None, "<|im_end|>", QWEN),
    "plain": (["<|endoftext|>"], [], None, "<|endoftext|>", PLAIN),
}


def build_family(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer that knows the words of the tests and its family's control tokens, special ones and others."""
    special, others, bos, eos, template = FAMILIES[name]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in others])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, chat_template=template)


def control_tokens(name: str) -> list[str]:
    special, others, *_ = FAMILIES[name]
    return special + others


def table(tokenizer: PreTrainedTokenizerFast, ids: list[int], mask: list[int]) -> str:
    """The tokens one after the other as the tokenizer names them (Ġ is a space, Ċ a new line), learnt ones in brackets."""
    names = tokenizer.convert_ids_to_tokens(ids)
    return " ".join(f"[{token}]" if learnt else token for token, learnt in zip(names, mask, strict=True))
