"""How a model is computed for the engine: prompts by the piece, and answers of many rows by the token."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from transformers import PreTrainedModel

from ml.engine_cache import SlotCache

# Attention adds up over blocks of columns on a CPU. A row that always reads whole blocks gets the same sums, bit for bit,
# however long the rows beside it are, if the blocks are as long as those of the kernels; this many always suffice.
LONGEST_BLOCK = 256


class Piece(NamedTuple):
    """Tokens of a prompt that a slot reads, from the position `start` on."""

    slot: int
    start: int
    tokens: Sequence[int]

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)


class Forward(Protocol):
    """Computes logits and keeps keys and values in the cache, which has room for them."""

    block: int  # a step over whole blocks of columns has the same bits, whoever else takes it
    n_ahead: int  # so many tokens more than one `follow` reads at hardly more cost; 0 where it cannot

    def read(self, pieces: Sequence[Piece], cache: SlotCache) -> torch.Tensor:
        """The logits (B, V) that follow the last token of each of the B pieces."""

    def step(self, tokens: Sequence[int], positions: Sequence[int], end: int, cache: SlotCache) -> torch.Tensor:
        """The logits (B, V) that follow one more token in each of the slots 0 to B - 1; `end` is after all positions."""

    def follow(self, tokens: Sequence[int], start: int, end: int, cache: SlotCache) -> torch.Tensor:
        """The logits (T, V) that follow each of the T tokens that slot 0 reads from `start` on: those of T steps."""


class ModelForward:
    """Any causal model, computed by transformers."""

    block = LONGEST_BLOCK
    n_ahead = 0

    def __init__(self, model: PreTrainedModel):
        self._model = model

    def read(self, pieces: Sequence[Piece], cache: SlotCache) -> torch.Tensor:
        found = []
        for piece in pieces:
            positions = torch.arange(piece.start, piece.end, device=self._model.device)
            slots = torch.full_like(positions, piece.slot)
            cache.place(slots=slots, positions=positions, window=(piece.slot, 1, piece.end))
            ids = torch.tensor([piece.tokens], device=self._model.device)
            found.append(self._compute(ids, positions[None], None, cache))
        return torch.cat(found)

    def step(self, tokens: Sequence[int], positions: Sequence[int], end: int, cache: SlotCache) -> torch.Tensor:
        ids, places = torch.tensor([tokens, positions], device=self._model.device)
        slots = torch.arange(len(ids), device=self._model.device)
        cache.place(slots=slots, positions=places, window=(0, len(ids), end))
        return self._compute(ids[:, None], places[:, None], hide_later(places, end, self._model.dtype), cache)

    def follow(self, tokens: Sequence[int], start: int, end: int, cache: SlotCache) -> torch.Tensor:
        raise NotImplementedError

    def _compute(
        self, ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None, cache: SlotCache
    ) -> torch.Tensor:
        """The logits (B, V) after the last of `ids` (B, T). `mask`: (B, 1, 1, end) where T is 1; None with one row."""
        output = self._model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1]


def hide_later(positions: torch.Tensor, end: int, dtype: torch.dtype) -> torch.Tensor:
    """(B, 1, 1, end): 0 up to each row's position, the least number where its slot holds nothing of it."""
    hidden = torch.arange(end, device=positions.device) > positions[:, None]
    mask = torch.zeros(hidden.shape, dtype=dtype, device=positions.device)
    return mask.masked_fill_(hidden, torch.finfo(dtype).min)[:, None, None]
