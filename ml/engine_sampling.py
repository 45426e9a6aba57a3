"""How one request picks its next token from the model's logits."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

# Nearly always enough candidates to hold `top_p` of the probability; sorting a whole vocabulary costs milliseconds.
N_LIKELY = 256


@dataclass(frozen=True)
class Sampling:
    """`temperature` 0 is greedy; `top_p` 1 and `top_k` 0 restrict nothing; `seed` None draws a fresh one.

    The penalties make tokens that the answer has already less likely. `n_logprobs` is how many likely tokens are told
    beside each one's log-probability; None tells nothing.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    n_logprobs: int | None = None

    @property
    def has_penalty(self) -> bool:
        return self.frequency_penalty != 0 or self.presence_penalty != 0

    @property
    def is_plainly_greedy(self) -> bool:
        """Whether the next token is simply the likeliest one."""
        return self.temperature == 0 and not self.has_penalty

    @property
    def is_repeatable(self) -> bool:
        """Whether the same request has to give the same answer."""
        return self.temperature == 0 or self.seed is not None


@dataclass
class Sampler:
    """One request's sampling with its own random numbers: one is drawn for each token, whoever else is in the batch."""

    sampling: Sampling
    _generator: torch.Generator = field(init=False)
    _counts: Counter[int] = field(init=False, default_factory=Counter)

    def __post_init__(self) -> None:
        self._generator = torch.Generator()
        if self.sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(self.sampling.seed)

    def pick(self, logits: torch.Tensor) -> int:
        """The next token. `logits`: (V,), any float type."""
        if not self.sampling.has_penalty:
            return self._draw(logits)
        token = self._draw(penalize(logits, self._counts, self.sampling))
        self._counts[token] += 1
        return token

    def _draw(self, logits: torch.Tensor) -> int:
        if self.sampling.temperature == 0:
            return int(logits.argmax())
        probabilities, tokens = candidates(logits.float().cpu(), self.sampling)
        running = probabilities.cumsum(0)
        drawn = torch.rand((), generator=self._generator) * running[-1]
        at = min(int(torch.searchsorted(running, drawn, right=True)), len(running) - 1)
        return at if tokens is None else int(tokens[at])


def penalize(logits: torch.Tensor, counts: Mapping[int, int], sampling: Sampling) -> torch.Tensor:
    """The logits (V,) float32, less `presence_penalty` and `frequency_penalty` times its count for each counted token."""
    logits = logits.float().cpu()
    if not counts:
        return logits
    tokens = torch.tensor(list(counts))
    n_times = torch.tensor(list(counts.values()), dtype=logits.dtype)
    loss = sampling.presence_penalty + sampling.frequency_penalty * n_times
    return logits.index_add(0, tokens, -loss)


def score(logits: torch.Tensor, token: int, n_top: int) -> tuple[float, list[tuple[int, float]]]:
    """The token's log-probability by the model alone, whatever it was sampled with, and the likeliest tokens with theirs.

    `logits`: (V,), any float type.
    """
    logprobs = logits.float().cpu().log_softmax(0)
    values, tokens = logprobs.topk(min(n_top, len(logprobs)))
    return float(logprobs[token]), list(zip(tokens.tolist(), values.tolist(), strict=True))


def candidates(logits: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The tokens that may follow, likeliest first, and their probabilities, which need not add up to 1.

    `logits`: (V,) float32. First the temperature, then `top_k`, then `top_p` of what is left: the smallest set of
    likeliest tokens that holds at least that much. Without restriction the tokens are None: all, in order.
    """
    # The largest logit becomes 0 first: a tiny temperature must not overflow into inf - inf.
    logits = (logits - logits.max()) / sampling.temperature
    vocabulary = logits.shape[0]
    top_k = min(sampling.top_k, vocabulary) or vocabulary
    if sampling.top_p >= 1:
        if top_k == vocabulary:
            return logits.softmax(0), None
        logits, tokens = logits.topk(top_k)
        return logits.softmax(0), tokens
    if top_k < vocabulary:
        logits, tokens = logits.topk(top_k)
        probabilities = logits.softmax(0)
    else:
        everything = logits.softmax(0)
        probabilities, tokens = everything.topk(min(N_LIKELY, vocabulary))
        if probabilities.sum() < sampling.top_p:
            probabilities, tokens = everything.sort(descending=True)
    before = probabilities.cumsum(0) - probabilities
    n_kept = max(1, int((before < sampling.top_p).sum()))
    return probabilities[:n_kept], tokens[:n_kept]
