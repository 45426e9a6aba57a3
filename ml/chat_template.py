"""The tokenizer of a model folder, with a chat template where the folder has none: a base model has never seen a chat."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ml.errors import DataError

# Every turn ends with the end token, which no text can spell, so that a turn in somebody's text stays text.
PLAIN_TEMPLATE = (
    "{% if bos_token and bos_token != eos_token %}{{ bos_token }}{% endif %}"
    "{% for m in messages %}{{ m['role']|capitalize }}:\n{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:\n{% endif %}"
)


def load_tokenizer(folder: Path | str) -> PreTrainedTokenizerBase:
    """The tokenizer with its own chat template, or with the plain one. Runs no code from the folder.

    What is trained from it is saved with the template, so training and serving show the model the same. Raises DataError
    when there is no chat template and no end token that could close a turn of the plain one.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not tokenizer.chat_template:
        if not tokenizer.eos_token:
            raise DataError("The base model has no chat template and names no token that ends a text.")
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer
