"""Fine-tunes on many rows: plain learning of their answers, packed, by LoRA, QLoRA or in full.

`python -m ml sft RUN_DIR` comes here when there are many rows (`choose_recipe` of ml/plan.py). What makes it fast is in
docs/experiments.md: nothing is padded, what rows begin with is read once a pass, only learnt tokens reach the head, and a
pass is small enough to need no recomputing.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
import transformers
from accelerate import PartialState
from accelerate.utils import reduce
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from ml.arguments import shared_arguments
from ml.attention import use_packed_attention
from ml.checkpoints import last_checkpoint
from ml.data import Encoded, encode_example
from ml.device import Device, flops_per_token, keep_freed_memory, peak_flops, training_device
from ml.errors import DataError
from ml.hyperparameters import gettext_noop
from ml.losses import head_loss
from ml.packing import BulkStep, Corpus, Layout, pack, plan_bulk, split_rows
from ml.plan import AUTO, OF_CORRECTIONS, Row, decide
from ml.reporting import N_VALID_ON_THE_WAY, Progress
from ml.rundir import RunDirectory, is_launched
from ml.tuning import adapter, load, save

FEW_ROWS = 34  # three passes over fewer are less than a hundred rows
CPU_PACK, GPU_PACK = 512, 16_384
# So many validation rows are enough to decide by their loss.
ENOUGH_VALID, PATIENCE = 16, 2
# What forward_packed takes; the libraries around it hand on more, all None.
PACKED = ("input_ids", "position_ids", "places", "targets", "weights", "layout")


@dataclass(frozen=True)
class Hyperparameters:
    """What can be set; each may be "auto". A step learns `batch_size` rows, an epoch shows every row as often as its weight says."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    lora_rank: int
    max_tokens: int
    patience: int


def resolve(configured: Row, *, n_rows: int, tuning: str, n_valid: int = 0) -> tuple[Hyperparameters, dict[str, str]]:
    """The hyperparameters with every "auto" decided, and the reason for each such decision. Raises DataError."""
    foreign = [name for name in OF_CORRECTIONS if configured.get(name, AUTO) != AUTO and name != "demonstration_epochs"]
    if foreign:
        raise DataError(f"The recipe for many rows has no hyperparameter {foreign[0]!r}.")
    amounts: dict[str, tuple[Any, str]] = {
        "n_epochs": (
            choose_epochs(n_rows),
            gettext_noop("three passes over a few thousand rows, fewer over more: later ones would be learnt by heart")
            if n_rows >= FEW_ROWS
            else gettext_noop("so few rows want to be seen more often, until a hundred of them have gone by"),
        ),
        "batch_size": (
            max(1, min(16, n_rows // 32)) if n_rows < 3000 else 32 if n_rows < 30_000 else 64,
            gettext_noop("more rows a step the more rows there are, so that there are some hundred steps at the least"),
        ),
    }
    counted, _ = decide({name: configured[name] for name in amounts if name in configured}, amounts)
    n_steps = math.ceil(n_rows * counted["n_epochs"] / counted["batch_size"])
    automatic = amounts | {
        "learning_rate": choose_learning_rate(n_steps, tuning=tuning),
        "lora_rank": (16, gettext_noop("enough for some ten thousand rows")),
        "max_tokens": (1024, gettext_noop("what is longer loses its beginning")),
        "patience": (
            PATIENCE if n_valid >= ENOUGH_VALID else 0,
            gettext_noop("two checkpoints without a lower validation loss are enough to tell that it has turned")
            if n_valid >= ENOUGH_VALID
            else gettext_noop("fewer than 16 validation rows tell too little to stop by"),
        ),
    }
    given = {name: value for name, value in configured.items() if name not in OF_CORRECTIONS}
    values, reasons = decide(given, automatic)
    return Hyperparameters(**values), reasons


def choose_epochs(n_rows: int) -> int:
    if n_rows < FEW_ROWS:
        return min(25, 100 // max(1, n_rows))
    return 3 if n_rows < 3000 else 2 if n_rows < 30_000 else 1


def choose_learning_rate(n_steps: int, *, tuning: str) -> tuple[float, str]:
    """The learning rate and the reason for it (docs/experiments.md: twelve steps of 5e-4 teach nothing)."""
    if tuning == "full":
        return 2e-5, gettext_noop("all weights want small steps")
    if n_steps < 100:
        return 2e-3 if n_steps < 40 else 1e-3, gettext_noop("so few steps have to be large ones")
    return 5e-4, gettext_noop("an adapter wants steps some ten times as large as all weights would")


@dataclass(frozen=True)
class Material:
    """Encoded rows and what a step makes of them. `weights` says how often each row appears in an epoch."""

    corpus: Corpus
    weights: list[float]
    n_dropped: int
    n_cut: int


def read_material(run: RunDirectory, name: str, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int) -> Material:
    """The rows of a file, encoded and cut to their last `max_tokens`; rows of which nothing is learnt are dropped.

    Raises DataError with the line at fault.
    """
    weights: list[float] = []
    n_dropped = n_cut = 0

    def encoded() -> Iterator[Encoded]:
        nonlocal n_dropped, n_cut
        for number, row in enumerate(run.each_row(name), start=1):
            if row.get("kind") not in ("correction", "demonstration") or "id" not in row or "messages" not in row:
                raise DataError(f"{name}, line {number}: needs id, messages and the kind correction or demonstration.")
            weight = row.get("weight", 1)
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 100:
                raise DataError(f"{name}, line {number}: the weight must be a number above 0, 100 at most.")
            try:
                whole = encode_example(tokenizer, row["messages"], last_only=row["kind"] == "correction")
            except DataError as error:
                raise DataError(f"{name}, line {number}: {error}") from error
            n_cut += len(whole.ids) > max_tokens
            shown = Encoded(ids=whole.ids[-max_tokens:], mask=whole.mask[-max_tokens:])
            if any(shown.mask[1:]):
                weights.append(float(weight))
                yield shown
            else:
                n_dropped += 1

    corpus = Corpus(encoded())
    return Material(corpus=corpus, weights=weights, n_dropped=n_dropped, n_cut=n_cut)


def collate(
    corpus: Corpus, rows: Sequence[int], *, max_tokens: int, process: int = 0, n_processes: int = 1, is_shared: bool
) -> list[Row]:
    """The passes of one process through the model for one step, as the keywords of `forward_packed`.

    A learnt token counts one over all that the step learns, times the processes, over which gradients are averaged. A process
    without rows gets one that counts nothing: all must take part.
    """
    total = sum(corpus.n_learnt[row] for row in rows)
    places = split_rows([corpus.length(row) for row in rows], max_tokens=max_tokens, n_processes=n_processes)
    passes = []
    for group in places[process::n_processes]:
        shown = [corpus[rows[place]] for place in group] or [corpus[rows[0]]]
        weight = n_processes / total if group else 0.0
        packed = pack(shown, [weight] * len(shown), is_shared=is_shared)
        passes.append(
            {
                "input_ids": packed.ids,
                "position_ids": packed.positions,
                "places": packed.places,
                "targets": packed.targets,
                "weights": packed.weights,
                "layout": packed.layout,
            }
        )
    return passes


def forward_packed(
    model: PreTrainedModel,
    *,
    input_ids: torch.Tensor,
    position_ids: torch.Tensor,
    places: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    layout: Layout,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The weighted loss of one pack and which learnt tokens were the likeliest; `ml.losses.head_loss` says more."""
    hidden = (
        model.get_decoder()(input_ids=input_ids, position_ids=position_ids, use_cache=False, layout=layout)
        .last_hidden_state[0]
        .index_select(0, places)
    )
    cap = getattr(model.config, "final_logit_softcapping", None)
    return head_loss(hidden, model.get_output_embeddings().weight, targets, weights, cap=cap)


class PackedTrainer(SFTTrainer):
    """TRL's trainer; a step may take several passes, whose gradients add up."""

    def training_step(self, model: Any, inputs: Row, num_items_in_batch: Any = None) -> torch.Tensor:
        """One step of this process. Returns its loss; the mean over all processes is that of the step."""
        model.train()
        passes = self._prepare_inputs(inputs)["passes"]
        sums = torch.zeros(2, device=self.args.device)
        for number, one in enumerate(passes):
            is_last = number == len(passes) - 1
            with nullcontext() if is_last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss, right = model(**one)
                self.accelerator.backward(loss)
            sums += torch.stack([loss.detach(), (right * one["weights"]).sum()])
        loss, accuracy = reduce(sums, reduction="mean").tolist()
        self._metrics["train"]["example_loss"].append(loss)
        self._metrics["train"]["token_accuracy"].append(accuracy)
        return sums[0]

    @torch.no_grad()
    def measure(self, corpus: Corpus, *, max_tokens: int, n_rows: int | None = None) -> Row:
        """Mean loss per learnt token in nats, and the accuracies by token and by whole row; {} without rows.

        All processes must call it: each measures a part.
        """
        rows = list(range(len(corpus)))[:n_rows]
        if not rows:
            return {}
        state = PartialState()
        rows.sort(key=lambda row: (-corpus.length(row), row))
        was_training = self.model.training
        self.model.eval()
        sums = torch.zeros(3, device=self.args.device)
        size = 8 * state.num_processes
        for start in range(0, len(rows), size):
            group = rows[start : start + size]
            mine = group[state.process_index :: state.num_processes]
            shown = [corpus[row] for row in mine] or [corpus[group[0]]]
            packed = pack(shown, [float(bool(mine))] * len(shown), is_shared=self.args.use_cpu)
            inputs = self._prepare_inputs(
                {
                    "input_ids": packed.ids,
                    "position_ids": packed.positions,
                    "places": packed.places,
                    "targets": packed.targets,
                    "weights": packed.weights,
                    "layout": packed.layout,
                }
            )
            with self.compute_loss_context_manager():
                loss, right = self.model_wrapped(**inputs)
            n_right = (right * inputs["weights"]).sum()
            ends = torch.tensor([corpus.n_learnt[row] for row in mine], dtype=torch.long).cumsum(0).tolist()
            whole = sum(
                bool(right[end - corpus.n_learnt[row] : end].all()) for row, end in zip(mine, ends, strict=True)
            )
            sums += torch.stack([loss, n_right, torch.tensor(float(whole), device=sums.device)])
        self.model.train(was_training)
        loss, n_right, n_whole = reduce(sums, reduction="sum").tolist()
        n_tokens = sum(corpus.n_learnt[row] for row in rows)
        return {
            "valid_loss": loss / n_tokens,
            "valid_token_accuracy": n_right / n_tokens,
            "valid_sequence_accuracy": n_whole / len(rows),
        }


class Reporter(Progress):
    """The events of this recipe."""

    trainer: PackedTrainer

    def __init__(
        self,
        run: RunDirectory,
        steps: Sequence[BulkStep],
        n_tokens: Sequence[int],
        *,
        valid: Corpus,
        max_tokens: int,
        flops: float,
        peak: float | None,
        patience: int,
    ) -> None:
        super().__init__(run, steps, n_tokens, patience=patience)
        self.valid = valid
        self.max_tokens = max_tokens
        self.flops = flops
        self.peak = peak

    def measure(self, model: Any) -> Row:
        return self.trainer.measure(self.valid, max_tokens=self.max_tokens, n_rows=N_VALID_ON_THE_WAY)

    def speed(self, tokens_per_s: float) -> Row:
        if self.peak is None:
            return {}
        return {"mfu": round(tokens_per_s * self.flops / (self.peak * PartialState().num_processes), 4)}


def trainer_config(run: RunDirectory, *, hyperparameters: Hyperparameters, n_steps: int, device: Device) -> SFTConfig:
    return SFTConfig(
        **shared_arguments(
            run,
            learning_rate=hyperparameters.learning_rate,
            n_steps=n_steps,
            warmup_steps=n_steps // 20,
            device=device,
            autocast=device.dtype == torch.bfloat16,
        ),
        per_device_train_batch_size=1,
        optim="adamw_torch_fused",
        gradient_checkpointing=False,
        ddp_find_unused_parameters=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )


def train(run: RunDirectory, *, chosen: dict[str, str]) -> Row:
    """Train, or go on from the last checkpoint, and return the result. `chosen`: reasons of what was decided before."""
    start = time.monotonic()
    transformers.utils.logging.disable_progress_bar()
    keep_freed_memory()
    config = run.config
    state = PartialState(cpu=not torch.cuda.is_available())
    with state.main_process_first():  # it says in which precision all of them compute
        device = training_device(run, threads=None if is_launched() else config.get("threads"))
    tuning = config.get("tuning", AUTO)
    if tuning == AUTO:
        tuning, chosen = "lora", chosen | {"tuning": gettext_noop("an adapter learns what most rows have to teach")}
    hyperparameters, reasons = resolve(
        config.get("hyperparameters") or {},
        n_rows=run.n_rows("train.jsonl"),
        tuning=tuning,
        n_valid=run.n_rows("valid.jsonl"),
    )
    reasons |= chosen
    model, tokenizer = load(run, tuning=tuning, device=device)
    use_packed_attention(model)
    train_rows = read_material(run, "train.jsonl", tokenizer, max_tokens=hyperparameters.max_tokens)
    valid = read_material(run, "valid.jsonl", tokenizer, max_tokens=hyperparameters.max_tokens).corpus
    corpus = train_rows.corpus
    if not len(corpus):
        raise DataError("train.jsonl has no rows of which anything is learnt.")
    steps = plan_bulk(
        train_rows.weights,
        n_epochs=hyperparameters.n_epochs,
        batch_size=hyperparameters.batch_size,
        seed=config["seed"],
    )
    n_tokens = [sum(corpus.length(row) for row in step.examples) for step in steps]
    checkpoint = last_checkpoint(run.path / "checkpoints")
    facts = {
        "recipe": "many_rows",
        "tuning": tuning,
        "hyperparameters": asdict(hyperparameters),
        "auto": reasons,
        "n_train": len(corpus),
        "n_valid": len(valid),
        "n_dropped": train_rows.n_dropped,
        "n_cut": train_rows.n_cut,
        "n_steps": len(steps),
    }
    if checkpoint:
        run.events.emit("resumed", step=int(checkpoint.name.rpartition("-")[2]))
    else:
        run.events.emit(
            "started", **facts, precision=str(device.dtype).removeprefix("torch."), n_processes=state.num_processes
        )
    max_tokens = int(config.get("micro_batch_tokens") or (CPU_PACK if device.name == "cpu" else GPU_PACK))
    if config.get("half_micro_batch"):
        max_tokens //= 2
    world, is_shared = state.num_processes, device.name == "cpu"

    def passes(rows: list[Row]) -> Row:
        """The passes of the step for which this process asks: item n belongs to process n mod world."""
        step, process = divmod(rows[0]["item"], world)
        return {
            "passes": collate(
                corpus,
                steps[step].examples,
                max_tokens=max_tokens,
                process=process,
                n_processes=world,
                is_shared=is_shared,
            )
        }

    text = model.config.get_text_config()
    reporter = Reporter(
        run,
        steps,
        n_tokens,
        valid=valid,
        max_tokens=max_tokens,
        flops=flops_per_token(
            model.num_parameters() - model.get_input_embeddings().weight.numel() * (not text.tie_word_embeddings),
            n_layers=text.num_hidden_layers,
            width=text.hidden_size,
            mean_length=sum(n_tokens) / sum(len(step.examples) for step in steps),
            is_frozen=tuning != "full",
        ),
        peak=peak_flops(device),
        patience=hyperparameters.patience,
    )
    trainer = PackedTrainer(
        model=model,
        args=trainer_config(run, hyperparameters=hyperparameters, n_steps=len(steps), device=device),
        data_collator=passes,
        train_dataset=Dataset.from_list([{"item": i} for i in range((reporter.stops_at or len(steps)) * world)]),
        processing_class=tokenizer,
        peft_config=None if tuning == "full" else adapter(hyperparameters.lora_rank),
        callbacks=[reporter],
    )
    causal = trainer.model if tuning == "full" else trainer.model.get_base_model()
    causal.forward = lambda **inputs: forward_packed(
        causal, **{name: value for name, value in inputs.items() if value is not None and name in PACKED}
    )
    reporter.trainer = trainer
    with run.stop.held():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    best = reporter.take_best(trainer)
    measured = trainer.measure(valid, max_tokens=max_tokens)
    run.events.emit("merging")
    save(run, trainer, tokenizer, tuning=tuning)
    losses = [entry["example_loss"] for entry in trainer.state.log_history if "example_loss" in entry]
    last_epoch = losses[-max(1, len(steps) // hyperparameters.n_epochs) :]
    return {
        **facts,
        **best,
        "n_tokens": sum(n_tokens[: trainer.state.global_step]),
        "train_loss": sum(last_epoch) / len(last_epoch),
        "valid_loss": None,
        **measured,
        "duration_s": round(time.monotonic() - start, 3),
    }
