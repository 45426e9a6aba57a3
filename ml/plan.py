"""What a fine-tuning run will do, decided before it starts: hyperparameters with reasons, and the rows of every step.

The plan follows from the configuration and the rows alone, so a run that resumes walks the very same steps.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ml.errors import DataError
from ml.hyperparameters import AUTO, BY_NAME, MANY_ROWS, MULTIPLIER, gettext_noop

Row = dict[str, Any]

FEW_CORRECTIONS = 5

# Above so many rows speed counts for more than holding every unrelated answer.
RECIPES, TUNINGS = ("corrections", "many_rows"), ("lora", "qlora", "full")
# Hyperparameters that only the recipe for corrections has.
OF_CORRECTIONS = (
    "demonstration_epochs",
    "replay_batch_size",
    "replay_weight",
    "preference_weight",
    "preference_beta",
    "preference_margin",
    "reword_share",
)

# A run that goes on from a model which knows some of the rows already shows it those so often only (docs/experiments.md).
KNOWN_SIGHTS = 3
# Every second step shows a loop, once the first steps have passed, which throw the model about.
LOOP_EVERY, LOOP_FROM = 2, 6


@dataclass(frozen=True)
class Hyperparameters:
    """What can be set; each may be "auto" in the configuration.

    An epoch shows each correction once; a demonstration is shown in `demonstration_epochs` of them. Each step has
    `batch_size` examples and `replay_batch_size` general prompts, whose answers must stay as they were:
    `replay_weight` says how much that counts. `preference_weight` counts the preference of correction to wrong output.
    """

    n_epochs: int
    demonstration_epochs: int
    batch_size: int
    learning_rate: float
    lora_rank: int
    replay_batch_size: int
    replay_weight: float
    preference_weight: float
    preference_beta: float
    preference_margin: float
    reword_share: float
    max_tokens: int
    patience: int


def choose_recipe(config: Row, *, n_rows: int) -> tuple[str, str | None]:
    """Which recipe a run follows, and why if that was left to us. `config` is config.json. Raises DataError.

    `corrections` (ml/sft.py) is made for few rows and holds what it does not teach; `many_rows` (ml/many_rows.py) is plain
    training on packed rows, fast, and the one that several processes can share.
    """
    wanted, tuning = config.get("recipe", AUTO), config.get("tuning", AUTO)
    if wanted not in (*RECIPES, AUTO):
        raise DataError(f"There is no recipe {wanted!r}.")
    if tuning not in (*TUNINGS, AUTO):
        raise DataError(f"There is no tuning {tuning!r}.")
    n_processes = (config.get("launch") or {}).get("processes", 1)
    needs_many = (
        gettext_noop("full and quantised tuning are part of the recipe for many rows")
        if tuning in ("qlora", "full")
        else gettext_noop("several processes can only share the recipe for many rows")
        if n_processes > 1
        else None
    )
    if wanted == "corrections" and needs_many:
        raise DataError("The recipe for corrections trains a LoRA adapter in one process.")
    if wanted != AUTO:
        return wanted, None
    if needs_many:
        return "many_rows", needs_many
    given = config.get("hyperparameters") or {}
    if any(given.get(name, AUTO) != AUTO for name in OF_CORRECTIONS if name != "demonstration_epochs"):
        return "corrections", gettext_noop("what was set is part of the recipe for corrections")
    if n_rows > MANY_ROWS:
        return "many_rows", gettext_noop("with more than 500 rows, speed and even learning count for more than replay")
    return "corrections", gettext_noop("up to 500 rows are learnt with care for what the model should keep")


def resolve(configured: Row, rows: Sequence[Row]) -> tuple[Hyperparameters, dict[str, str]]:
    """The hyperparameters with every "auto" decided, and the reason for each such decision. Raises DataError."""
    n_corrections = sum(row["kind"] == "correction" for row in rows)
    is_few = 0 < n_corrections < FEW_CORRECTIONS
    if n_corrections < 20:  # at least about thirty steps, however few they are
        batch_size = min(4, math.ceil(n_corrections / 2.5)) or 8
    else:
        batch_size = min(8, n_corrections // 5)
    automatic: dict[str, tuple[Any, str]] = {
        "n_epochs": (
            24 if is_few else 12 if n_corrections else 3,
            gettext_noop("so few corrections need two dozen sights each, half of them reworded")
            if is_few
            else gettext_noop("a correction needs about twelve sights, half of them reworded"),
        ),
        "demonstration_epochs": (3, gettext_noop("demonstrations teach a manner, which three sights convey")),
        "batch_size": (
            batch_size,
            gettext_noop("small, so that few corrections make a few dozen steps all the same")
            if 0 < n_corrections < 20
            else gettext_noop("a fifth of the corrections, between 4 and 8: a few dozen steps at the least"),
        ),
        "learning_rate": (
            3e-3 if n_corrections else 1e-3,
            gettext_noop("corrections want bold steps, which the replay holds in check"),
        ),
        "lora_rank": (16, gettext_noop("enough for hundreds of corrections")),
        "replay_batch_size": (
            8 if n_corrections < 20 else 4,
            gettext_noop("four general prompts a step hold the model where it was, eight where the steps are few"),
        ),
        "replay_weight": (1.0, gettext_noop("the least that keeps unrelated answers as likely as they were")),
        "preference_weight": (0.0, gettext_noop("learning the correction is enough to prefer it")),
        "preference_beta": (2.0, gettext_noop("a difference of half a nat per token counts")),
        "preference_margin": (0.5, gettext_noop("a difference of half a nat per token is enough")),
        "reword_share": (0.5, gettext_noop("every second sight of a correction words the prompt anew")),
        "max_tokens": (1024, gettext_noop("what is longer loses its beginning")),
        "patience": (0, gettext_noop("corrections are learnt by heart, which the loss of other rows does not show")),
    }
    values, reasons = decide(configured, automatic)
    return Hyperparameters(**values), reasons


def decide(configured: Row, automatic: dict[str, tuple[Any, str]]) -> tuple[Row, dict[str, str]]:
    """The value of every name in `automatic`: the configured one, or the automatic one with its reason. Raises DataError.

    `automatic` holds a value and the reason for it by name; `learning_rate` is multiplied as configured.
    """
    if unknown := set(configured) - set(automatic) - {MULTIPLIER}:
        raise DataError(f"There is no hyperparameter {sorted(unknown)[0]!r}.")
    values: Row = {}
    reasons: dict[str, str] = {}
    for name, (value, reason) in automatic.items():
        given = _checked(configured, name)
        if given == AUTO:
            values[name], reasons[name] = value, reason
        else:
            values[name] = type(value)(given)
    multiplier = _checked(configured, MULTIPLIER)
    if multiplier != AUTO:
        values["learning_rate"] *= multiplier
    return values, reasons


def _checked(configured: Row, name: str) -> Any:
    try:
        return BY_NAME[name].check(configured.get(name))
    except ValueError as error:
        raise DataError(str(error)) from error


@dataclass(frozen=True)
class Sight:
    """One showing of one example: `wording` 0 is the prompt as it is, each other number a rewording of its own."""

    row: int
    wording: int


@dataclass(frozen=True)
class Step:
    """The examples and the general prompts (both by index) of one optimiser step, and its loop, if it has one.

    `loop` counts the loops of the run from 0.
    """

    epoch: float
    examples: list[Sight]
    replay: list[int]
    loop: int | None = None


def is_continued(config: Row) -> bool:
    """Whether the run of this config.json goes on from a model that has learnt the rows which are not new."""
    return "reference" in config


def plan_steps(
    rows: Sequence[Row], *, n_replay: int, hyperparameters: Hyperparameters, seed: int, is_continued: bool = False
) -> list[Step]:
    """All steps of the run. Every epoch shuffles anew; general prompts are drawn round after round without repeats.

    A correction appears in every epoch, a demonstration in `demonstration_epochs` of them, evenly spread. A share
    `reword_share` of a correction's sights is reworded, never the first. A row's `weight`, if it has one, multiplies its
    sights. In a run that is continued, rows that are not new have `KNOWN_SIGHTS` at most.
    """
    rng = random.Random(seed)
    sights: list[tuple[float, Sight]] = []
    for index, row in enumerate(rows):
        is_correction = row["kind"] == "correction"
        is_known = is_continued and not row.get("is_new", True)
        n_sights = hyperparameters.n_epochs if is_correction else hyperparameters.demonstration_epochs
        n_sights = min(n_sights, hyperparameters.n_epochs, KNOWN_SIGHTS if is_known else hyperparameters.n_epochs)
        weight = row.get("weight") or 1
        n_sights = max(1, round(n_sights * weight))
        n_reworded = 0
        for sight in range(n_sights):
            due = is_correction and n_reworded < int(hyperparameters.reword_share * (sight + 1))
            n_reworded += due
            is_each = is_correction and not is_known  # in every epoch
            epoch = sight / weight if is_each else int((sight + rng.random()) * hyperparameters.n_epochs / n_sights)
            sights.append((epoch + rng.random(), Sight(row=index, wording=n_reworded if due else 0)))
    order = [sight for _, sight in sorted(sights, key=lambda pair: pair[0])]
    size = hyperparameters.batch_size
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    replay = replay_order(n_replay, n_wanted=len(batches) * hyperparameters.replay_batch_size, rng=rng)
    return [
        Step(
            epoch=(number + 1) * hyperparameters.n_epochs / len(batches),
            examples=batch,
            replay=replay[
                number * hyperparameters.replay_batch_size : (number + 1) * hyperparameters.replay_batch_size
            ],
            loop=loop_of_step(number),
        )
        for number, batch in enumerate(batches)
    ]


def loop_of_step(number: int) -> int | None:
    """Which loop the step of that number (from 0) shows."""
    is_due = number >= LOOP_FROM and (number - LOOP_FROM) % LOOP_EVERY == 0
    return (number - LOOP_FROM) // LOOP_EVERY if is_due else None


def replay_order(n_replay: int, *, n_wanted: int, rng: random.Random) -> list[int]:
    """Indices of general prompts, each once before any comes again; empty when there are none."""
    order: list[int] = []
    while n_replay and len(order) < n_wanted:
        order += rng.sample(range(n_replay), n_replay)
    return order[:n_wanted]


def as_dict(hyperparameters: Hyperparameters) -> Row:
    return asdict(hyperparameters)
