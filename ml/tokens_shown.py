"""Tokens as a person can read them: whole characters, control tokens by name, and which of them are learnt."""

from collections.abc import Iterator

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase

from ml.data import Encoded, special_ids

LEARNT, SPECIAL, BYTES = 1, 2, 4
# A character has at most four bytes; what does not become text after that many tokens is shown as bytes.
MAX_PARTS = 4

Shown = tuple[str, int, int]  # text, how many tokens make it, flags


def show_tokens(tokenizer: PreTrainedTokenizerBase, encoded: Encoded) -> list[Shown]:
    """The tokens in order, those together that share a character; their counts add up to the row's length.

    Tokens that are learnt and such that are not never share an entry, nor do control tokens with others.
    """
    special = special_ids(tokenizer)
    shown: list[Shown] = []
    for flags, ids in _runs(encoded, special):
        if flags & SPECIAL:
            shown += [(str(tokenizer.convert_ids_to_tokens(i)), 1, flags) for i in ids]
        else:
            shown += _texts(tokenizer, ids, flags)
    return shown


def _runs(encoded: Encoded, special: frozenset[int]) -> Iterator[tuple[int, list[int]]]:
    """Neighbours of the same flags."""
    run: list[int] = []
    before = None
    for i, mask in zip(encoded.ids, encoded.mask, strict=True):
        flags = (LEARNT if mask else 0) | (SPECIAL if i in special else 0)
        if flags != before and run:
            yield before or 0, run
            run = []
        before = flags
        run.append(i)
    if run:
        yield before or 0, run


def _texts(tokenizer: PreTrainedTokenizerBase, ids: list[int], flags: int) -> Iterator[Shown]:
    """Text as soon as the tokens so far make whole characters; what never does is shown as the vocabulary spells it."""
    stream, pending = DecodeStream(skip_special_tokens=False), list[int]()
    for i in ids:
        pending.append(i)
        piece = stream.step(tokenizer.backend_tokenizer, i)
        if piece is None and len(pending) < MAX_PARTS:
            continue
        if piece is None:
            stream = DecodeStream(skip_special_tokens=False)
            yield from _raw(tokenizer, pending, flags)
        else:
            yield piece, len(pending), flags
        pending = []
    yield from _raw(tokenizer, pending, flags)


def _raw(tokenizer: PreTrainedTokenizerBase, ids: list[int], flags: int) -> Iterator[Shown]:
    for token in tokenizer.convert_ids_to_tokens(ids):
        yield str(token), 1, flags | BYTES
