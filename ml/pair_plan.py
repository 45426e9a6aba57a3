"""What a run on preference pairs will do, decided before it starts: hyperparameters with reasons, the order of pairs."""

import math
import random
from dataclasses import dataclass
from typing import Any

from ml.errors import DataError
from ml.hyperparameters import gettext_noop
from ml.plan import Row, decide

FEW_PAIRS = 48
MAX_EPOCHS = 6

# Weight and reason by method. Without any, DPO makes the chosen answers less likely too.
SFT_WEIGHTS = {
    "dpo": (0.05, gettext_noop("just enough that the chosen answers do not become less likely; 0 is bare DPO")),
    "sft_dpo": (
        0.2,
        gettext_noop("the better answers are learnt, and the margin still rises: with 1 learning drowns it"),
    ),
}
METHODS = tuple(SFT_WEIGHTS)


@dataclass(frozen=True)
class Hyperparameters:
    """What can be set; each may be "auto" in the configuration.

    An epoch shows each pair once, a step `batch_size` of them. `beta` says how closely the model is held to the one
    that it was: more holds closer. `sft_weight` counts the chosen answers' mean loss per token beside the preference.
    A prompt loses its beginning where prompt and answer have more than `max_tokens`.
    """

    n_epochs: int
    batch_size: int
    learning_rate: float
    lora_rank: int
    beta: float
    sft_weight: float
    max_tokens: int
    patience: int


def resolve(
    configured: Row, *, method: str, n_pairs: int, tuning: str = "lora"
) -> tuple[Hyperparameters, dict[str, str]]:
    """The hyperparameters with every "auto" decided, and the reason for each such decision. Raises DataError."""
    if method not in METHODS:
        raise DataError(f"There is no method {method!r} of learning from pairs.")
    is_few = n_pairs < FEW_PAIRS
    automatic: dict[str, tuple[Any, str]] = {
        "n_epochs": (
            min(MAX_EPOCHS, math.ceil(2 * FEW_PAIRS / max(1, n_pairs))) if is_few else 2,
            gettext_noop("so few pairs are looked at more than twice, to make two dozen steps")
            if is_few
            else gettext_noop("two looks at each pair; more learns them by heart"),
        ),
        "batch_size": (
            2 if n_pairs < FEW_PAIRS // 2 else 4,
            gettext_noop("small, so that few pairs make a few dozen steps all the same"),
        ),
        "learning_rate": (
            1e-5 if tuning == "full" else 3e-4,
            gettext_noop("all weights want small steps")
            if tuning == "full"
            else gettext_noop("moves the held-out margin three times as far as 1e-4 in the same time"),
        ),
        "lora_rank": (16, gettext_noop("enough for hundreds of pairs")),
        "beta": (0.1, gettext_noop("the value of most published runs; the chosen answers have a weight of their own")),
        "sft_weight": SFT_WEIGHTS[method],
        "max_tokens": (1024, gettext_noop("what is longer loses its beginning")),
        "patience": (0, gettext_noop("what counts is the margin, which may rise while the validation loss does too")),
    }
    values, reasons = decide(configured, automatic)
    return Hyperparameters(**values), reasons


def plan_order(n_pairs: int, *, n_epochs: int, rng: random.Random) -> list[int]:
    """The pairs by number in the order in which they are shown: every epoch shuffles anew."""
    return [number for _ in range(n_epochs) for number in rng.sample(range(n_pairs), n_pairs)]
