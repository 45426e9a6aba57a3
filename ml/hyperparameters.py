"""Every hyperparameter in one table: the trainer, the forms and the API read it. Nothing heavy is imported here.

What `auto` makes of each is decided in ml/plan.py, from the rows.
"""

from dataclasses import dataclass
from typing import Any

AUTO = "auto"
MULTIPLIER = "learning_rate_multiplier"
MANY_ROWS = 500  # up to so many the recipe for corrections is chosen by itself


def gettext_noop(text: str) -> str:
    """Mark a text for the translators. It is written as it is; the page that shows it translates it."""
    return text


@dataclass(frozen=True)
class Hyperparameter:
    """One row of the table. `unit` may be empty; a basic one is shown first; `methods` says where it has an effect."""

    name: str
    label: str
    sentence: str
    least: float
    most: float
    is_whole: bool = False
    unit: str = ""
    is_basic: bool = False
    methods: tuple[str, ...] = ()  # empty: every method

    def check(self, given: Any) -> int | float | str:
        """Return the value as a number, or "auto" for "auto", "" and None. Raises ValueError."""
        if given is None or (isinstance(given, str) and given.strip().lower() in ("", AUTO)):
            return AUTO
        try:
            if isinstance(given, bool):
                raise TypeError
            number = int(str(given)) if self.is_whole else float(given)
        except (TypeError, ValueError):
            raise self._refuse(given) from None
        if not self.least <= number <= self.most:  # a number that is none is not in between
            raise self._refuse(given)
        return number

    def _refuse(self, given: Any) -> ValueError:
        kind = "a whole number" if self.is_whole else "a number"
        limits = f"{self.least:g} to {self.most:g}"
        return ValueError(f'The hyperparameter {self.name} must be {kind} from {limits} or "auto", not {given!r}.')


ROWS = gettext_noop("rows")
TOKENS = gettext_noop("tokens")
PASSES = gettext_noop("passes")
NATS = gettext_noop("nats per token")
CHECKPOINTS = gettext_noop("checkpoints")

SFT, PAIRS = ("sft",), ("dpo", "sft_dpo")

HYPERPARAMETERS: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "n_epochs",
        gettext_noop("Epochs"),
        gettext_noop("How often each row is learnt from. More learns better by heart and takes longer."),
        least=1,
        most=50,
        is_whole=True,
        unit=PASSES,
        is_basic=True,
    ),
    Hyperparameter(
        "batch_size",
        gettext_noop("Batch size"),
        gettext_noop("How many rows make one step. More is steadier and needs more memory."),
        least=1,
        most=256,
        is_whole=True,
        unit=ROWS,
        is_basic=True,
    ),
    Hyperparameter(
        MULTIPLIER,
        gettext_noop("Learning rate multiplier"),
        gettext_noop("More than 1 learns faster and forgets more; it scales the learning rate, whoever chose that."),
        least=0.01,
        most=100,
        is_basic=True,
    ),
    Hyperparameter(
        "lora_rank",
        gettext_noop("LoRA rank"),
        gettext_noop("The size of what is added to the base model. More holds more and needs more memory."),
        least=1,
        most=256,
        is_whole=True,
        is_basic=True,
    ),
    Hyperparameter(
        "learning_rate",
        gettext_noop("Learning rate"),
        gettext_noop("How far one step moves the weights at most. It rises at first and falls to nothing at the end."),
        least=1e-7,
        most=0.1,
    ),
    Hyperparameter(
        "max_tokens",
        gettext_noop("Longest row"),
        gettext_noop("A longer row loses its beginning. Rows take memory by their length."),
        least=16,
        most=131_072,
        is_whole=True,
        unit=TOKENS,
    ),
    Hyperparameter(
        "patience",
        gettext_noop("Patience"),
        gettext_noop(
            "After so many checkpoints without a lower validation loss, training ends; the weights with the lowest loss become the model. "
            "0 learns to the end and keeps the last weights."
        ),
        least=0,
        most=50,
        is_whole=True,
        unit=CHECKPOINTS,
    ),
    Hyperparameter(
        "demonstration_epochs",
        gettext_noop("Epochs of demonstrations"),
        gettext_noop("In how many of the epochs a demonstration appears; corrections appear in all."),
        least=1,
        most=50,
        is_whole=True,
        unit=PASSES,
        methods=SFT,
    ),
    Hyperparameter(
        "reword_share",
        gettext_noop("Share of reworded sights"),
        gettext_noop("How many of a correction's sights put its prompt in other words, from 0 (none) to 1."),
        least=0,
        most=1,
        methods=SFT,
    ),
    Hyperparameter(
        "replay_batch_size",
        gettext_noop("General prompts a step"),
        gettext_noop("How many general prompts hold the model where it was. 0 lets it drift."),
        least=0,
        most=256,
        is_whole=True,
        unit=ROWS,
        methods=SFT,
    ),
    Hyperparameter(
        "replay_weight",
        gettext_noop("Weight of the general prompts"),
        gettext_noop("How much staying as it was counts beside learning the rows."),
        least=0,
        most=100,
        methods=SFT,
    ),
    Hyperparameter(
        "preference_weight",
        gettext_noop("Weight of the preference"),
        gettext_noop("How much preferring the right answer to the wrong one counts beside learning it."),
        least=0,
        most=100,
        methods=SFT,
    ),
    Hyperparameter(
        "preference_beta",
        gettext_noop("Sharpness of the preference"),
        gettext_noop("More insists on a clear preference and holds less to the model as it was."),
        least=0.001,
        most=100,
        methods=SFT,
    ),
    Hyperparameter(
        "preference_margin",
        gettext_noop("Margin of the preference"),
        gettext_noop("By how much the right answer has to be likelier than the wrong one."),
        least=0,
        most=100,
        unit=NATS,
        methods=SFT,
    ),
    Hyperparameter(
        "beta",
        gettext_noop("Beta"),
        gettext_noop("How closely the model is held to the one that it was. More holds closer and changes less."),
        least=0.001,
        most=2,
        methods=PAIRS,
    ),
    Hyperparameter(
        "sft_weight",
        gettext_noop("Weight of learning"),
        gettext_noop("How much learning the chosen answers counts beside preferring them. 0 is preference alone."),
        least=0,
        most=100,
        methods=PAIRS,
    ),
)
BY_NAME = {each.name: each for each in HYPERPARAMETERS}
