"""Models of the Llama architecture on a CPU, in as few operations as a step can have.

In a step of one token a layer, most of transformers' time goes into the calls around the multiplications, not into them:
norms of six operations, three multiplications where one would do, keys and values copied for each head that shares them.
Here the weights that multiply the same numbers lie in one matrix, the rotation is looked up, and the heads that share keys
and values are asked as one.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedModel

from ml.engine_cache import SlotCache
from ml.engine_forward import LONGEST_BLOCK, Piece, hide_later
from ml.engine_linear import join_linears

# kinds of rotation whose angles depend on the position alone
FIXED_ROTATIONS = ("default", "linear", "llama3")
SHORT_BLOCKS = (64, 128)
N_TRIED = 64
# A step's time is that of reading the weights, for five tokens as for one (11.4 and 12.3 ms, bundled model, two cores).
N_AHEAD = 4

# queries (N, H, D) and a layer's store (S, 2 * H_kv, C, D), keys before values: what they attend to, (N, ...)
Attend = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Layer:
    """The weights of one layer."""

    def __init__(self, layer: nn.Module):
        attention, mlp = layer.self_attn, layer.mlp
        self.input_norm = layer.input_layernorm.weight.detach()
        self.mlp_norm = layer.post_attention_layernorm.weight.detach()
        self.qkv = join_linears(attention.q_proj, attention.k_proj, attention.v_proj)
        self.output = join_linears(attention.o_proj)
        self.gate_up = join_linears(mlp.gate_proj, mlp.up_proj)
        self.down = join_linears(mlp.down_proj)


class FastLlama:
    """Takes a model's weights and computes what it computes, each sum rounded where transformers rounds it.

    The model loses its layers on the way, so that no weight is in memory twice.
    """

    n_ahead = N_AHEAD

    def __init__(self, model: PreTrainedModel):
        config = model.config
        self._n_heads, self._n_kv = config.num_attention_heads, config.num_key_value_heads
        self._size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._eps = config.rms_norm_eps
        self._embedding = model.model.embed_tokens.weight.detach()
        self._layers = []
        for number, layer in enumerate(model.model.layers):
            self._layers.append(Layer(layer))
            model.model.layers[number] = nn.Identity()
        self._norm = model.model.norm.weight.detach()
        self._head = join_linears(model.lm_head)
        positions = torch.arange(config.max_position_embeddings)[None]
        cos, sin = model.model.rotary_emb(self._embedding[:1, None], positions)
        # the second half of a head turns against the first: its sign is in the table, (P, D)
        half = self._size // 2
        self._cos, self._sin = cos[0], torch.cat([-sin[0, :, :half], sin[0, :, half:]], dim=-1)
        self.block = find_block(self._n_heads // self._n_kv, self._size, self._embedding.dtype)

    def read(self, pieces: Sequence[Piece], cache: SlotCache) -> torch.Tensor:
        """The logits (B, V) that follow the last token of each of the B pieces, all read at once."""
        tokens = [token for piece in pieces for token in piece.tokens]
        positions = torch.cat([torch.arange(piece.start, piece.end) for piece in pieces])
        lengths = [len(piece.tokens) for piece in pieces]
        slots = torch.tensor([piece.slot for piece in pieces]).repeat_interleave(torch.tensor(lengths))
        cache.place(slots=slots, positions=positions)
        masks = [hide_later_in(piece) for piece in pieces]

        def attend(queries: torch.Tensor, store: torch.Tensor) -> torch.Tensor:
            found = [
                functional.scaled_dot_product_attention(
                    own.transpose(0, 1)[None],
                    store[piece.slot : piece.slot + 1, : self._n_kv, : piece.end],
                    store[piece.slot : piece.slot + 1, self._n_kv :, : piece.end],
                    attn_mask=mask,
                    is_causal=mask is None,
                    enable_gqa=True,
                )[0].transpose(0, 1)
                for piece, own, mask in zip(pieces, queries.split(lengths), masks, strict=True)
            ]
            return torch.cat(found)

        last = torch.tensor(lengths).cumsum(0) - 1
        return self._compute(torch.tensor(tokens), positions, attend, cache, last)

    def step(self, tokens: Sequence[int], positions: Sequence[int], end: int, cache: SlotCache) -> torch.Tensor:
        """The logits (B, V) that follow one more token in each of the slots 0 to B - 1."""
        return self._step(tokens, positions, torch.arange(len(tokens)), end, cache)

    def follow(self, tokens: Sequence[int], start: int, end: int, cache: SlotCache) -> torch.Tensor:
        """The logits (T, V) that follow each of the T tokens that slot 0 reads from the position `start` on: those of T steps."""
        positions = range(start, start + len(tokens))
        return self._step(tokens, positions, torch.zeros(len(tokens), dtype=torch.long), end, cache)

    def _step(
        self, tokens: Sequence[int], positions: Sequence[int], slots: torch.Tensor, end: int, cache: SlotCache
    ) -> torch.Tensor:
        """The logits (N, V) after each token. A token looks at all of its slot's cells up to its own; `slots` are 0 to N - 1 or all 0."""
        ids, places = torch.tensor([tokens, positions])
        n_tokens, n_slots = len(ids), int(slots[-1]) + 1
        cache.place(slots=slots, positions=places)
        mask = hide_later(places, end, self._embedding.dtype)

        def attend(queries: torch.Tensor, store: torch.Tensor) -> torch.Tensor:
            # the heads that share keys and values are their queries
            grouped = queries.view(n_tokens, self._n_kv, -1, self._size)
            # several tokens of one slot see the same store, each as if it were alone: so their sums are those of single steps
            seen = store[:n_slots, :, :end].expand(n_tokens, -1, -1, -1)
            keys, values = seen[:, : self._n_kv], seen[:, self._n_kv :]
            return functional.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask)

        return self._compute(ids, places, attend, cache, None)

    def _compute(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        attend: Attend,
        cache: SlotCache,
        wanted: torch.Tensor | None,
    ) -> torch.Tensor:
        """The logits (B, V) after the tokens at `wanted` (B,), or after all, of `ids` (N,) at `positions` (N,)."""
        n_tokens, n_q = len(ids), self._n_heads
        cos, sin = self._turns(positions)
        x = functional.embedding(ids, self._embedding)
        for number, layer in enumerate(self._layers):
            states = layer.qkv(self._normed(x, layer.input_norm)).view(n_tokens, -1, self._size)
            states = states * cos + torch.roll(states, self._size // 2, -1) * sin
            store = cache.write(number, states[:, n_q:])
            x = x + layer.output(attend(states[:, :n_q], store).reshape(n_tokens, -1))
            gate, up = layer.gate_up(self._normed(x, layer.mlp_norm)).chunk(2, -1)
            x = x + layer.down(functional.silu(gate) * up)
        return self._head(self._normed(x if wanted is None else x[wanted], self._norm))

    def _turns(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines (N, H + 2 H_kv, D) of queries, keys and, behind them, values, which turn by nothing."""
        still = (len(positions), self._n_kv, self._size)
        cos, sin = (
            table[positions, None].expand(-1, self._n_heads + self._n_kv, -1) for table in (self._cos, self._sin)
        )
        return torch.cat([cos, cos.new_ones(still)], 1), torch.cat([sin, sin.new_zeros(still)], 1)

    def _normed(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The root mean square norm of (N, K). It is the layer norm of numbers beside their negatives, whose mean is 0
        and whose variance is their mean square; and that one is a single operation."""
        both = torch.cat([x, x.neg()], dim=-1)
        size = x.shape[-1]
        return functional.layer_norm(both, (2 * size,), eps=self._eps)[:, :size] * weight


def hide_later_in(piece: Piece) -> torch.Tensor | None:
    """What each token of the piece may look at, (T, end) bool; None where the piece is all there is."""
    if piece.start == 0:
        return None
    return torch.arange(piece.end) <= torch.arange(piece.start, piece.end)[:, None]


def find_block(n_shared: int, size: int, dtype: torch.dtype) -> int:
    """How many columns a step must read as one so that its sums do not depend on how many lie behind the mask.

    Kernels differ between processors, so it is tried on random numbers; the longest block is known to do.
    """
    draw = torch.Generator().manual_seed(0)
    length = 2 * LONGEST_BLOCK
    queries = torch.randn((N_TRIED, 1, n_shared, size), generator=draw).to(dtype)
    keys, values = (torch.randn((N_TRIED, 1, length, size), generator=draw).to(dtype) for _ in range(2))
    positions = torch.randint(0, LONGEST_BLOCK, (N_TRIED,), generator=draw)
    for block in SHORT_BLOCKS:
        ends = range(block, length + 1, block)
        found = torch.stack(
            [
                functional.scaled_dot_product_attention(
                    queries, keys[:, :, :end], values[:, :, :end], attn_mask=hide_later(positions, end, dtype)
                )
                for end in ends
            ]
        )
        # behind the end that suffices for its row, nothing may change any more
        suffices = torch.tensor(ends)[:, None] > positions
        same = (found == found[-1]).flatten(2).all(-1)
        if same[suffices].all():
            return block
    return LONGEST_BLOCK


def is_fast_llama(model: PreTrainedModel) -> bool:
    """Whether FastLlama computes what this model does."""
    if type(model) is not LlamaForCausalLM or model.device.type != "cpu":
        return False
    if any(
        type(layer) is not nn.Linear for name, layer in model.named_modules() if name.endswith(("_proj", "lm_head"))
    ):
        return False  # quantized, say
    config = model.config
    rotation = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    return config.hidden_act == "silu" and rotation.get("rope_type", "default") in FIXED_ROTATIONS
