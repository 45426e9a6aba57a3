"""Models of the Llama architecture on a CPU, in as few operations as a step can have.

In a step of one token a layer, most of transformers' time goes into the calls around the multiplications, not into them:
norms of six operations, three multiplications where one would do, keys and values copied for each head that shares them.
Here the weights that multiply the same numbers lie in one matrix, the rotation is looked up, and the heads that share keys
and values are asked as one.
"""

import torch
from torch import nn
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedModel

from ml.engine_cache import SlotCache
from ml.engine_linear import join_linears

# kinds of rotation whose angles depend on the position alone
FIXED_ROTATIONS = ("default", "linear", "llama3")


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

    def __call__(
        self, ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None, cache: SlotCache
    ) -> torch.Tensor:
        """The logits (B, V) that follow the last of `ids` (B, T), of which the cache knows the places.

        `mask`: (B, 1, 1, end) where T is 1; None where a row continues what it has read.
        """
        n_rows, n_new = ids.shape
        n_q, n_kv, size = self._n_heads, self._n_kv, self._size
        n_turned = n_q + n_kv
        cos, sin = self._cos[positions][:, :, None], self._sin[positions][:, :, None]
        if n_new > 1:
            columns = torch.arange(int(positions[0, -1]) + 1)
            mask = columns <= positions[0, :, None]
        x = functional.embedding(ids, self._embedding)
        for number, layer in enumerate(self._layers):
            states = layer.qkv(self._normed(x, layer.input_norm)).view(n_rows, n_new, n_turned + n_kv, size)
            turned = states[:, :, :n_turned]
            turned = turned * cos + torch.roll(turned, size // 2, -1) * sin
            keys, values = cache.update(
                turned[:, :, n_q:].transpose(1, 2), states[:, :, n_turned:].transpose(1, 2), number
            )
            attended = self._attend(turned[:, :, :n_q], keys, values, mask)
            x = x + layer.output(attended)
            gate, up = layer.gate_up(self._normed(x, layer.mlp_norm)).chunk(2, -1)
            x = x + layer.down(functional.silu(gate) * up)
        return self._head(self._normed(x[:, -1], self._norm))

    def _normed(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        scale = wide.square().mean(-1, keepdim=True).add_(self._eps).rsqrt_()
        return (wide * scale).to(x.dtype).mul_(weight)

    def _attend(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """(B, T, H, D) of queries to keys and values (B, H_kv, end, D); returns (B, T, H * D)."""
        n_rows, n_new, n_heads, size = queries.shape
        if n_new == 1:  # the heads that share keys and values are their queries
            queries = queries.view(n_rows, self._n_kv, n_heads // self._n_kv, size)
            found = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
            return found.reshape(n_rows, 1, n_heads * size)
        found = functional.scaled_dot_product_attention(
            queries.transpose(1, 2), keys, values, attn_mask=mask, enable_gqa=True
        )
        return found.transpose(1, 2).reshape(n_rows, n_new, n_heads * size)


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
