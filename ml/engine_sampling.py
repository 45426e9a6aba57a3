"""How one request picks its next token from the model's logits."""

from dataclasses import dataclass, field

import torch

# Nearly always enough candidates to hold `top_p` of the probability; sorting a whole vocabulary costs milliseconds.
N_LIKELY = 256


@dataclass(frozen=True)
class Sampling:
    """`temperature` 0 is greedy; `top_p` 1 and `top_k` 0 restrict nothing; `seed` None draws a fresh one."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether the same request has to give the same answer."""
        return self.temperature == 0 or self.seed is not None


@dataclass
class Sampler:
    """One request's sampling with its own random numbers: one is drawn for each token, whoever else is in the batch."""

    sampling: Sampling
    _generator: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._generator = torch.Generator()
        if self.sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(self.sampling.seed)

    def pick(self, logits: torch.Tensor) -> int:
        """The next token. `logits`: (V,), any float type."""
        if self.sampling.temperature == 0:
            return int(logits.argmax())
        probabilities, tokens = candidates(logits.float().cpu(), self.sampling)
        running = probabilities.cumsum(0)
        drawn = torch.rand((), generator=self._generator) * running[-1]
        at = min(int(torch.searchsorted(running, drawn, right=True)), len(running) - 1)
        return at if tokens is None else int(tokens[at])


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
