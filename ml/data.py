"""From messages to token ids and masks. Training, evaluation and serving all encode here and so cannot differ.

A message's content is text. The chat template is rendered with placeholders in place of the contents and encoded with
its special tokens; the contents are encoded apart from it as plain text, so that a content which spells `<|im_start|>`
yields ordinary tokens and never a role boundary or a stop. What a template does to a content (it may strip it) is done
to the content, not to the placeholder.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transformers import PreTrainedTokenizerBase

from ml.errors import DataError

Message = dict[str, Any]

# Private-use characters, which no template spells, between spaces that a template only loses by stripping its contents.
SPACE = "\u2003"
PLACEHOLDER = SPACE + "\ue000{}\ue001" + SPACE
PLACEHOLDERS = re.compile(f"({SPACE}?)\ue000(\\d+)\ue001({SPACE}?)")
ROLE = re.compile("[A-Za-z_]+")


@dataclass(frozen=True)
class Encoded:
    """A conversation as tokens: `mask[i]` is 1 where token `ids[i]` is to be learnt, else 0."""

    ids: list[int]
    mask: list[int]


@dataclass(frozen=True)
class Frame:
    """What a chat template puts around the contents of a conversation, as tokens.

    `markup` has one piece before each content and one after the last; `strips` says of each content whether the template
    strips it on its left and on its right.
    """

    markup: tuple[tuple[int, ...], ...]
    strips: tuple[tuple[bool, bool], ...]

    def content(self, i: int, text: str) -> str:
        """The text of message `i` as the template prints it."""
        left, right = self.strips[i]
        text = text.lstrip() if left else text
        return text.rstrip() if right else text


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The tokens of plain text: spelled-out control tokens stay text.

    The tokenizer itself splits its special tokens. What only the chat template uses as a boundary, without the tokenizer
    calling it special, is cut after its first character, so that the two parts are encoded apart.
    """
    ids: list[int] = []
    for part in _boundaries(tokenizer, str(tokenizer.chat_template)).split(text):
        ids += tokenizer.encode(part, add_special_tokens=False, split_special_tokens=True)
    return ids


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """`encode_text` of each, together, which is several times faster."""
    boundaries = _boundaries(tokenizer, str(tokenizer.chat_template))
    whole = [i for i, text in enumerate(texts) if not boundaries.search(text)]
    found: list[list[int]] = [[] for _ in texts]
    if whole:
        batch = tokenizer([texts[i] for i in whole], add_special_tokens=False, split_special_tokens=True)
        for i, ids in zip(whole, batch["input_ids"], strict=True):
            found[i] = ids
    for i in set(range(len(texts))) - set(whole):
        found[i] = encode_text(tokenizer, texts[i])
    return found


@lru_cache(maxsize=8)
def _boundaries(tokenizer: PreTrainedTokenizerBase, template: str) -> re.Pattern[str]:
    """The places at which encode_text cuts: after the first character of a boundary of the template."""
    added = [str(token) for token in tokenizer.added_tokens_decoder.values() if not token.special]
    tokens = [token for token in added if len(token) > 1 and token in template]
    cuts = (f"(?<={re.escape(token[0])})(?={re.escape(token[1:])})" for token in tokens)
    return re.compile("|".join(cuts) or "(?!)")


def frame(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, prompt: bool) -> Frame:
    """The frame of a conversation, with the opening of an answer at its end if it is a `prompt`.

    Raises DataError when a message is malformed or the template does not print each content once, in order.
    """
    if not messages:
        raise DataError("A conversation needs at least one message.")
    for message in messages:
        role = message.get("role")
        if not isinstance(message.get("content"), str) or not isinstance(role, str) or not ROLE.fullmatch(role):
            raise DataError("Each message needs a role and a content that is text.")
    roles = tuple(message["role"] for message in messages)
    return _frame(tokenizer, str(tokenizer.chat_template), roles, prompt)


@lru_cache(maxsize=1024)  # most conversations of a dataset have the same roles
def _frame(tokenizer: PreTrainedTokenizerBase, template: str, roles: tuple[str, ...], prompt: bool) -> Frame:
    hollow = [{"role": role, "content": PLACEHOLDER.format(i)} for i, role in enumerate(roles)]
    try:
        text = tokenizer.apply_chat_template(hollow, tokenize=False, add_generation_prompt=prompt)
    except Exception as error:  # templates are programs of others and raise what they like
        raise DataError(f"The chat template refuses this conversation: {error}") from error
    pieces = PLACEHOLDERS.split(text)
    if pieces[2::4] != [str(i) for i in range(len(roles))]:
        raise DataError("The chat template does not print every message once and in order.")
    return Frame(
        markup=tuple(
            tuple(tokenizer.encode(piece, add_special_tokens=False, split_special_tokens=False)) if piece else ()
            for piece in pieces[0::4]
        ),
        strips=tuple((not left, not right) for left, right in zip(pieces[1::4], pieces[3::4], strict=True)),
    )


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """The tokens that the model continues with its answer: the conversation and the opening of the answer."""
    around = frame(tokenizer, messages, prompt=True)
    ids = list(around.markup[0])
    for i, message in enumerate(messages):
        ids += encode_text(tokenizer, around.content(i, message["content"])) + list(around.markup[i + 1])
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
    special token that the template puts after it. Nothing follows the last end token, and what precedes the last answer
    is the prompt that serving sends. Raises DataError when the last message is not the assistant's, or when the template
    does not close an answer with a special token: a model trained on that would never stop.
    """
    around = frame(tokenizer, messages, prompt=False)
    if messages[-1]["role"] != "assistant":
        raise DataError("The last message of an example must be the assistant's.")
    markup, last = list(around.markup), len(messages) - 1
    if last:  # some templates write the last answer otherwise than they open one
        markup[:-1] = frame(tokenizer, messages[:-1], prompt=True).markup
    ids = list(markup[0])
    mask = [0] * len(ids)
    special = special_ids(tokenizer)
    for i, message in enumerate(messages):
        content = encode_text(tokenizer, around.content(i, message["content"]))
        after = list(markup[i + 1])
        is_answer = message["role"] == "assistant"
        if is_answer and (not after or after[0] not in special):
            raise DataError("The chat template does not end an answer with a special token.")
        if i == last:
            after = after[:1]
        is_learnt = is_answer and (i == last if last_only else message.get("weight") != 0)
        ids += content + after
        mask += [int(is_learnt)] * len(content)
        mask += [int(is_learnt)] * len(after[:1]) + [0] * len(after[1:])
    return Encoded(ids=ids, mask=mask)


@lru_cache(maxsize=8)
def special_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """All tokens that no text can be: those that the tokenizer names, and those that it has marked as special."""
    marked = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(marked | set(tokenizer.all_special_ids))
