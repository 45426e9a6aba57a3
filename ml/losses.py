"""The losses of fine-tuning as pure functions of log-likelihoods and logits."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

MAX_TOKENS = 32
# So many logits are held at once by head_loss, in fp32: 64 MB on a CPU, whose caches are small, 1 GB on a GPU.
CPU_LOGITS, GPU_LOGITS = 2**24, 2**28


def token_logprobs(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The log-likelihood of each target. `logits: (N, V)`, `targets: (N,)`; returns `(N,)` float32."""
    return -functional.cross_entropy(logits.float(), targets, reduction="none")


def row_means(values: torch.Tensor, rows: torch.Tensor, n_rows: int) -> torch.Tensor:
    """The mean of the values of each row. `values: (N,)`, `rows: (N,)` in 0 .. n_rows - 1; returns `(n_rows,)`.

    Each row must have a value.
    """
    sums = torch.zeros(n_rows, dtype=values.dtype, device=values.device).index_add(0, rows, values)
    return sums / torch.bincount(rows, minlength=n_rows)


def accuracies(
    logits: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor, n_rows: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The share of targets that are the likeliest token, and the share of rows in which all are.

    `logits: (N, V)`, `targets: (N,)`, `rows: (N,)` in 0 .. n_rows - 1. Each row must have a target.
    """
    is_right = (logits.argmax(-1) == targets).float()
    return is_right.mean(), (row_means(is_right, rows, n_rows) == 1).float().mean()


def row_weights(n_tokens: Sequence[int]) -> torch.Tensor:
    """How much each row counts in a step, in sum 1: by its learnt tokens, but no row more than one of MAX_TOKENS.

    By tokens, since a long correction holds more to learn than "No"; up to a limit, since a demonstration of a page
    beside them would leave nothing to the others.
    """
    weights = torch.tensor([min(n, MAX_TOKENS) for n in n_tokens], dtype=torch.float32)
    return weights / weights.sum()


def preference_loss(chosen: torch.Tensor, rejected: torch.Tensor, *, beta: float, margin: float) -> torch.Tensor:
    """How far corrections are from being preferred, mean over pairs. Both `(P,)`: mean log-likelihood per token.

    -log sigmoid(beta (chosen - rejected - margin)): the length-normalised preference of SimPO (arXiv 2405.14734),
    since Emend compares likelihood per token too.
    """
    return -functional.logsigmoid(beta * (chosen - rejected - margin)).mean()


def kl_divergence(reference_logits: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """KL(reference || model) in nats, mean over positions. Both `(N, V)`; gradients flow to `logits` alone."""
    reference = reference_logits.detach().float().log_softmax(-1)
    return functional.kl_div(logits.float().log_softmax(-1), reference, log_target=True, reduction="sum") / len(logits)


def ending_loss(logprobs: torch.Tensor) -> torch.Tensor:
    """How far end tokens are from an even chance, mean over them. `logprobs: (N,)`.

    Beyond that nothing pushes: an end token likelier than all others together is what a greedy answer needs, and more
    would spread to places where nothing ends.
    """
    return (math.log(0.5) - logprobs).clamp(min=0).mean()


class _HeadLoss(torch.autograd.Function):
    """head_loss with its gradients, which are computed on the way, while a piece's logits are at hand."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        head: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
        cap: float | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        size = max(1, (GPU_LOGITS if hidden.is_cuda else CPU_LOGITS) // len(head))
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        right = torch.empty(len(targets), dtype=torch.bool, device=hidden.device)
        hidden_grad = torch.empty_like(hidden)
        head_grad = torch.zeros_like(head, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        for start in range(0, len(targets), size):
            piece = slice(start, start + size)
            goal = targets[piece][:, None]
            logits = (hidden[piece].to(head.dtype) @ head.T).float()
            if cap:
                logits = cap * torch.tanh(logits / cap)
                slope = 1 - (logits / cap) ** 2
            right[piece] = logits.argmax(-1) == goal[:, 0]
            total = logits.logsumexp(-1, keepdim=True)
            loss += ((total - logits.gather(1, goal))[:, 0] * weights[piece]).sum()
            grad = logits.sub_(total).exp_()  # the probabilities, in the room of the logits
            grad.scatter_add_(1, goal, grad.new_full(goal.shape, -1.0))
            grad *= weights[piece][:, None]
            if cap:
                grad *= slope
            grad = grad.to(head.dtype)
            hidden_grad[piece] = grad @ head
            if head_grad is not None:
                head_grad += (grad.T @ hidden[piece].to(head.dtype)).float()
        ctx.save_for_backward(hidden_grad, *([] if head_grad is None else [head_grad.to(head.dtype)]))
        ctx.mark_non_differentiable(right)
        return loss, right

    @staticmethod
    def backward(ctx: Any, loss_grad: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
        hidden_grad, *head_grad = ctx.saved_tensors
        return hidden_grad * loss_grad, head_grad[0] * loss_grad if head_grad else None, None, None, None


def head_loss(
    hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, *, cap: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The weighted sum of the targets' negative log-likelihoods, and which targets are the likeliest token.

    `hidden: (N, D)`, `head: (V, D)`, `targets` and `weights: (N,)`; returns a scalar in float32 and `(N,)` bool. Never holds more than
    a piece of the logits `(N, V)`, which would take more memory than the rest of a pass. `cap` is Gemma's soft limit of logits.
    """
    loss, right = _HeadLoss.apply(hidden, head, targets, weights, cap)  # type: ignore[no-untyped-call]
    return loss, right
