"""Rows of tokens as tensors that share what they begin with.

Chat rows begin alike: the system message and the opening of the user's turn are often half of a short row. That
beginning is read once for a whole batch, in training too: gradients flow through it as if every row had its own.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from ml.data import Encoded

Tensors = dict[str, Any]


def n_shared_tokens(rows: Sequence[Encoded]) -> int:
    """How many first tokens all rows share, stopping so early that every learnt token is predicted after them."""
    limit = min(row.mask.index(1) - 1 if 1 in row.mask else len(row.ids) - 1 for row in rows)
    shortest, longest = min(row.ids for row in rows), max(row.ids for row in rows)
    n = 0
    while n < limit and shortest[n] == longest[n]:
        n += 1
    return max(n, 0)


def collate(rows: Sequence[Encoded]) -> Tensors:
    """Pad rows on the right, their shared beginning apart.

    Example: rows [7 1 2 3] and [7 1 5], both learnt in their last token, become `prefix` [[7]], `ids` [[1 2 3], [1 5 0]],
    `real` [[1 1 1], [1 1 0]] and `learnt` [[0 0 1], [0 1 0]]; the shared 1 stays, since it predicts the learnt 5.
    """
    n_prefix = n_shared_tokens(rows)
    width = max(len(row.ids) for row in rows) - n_prefix

    def padded(values: Sequence[int]) -> list[int]:
        rest = list(values[n_prefix:])
        return rest + [0] * (width - len(rest))

    return {
        "prefix": torch.tensor([rows[0].ids[:n_prefix]], dtype=torch.long),
        "ids": torch.tensor([padded(row.ids) for row in rows]),
        "real": torch.tensor([padded([1] * len(row.ids)) for row in rows]),
        "learnt": torch.tensor([padded(row.mask) for row in rows]),
    }


def learnt_hidden(model: PreTrainedModel, batch: Tensors) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The hidden states that predict the learnt tokens, row after row, from the decoder without its head.

    Returns `hidden: (N, D)`, the learnt tokens themselves `(N,)`, and the row of each `(N,)`.
    """
    prefix, ids, real = batch["prefix"], batch["ids"], batch["real"]
    n_rows, n_prefix = len(ids), prefix.shape[1]
    decoder = model.get_decoder()
    cache = None
    if n_prefix:
        cache = DynamicCache(config=model.config)
        decoder(input_ids=prefix, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(n_rows)
    hidden = decoder(
        input_ids=ids,
        attention_mask=torch.cat([real.new_ones(n_rows, n_prefix), real], dim=1),
        position_ids=(n_prefix + torch.arange(ids.shape[1], device=ids.device)).expand(n_rows, -1),
        past_key_values=cache,
        use_cache=cache is not None,
    ).last_hidden_state
    rows, columns = batch["learnt"][:, 1:].nonzero(as_tuple=True)
    return hidden[rows, columns], ids[rows, columns + 1], rows


def head(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    """The logits of hidden states: `(N, D)` to `(N, V)`."""
    logits = model.get_output_embeddings()(hidden)
    cap = getattr(model.config, "final_logit_softcapping", None)
    return cap * torch.tanh(logits / cap) if cap else logits
