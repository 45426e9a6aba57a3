"""From messages to token ids and masks. Training, evaluation and serving all encode here and so cannot differ.

A message's content is text. The chat template is rendered with placeholders in place of the contents and encoded with
its special tokens; the contents are encoded apart from it as plain text, so that a content which spells `<|im_start|>`
yields ordinary tokens and never a role boundary or a stop.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from ml.errors import DataError

Message = dict[str, Any]

# Private-use characters, which no template spells.
PLACEHOLDER = "\ue000{}\ue001"
PLACEHOLDERS = re.compile("\ue000(\\d+)\ue001")


@dataclass(frozen=True)
class Encoded:
    """A conversation as tokens: `mask[i]` is 1 where token `ids[i]` is to be learnt, else 0."""

    ids: list[int]
    mask: list[int]


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The tokens of plain text: spelled-out special tokens stay text."""
    return tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)


def _encode_markup(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False, split_special_tokens=False) if text else []


def _render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, prompt: bool) -> list[str]:
    """The template's own text around the contents: one piece before each content and one after the last.

    Raises DataError when a message is malformed or the template does not print each content once, in order.
    """
    if not messages:
        raise DataError("A conversation needs at least one message.")
    for message in messages:
        if not isinstance(message.get("content"), str) or not isinstance(message.get("role"), str):
            raise DataError("Each message needs a role and a content that is text.")
    hollow = [{"role": m["role"], "content": PLACEHOLDER.format(i)} for i, m in enumerate(messages)]
    try:
        text = tokenizer.apply_chat_template(hollow, tokenize=False, add_generation_prompt=prompt)
    except Exception as error:  # templates are programs of others and raise what they like
        raise DataError(f"The chat template refuses this conversation: {error}") from error
    pieces = PLACEHOLDERS.split(text)
    if pieces[1::2] != [str(i) for i in range(len(messages))]:
        raise DataError("The chat template does not print every message once and in order.")
    return pieces[0::2]


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """The tokens that the model continues with its answer: the conversation and the opening of the answer."""
    pieces = _render(tokenizer, messages, prompt=True)
    ids = _encode_markup(tokenizer, pieces[0])
    for message, piece in zip(messages, pieces[1:], strict=True):
        ids += encode_text(tokenizer, message["content"]) + _encode_markup(tokenizer, piece)
    return ids


def encode_example(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    *,
    last_only: bool = False,
) -> Encoded:
    """The tokens of a whole conversation, masked so that the assistant's answers and their end tokens are learnt.

    A message of the weight 0 is not learnt, unless it is the last one under `last_only`.

    Exactly these are learnt: the tokens of each assistant content (of the last one alone if `last_only`) and the one
    special token that the template puts after it. Nothing follows the last end token. Raises DataError when the last
    message is not the assistant's, or when the template does not close an answer with a special token: a model
    trained on that would never stop.
    """
    pieces = _render(tokenizer, messages, prompt=False)
    if messages[-1]["role"] != "assistant":
        raise DataError("The last message of an example must be the assistant's.")
    ids = _encode_markup(tokenizer, pieces[0])
    mask = [0] * len(ids)
    last = len(messages) - 1
    for i, (message, piece) in enumerate(zip(messages, pieces[1:], strict=True)):
        content, markup = (
            encode_text(tokenizer, message["content"]),
            _encode_markup(tokenizer, piece),
        )
        is_answer = message["role"] == "assistant"
        if is_answer and (not markup or markup[0] not in tokenizer.all_special_ids):
            raise DataError("The chat template does not end an answer with a special token.")
        if i == last:
            markup = markup[:1]
        is_learnt = is_answer and (i == last if last_only else message.get("weight") != 0)
        ids += content + markup
        mask += [int(is_learnt)] * len(content)
        mask += [int(is_learnt)] * len(markup[:1]) + [0] * len(markup[1:])
    return Encoded(ids=ids, mask=mask)
