"""Teaches a model to prefer one answer to another: direct preference optimisation (DPO), alone or with an SFT term.

`python -m ml dpo RUN_DIR`; docs/run-directory.md says what goes in and comes out, docs/experiments.md why the recipe
is as it is. A pair is a row with a rejected answer beside its last message: a correction, a judged comparison, an
uploaded preference. The reference is the model that the run begins with; its log-likelihoods are computed once.
"""

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from ml import rundir
from ml.arguments import is_checkpoint, shared_arguments
from ml.batch import collate, head, learnt_hidden
from ml.checkpoints import Checkpoints, last_checkpoint
from ml.data import Encoded, encode_example
from ml.device import Device, keep_freed_memory, training_device
from ml.errors import DataError
from ml.hyperparameters import AUTO, gettext_noop
from ml.losses import token_logprobs
from ml.pair_plan import Hyperparameters, plan_order, resolve
from ml.plan import TUNINGS, Row, as_dict
from ml.rundir import RunDirectory, write_json
from ml.smoke import tried
from ml.tuning import adapter, load, save

MIN_PAIRS = 8
# So much of a prompt always stays before an answer; an answer that leaves less room makes its pair unusable.
MIN_PROMPT_TOKENS = 16
# So many validation pairs are measured at every checkpoint, all of them at the end.
N_VALID_ON_THE_WAY = 8

# Our name of a measurement to TRL's.
LOGGED = {
    "margin": "rewards/margins",
    "reward_accuracy": "rewards/accuracies",
    "reward_chosen": "rewards/chosen",
    "reward_rejected": "rewards/rejected",
    "logprob_chosen": "logps/chosen",
    "logprob_rejected": "logps/rejected",
    "token_accuracy": "mean_token_accuracy",
    "grad_norm": "grad_norm",
}


@dataclass(frozen=True)
class Pair:
    """One prompt with its better and its worse answer as tokens; both answers end with the end token."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def n_tokens(self) -> int:
        return 2 * len(self.prompt) + len(self.chosen) + len(self.rejected)

    def rows(self) -> list[Encoded]:
        """Both conversations, each learnt in its answer."""
        return [
            Encoded(ids=self.prompt + answer, mask=[0] * len(self.prompt) + [1] * len(answer))
            for answer in (self.chosen, self.rejected)
        ]


def encode_pair(tokenizer: PreTrainedTokenizerBase, row: Row, *, max_tokens: int) -> Pair | None:
    """A row as tokens; a prompt that is too long loses its beginning. None where an answer is too long.

    Raises DataError when the conversation is malformed or both answers are the same.
    """
    *before, last = row["messages"]
    rejected_text = row["rejected"]
    if last.get("content") == rejected_text:
        raise DataError("The chosen and the rejected answer are the same.")
    prompt, answers = [], []
    for text in (last.get("content"), rejected_text):
        encoded = encode_example(tokenizer, [*before, {**last, "content": text}], last_only=True)
        start = encoded.mask.index(1)
        prompt = encoded.ids[:start]
        answers.append(encoded.ids[start:])
    room = max_tokens - max(len(answer) for answer in answers)
    if room < min(len(prompt), MIN_PROMPT_TOKENS):
        return None
    return Pair(prompt=prompt[-room:], chosen=answers[0], rejected=answers[1])


@dataclass(frozen=True)
class Pairs:
    """The usable pairs of a file, and why its other rows are left out."""

    pairs: list[Pair]
    n_without_rejected: int
    n_too_long: int


def read_pairs(run: RunDirectory, name: str, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int) -> Pairs:
    """The pairs of a file. Raises DataError with the line at fault."""
    found: list[Pair] = []
    n_without_rejected = n_too_long = 0
    for number, row in enumerate(run.rows(name), start=1):
        if not row.get("messages") or "id" not in row:
            raise DataError(f"{name}, line {number}: needs id and messages.")
        if row.get("rejected") is None:
            n_without_rejected += 1
            continue
        try:
            pair = encode_pair(tokenizer, row, max_tokens=max_tokens)
        except DataError as error:
            raise DataError(f"{name}, line {number}: {error}") from error
        if pair is None:
            n_too_long += 1
        else:
            found.append(pair)
    return Pairs(found, n_without_rejected, n_too_long)


@torch.no_grad()
def pair_logprobs(model: PreTrainedModel, pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    """The log-likelihoods of the chosen and the rejected answer of each pair, in nats, summed over their tokens."""
    found = []
    for pair in pairs:  # the two answers of a pair share their prompt, which is read once
        batch = {name: value.to(model.device) for name, value in collate(pair.rows()).items()}
        hidden, targets, rows = learnt_hidden(model, batch)
        logprobs = token_logprobs(head(model, hidden), targets)
        found.append((float(logprobs[rows == 0].sum()), float(logprobs[rows == 1].sum())))
    return found


def summarise(pairs: Sequence[Pair], logprobs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """What is told of validation pairs; {} where there are none.

    `valid_loss`: mean negative log-likelihood of the chosen answers' tokens. `valid_margin`: mean over pairs of the
    difference of log-likelihoods, chosen less rejected, in nats; `valid_token_margin` the same by tokens' means.
    `valid_preferred`: the share of pairs whose chosen answer is the likelier one by tokens' means.
    """
    if not pairs:
        return {}
    token_margins = [
        chosen / len(pair.chosen) - rejected / len(pair.rejected)
        for pair, (chosen, rejected) in zip(pairs, logprobs, strict=True)
    ]
    return {
        "valid_loss": -sum(chosen for chosen, _ in logprobs) / sum(len(pair.chosen) for pair in pairs),
        "valid_margin": sum(chosen - rejected for chosen, rejected in logprobs) / len(pairs),
        "valid_token_margin": sum(token_margins) / len(pairs),
        "valid_preferred": sum(margin > 0 for margin in token_margins) / len(pairs),
    }


class PairCollator:
    """Turns the numbers of pairs into TRL's tensors; the reference's log-likelihoods go along once they are known."""

    def __init__(self, pairs: Sequence[Pair], *, pad_token_id: int) -> None:
        self.pairs = pairs
        self.reference: list[tuple[float, float]] = []
        self._collate = DataCollatorForPreference(pad_token_id=pad_token_id)

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        examples = []
        for row in rows:
            pair = self.pairs[row["pair"]]
            example: Row = {"prompt_ids": pair.prompt, "chosen_ids": pair.chosen, "rejected_ids": pair.rejected}
            if self.reference:
                chosen, rejected = self.reference[row["pair"]]
                example |= {"ref_chosen_logps": chosen, "ref_rejected_logps": rejected}
            examples.append(example)
        return self._collate(examples)


class PairTrainer(DPOTrainer):
    """TRL's trainer on pairs that are tokens already, with a reference that is computed once and kept in a file."""

    def __init__(self, *, reference_path: Path, data_collator: PairCollator, **kwargs: Any) -> None:
        self.reference_path = reference_path
        super().__init__(data_collator=data_collator, **kwargs)

    def _prepare_dataset(self, dataset: Dataset, *args: Any) -> Dataset:
        """TRL would apply the chat template to text here; ours are numbers of pairs that ml/data.py has encoded."""
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """Called by TRL before training. A run that resumes reads what its first start has computed."""
        collator = self.data_collator
        if self.reference_path.exists():
            collator.reference = [(c, r) for c, r in json.loads(self.reference_path.read_text())["logprobs"]]
            return dataset
        found = []
        for number in range(len(collator.pairs)):
            batch = self._prepare_inputs(collator([{"pair": number}]))
            chosen, rejected = self.compute_ref_log_probs(self.model, batch)
            found.append((chosen.item(), rejected.item()))
        write_json(self.reference_path, {"logprobs": found})
        collator.reference = found
        return dataset


class Reporter(Checkpoints):
    """Turns what the trainer does into events beside what Checkpoints does."""

    def __init__(
        self,
        run: RunDirectory,
        steps: Sequence[Sequence[int]],
        material: Sequence[Pair],
        valid: Sequence[Pair],
        *,
        patience: int = 0,
    ) -> None:
        super().__init__(run, patience=patience)
        self.n_steps = len(steps)
        self.n_pairs = [len(step) for step in steps]
        self.n_tokens = [sum(material[i].n_tokens for i in step) for step in steps]
        self.n_material = len(material)
        self.valid = valid[:N_VALID_ON_THE_WAY]
        self.start = self.first = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.start is None:
            self.start, self.first = time.monotonic(), state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Row, **kwargs: Any) -> None:
        if "rewards/margins" not in logs:
            return
        step = state.global_step
        elapsed, n_done = time.monotonic() - self.start, step - self.first
        is_due = is_checkpoint(step, n_steps=self.n_steps, save_steps=args.save_steps)
        measured = measure(kwargs["model"], self.valid) if is_due else {}
        self.run.events.emit(
            "metrics",
            step=step,
            n_steps=self.n_steps,
            epoch=round(sum(self.n_pairs[:step]) / self.n_material, 3),
            loss=logs["loss"],
            learning_rate=logs["learning_rate"],
            tokens_per_s=round(sum(self.n_tokens[self.first : step]) / elapsed, 1),
            remaining_s=round(elapsed / n_done * (self.n_steps - step), 1),
            n_tokens=sum(self.n_tokens[:step]),
            n_examples=sum(self.n_pairs[:step]),
            **measured,
            **{ours: logs[theirs] for ours, theirs in LOGGED.items() if theirs in logs},
        )
        if is_due:
            self.note(control, step=step, figures={"loss": logs["loss"], **measured})


def plain(model: Any) -> PreTrainedModel:
    """The model itself, with its adapter at work where it has one."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def measure(model: Any, pairs: Sequence[Pair]) -> dict[str, float]:
    """What `summarise` tells of the pairs; the model is left in the mode that it was in."""
    was_training = model.training
    model.eval()
    found = summarise(pairs, pair_logprobs(plain(model), pairs))
    model.train(was_training)
    return found


def trainer_config(
    run: RunDirectory, *, hyperparameters: Hyperparameters, n_steps: int, device: Device, autocast: bool
) -> DPOConfig:
    """TRL's configuration. On a CPU each pair is a micro-batch of its own, so that nothing is padded to other pairs."""
    size = hyperparameters.batch_size
    micro_batch, accumulation = (size, 1) if device.name == "cuda" else (1, size)
    if run.config.get("half_micro_batch") and micro_batch % 2 == 0:
        micro_batch, accumulation = micro_batch // 2, 2
    return DPOConfig(
        **shared_arguments(
            run,
            learning_rate=hyperparameters.learning_rate,
            n_steps=n_steps,
            warmup_steps=n_steps // 10,
            device=device,
            autocast=autocast,
        ),
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=accumulation,
        beta=hyperparameters.beta,
        loss_type=list(loss_weights(hyperparameters)),
        loss_weights=list(loss_weights(hyperparameters).values()),
        precompute_ref_log_probs=True,
        gradient_checkpointing=False,
    )


def loss_weights(hyperparameters: Hyperparameters) -> dict[str, float]:
    """TRL's names of the losses that are summed, and their weights."""
    weights = {"sigmoid": 1.0}
    if hyperparameters.sft_weight:
        weights["sft"] = hyperparameters.sft_weight
    return weights


def dpo(run: RunDirectory) -> Row:
    """Train, or go on from the last checkpoint, and return the result."""
    start = time.monotonic()
    transformers.utils.logging.disable_progress_bar()
    keep_freed_memory()
    device = training_device(run, threads=run.config.get("threads"))
    if (run.config.get("launch") or {}).get("processes", 1) > 1:
        raise DataError("Learning from preferences trains in one process; several are for learning from answers.")
    tuning = run.config.get("tuning", AUTO)
    is_chosen = tuning == AUTO
    if is_chosen:
        tuning = "lora"
    elif tuning not in TUNINGS:
        raise DataError(f"There is no tuning {tuning!r}.")
    n_pairs = sum(row.get("rejected") is not None for row in run.rows("train.jsonl"))
    hyperparameters, reasons = resolve(
        run.config.get("hyperparameters") or {}, method=run.config["method"], n_pairs=n_pairs, tuning=tuning
    )
    if is_chosen:
        reasons["tuning"] = gettext_noop("an adapter learns what pairs have to teach")
    model, tokenizer = load(run, tuning=tuning, device=device)
    train = read_pairs(run, "train.jsonl", tokenizer, max_tokens=hyperparameters.max_tokens)
    valid = read_pairs(run, "valid.jsonl", tokenizer, max_tokens=hyperparameters.max_tokens)
    if len(train.pairs) < MIN_PAIRS:
        raise DataError(too_few(train))
    order = plan_order(len(train.pairs), n_epochs=hyperparameters.n_epochs, rng=random.Random(run.config["seed"]))
    size = hyperparameters.batch_size
    steps = [order[place : place + size] for place in range(0, len(order), size)]
    checkpoint = last_checkpoint(run.path / "checkpoints")
    if checkpoint:
        run.events.emit("resumed", step=int(checkpoint.name.rpartition("-")[2]))
    else:
        run.events.emit(
            "started",
            n_train=len(train.pairs),
            n_valid=len(valid.pairs),
            n_steps=len(steps),
            n_without_rejected=train.n_without_rejected,
            n_too_long=train.n_too_long,
            tuning=tuning,
            hyperparameters=as_dict(hyperparameters),
            auto=reasons,
        )
    before = measure(model, valid.pairs)
    reporter = Reporter(run, steps, train.pairs, valid.pairs, patience=hyperparameters.patience)
    n_shown = len(order) if reporter.stops_at is None else sum(map(len, steps[: reporter.stops_at]))
    trainer = PairTrainer(
        reference_path=run.path / "reference.json",
        data_collator=PairCollator(train.pairs, pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id),
        model=model,
        args=trainer_config(
            run,
            hyperparameters=hyperparameters,
            n_steps=len(steps),
            device=device,
            autocast=device.dtype == torch.bfloat16,
        ),
        train_dataset=Dataset.from_list([{"pair": i} for i in order[:n_shown]]),
        processing_class=tokenizer,
        peft_config=None if tuning == "full" else adapter(hyperparameters.lora_rank),
        callbacks=[reporter],
    )
    with run.stop.held():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    best = reporter.take_best(trainer)
    run.events.emit("merging")
    trained = trainer.model.eval()
    logs = [entry for entry in trainer.state.log_history if "rewards/margins" in entry]
    last_epoch = logs[-max(1, len(steps) // hyperparameters.n_epochs) :]
    result = {
        "tuning": tuning,
        "hyperparameters": as_dict(hyperparameters),
        "auto": reasons,
        "n_train": len(train.pairs),
        "n_valid": len(valid.pairs),
        "n_tokens": sum(train.pairs[i].n_tokens for step in steps[: trainer.state.global_step] for i in step),
        "n_steps": len(steps),
        **best,
        "train_loss": sum(entry["loss"] for entry in last_epoch) / len(last_epoch),
        "train_margin": sum(entry["rewards/margins"] for entry in last_epoch) / len(last_epoch),
        "valid_loss": None,
        **measure(trained, valid.pairs),
        "before": before,
    }
    save(run, trainer, tokenizer, tuning=tuning)
    return {**result, "duration_s": round(time.monotonic() - start, 3)}


def too_few(found: Pairs) -> str:
    """Why there is nothing to train on, in a sentence."""
    left_out = [
        text.format(n=n)
        for n, text in (
            (found.n_without_rejected, "{n} rows have no rejected answer"),
            (found.n_too_long, "the answers of {n} are longer than max_tokens"),
        )
        if n
    ]
    why = f" ({' and '.join(left_out)})" if left_out else ""
    return (
        f"Learning from preferences needs at least {MIN_PAIRS} pairs of a chosen and a rejected answer to train on; "
        f"here are {len(found.pairs)}{why}. Correct more cases or judge more comparisons, or choose the method SFT."
    )


def main(argv: list[str]) -> int:
    return rundir.run(argv, command="dpo", work=tried(dpo))
