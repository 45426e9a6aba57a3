"""The losses of fine-tuning as pure functions of log-likelihoods and logits."""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional

MAX_TOKENS = 32


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
