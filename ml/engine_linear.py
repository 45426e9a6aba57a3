"""Linear layers on a CPU, packed once for its kernels."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional


class PackedLinear(nn.Module):
    """A linear layer whose weights (N, K) lie in the order that the processor's kernels want, not reordered each call.

    A row's result does not depend on how many rows are computed with it, bit for bit.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        super().__init__()
        self.bias = bias
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
        # oneDNN adds up the products of a single long row in another order than those of several rows.
        self._must_pair = weight.shape[1] > 1024

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self._must_pair and x.numel() == x.shape[-1]:
            return self._multiply(torch.cat([x, x]))[: x.shape[0]]
        return self._multiply(x)

    def _multiply(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


def pack_linears(model: nn.Module) -> None:
    """Replace every linear layer of a bf16 model on a CPU by a packed one; the results stay the same."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, PackedLinear(child.weight, child.bias))


def join_linears(*linears: nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
    """One layer in place of several that read the same numbers; their results stand side by side."""
    weight = torch.cat([linear.weight.detach() for linear in linears])
    biases = [linear.bias.detach() for linear in linears if linear.bias is not None]
    bias = torch.cat(biases) if biases else None
    if torch.backends.mkldnn.is_available():
        return PackedLinear(weight, bias)
    return partial(functional.linear, weight=weight, bias=bias)
