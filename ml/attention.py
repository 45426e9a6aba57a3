"""Attention among packed sequences: each attends to the beginning that all share and to itself (ml/packing.py)."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, PreTrainedModel

from ml.errors import DataError
from ml.packing import Layout

NAME = "packed"
# Ways to change attention that only some models have and that are not written here.
UNSUPPORTED = ("softcap", "s_aux")


def use_packed_attention(model: PreTrainedModel) -> None:
    """Have the model attend by `attend`, which wants the keyword `layout` with each pass. Raises DataError."""
    AttentionInterface.register(NAME, attend)
    if not model._supports_attention_backend:
        raise DataError("Rows cannot be packed for this base model: its attention is a program of its own.")
    model.set_attn_implementation(NAME)


@contextmanager
def packed_attention(model: PreTrainedModel) -> Iterator[None]:
    """Within it the model attends by `attend`, after it as before. Raises DataError."""
    before = model.config._attn_implementation
    use_packed_attention(model)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    layout: Layout,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each sequence. `query: (1, H, T, D)`, `key` and `value: (1, H_kv, T, D)`.

    Returns `(1, T, H, D)`, in the manner of transformers' attention functions. Raises DataError where the model wants
    more of its attention than that.
    """
    if any(kwargs.get(name) is not None for name in UNSUPPORTED):
        raise DataError("Rows cannot be packed for this base model: its attention has a term of its own.")
    if query.is_cuda and not layout.n_prefix:
        return _attend_varlen(query, key, value, layout, scaling, sliding_window), None
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    n_prefix = layout.n_prefix
    sizes = [n_prefix, *layout.lengths]
    queries, keys, values = (states.split(sizes, dim=2) for states in (query, key, value))
    outputs = [_attend_one(queries[0], keys[0], values[0], scaling, sliding_window)] if n_prefix else []
    for own_query, own_key, own_value in zip(queries[1:], keys[1:], values[1:], strict=True):
        if n_prefix:
            own_key = torch.cat([keys[0], own_key], dim=2)
            own_value = torch.cat([values[0], own_value], dim=2)
        outputs.append(_attend_one(own_query, own_key, own_value, scaling, sliding_window))
    return torch.cat(outputs, dim=2).transpose(1, 2), None


def _attend_one(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, window: int | None
) -> torch.Tensor:
    """Causal attention where the queries are the last tokens of the keys."""
    n_queries, n_keys = query.shape[2], key.shape[2]
    if n_queries == n_keys and (window is None or n_keys <= window):
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
    mask = causal_mask(n_queries, n_keys, window, query.dtype, str(query.device))
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)


@lru_cache(maxsize=256)  # every layer asks for the same few
def causal_mask(n_queries: int, n_keys: int, window: int | None, dtype: torch.dtype, device: str) -> torch.Tensor:
    """0 where a query may look, minus infinity elsewhere; `(n_queries, n_keys)`, the queries being the last of the keys."""
    distance = torch.arange(n_keys - n_queries, n_keys, device=device)[:, None] - torch.arange(n_keys, device=device)
    is_seen = (distance >= 0) & (distance < (window or n_keys))
    return torch.zeros(n_queries, n_keys, dtype=dtype, device=device).masked_fill(~is_seen, float("-inf"))


def _attend_varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """The same on a GPU by the flash kernel for sequences of many lengths that comes with torch."""
    ends = torch.tensor((0, *layout.lengths), device=query.device).cumsum(0, dtype=torch.int32)
    longest = max(layout.lengths)
    return varlen_attn(
        *(states[0].transpose(0, 1) for states in (query, key, value)),
        ends,
        ends,
        longest,
        longest,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),  # 0 to the right: causal
        enable_gqa=query.shape[1] != key.shape[1],
    ).unsqueeze(0)
