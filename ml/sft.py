"""Fine-tunes a LoRA adapter on corrections and demonstrations, and merges it.

`python -m ml sft RUN_DIR`; docs/run-directory.md says what goes in and comes out, docs/experiments.md why the recipe
is as it is. Each step learns a few examples, and is held by the KL divergence to the answers that the base model
gives to general prompts. A run that goes on from a fine-tuned model is held by what that model's own base model says.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from ml import launch, many_rows
from ml.arguments import shared_arguments
from ml.attention import packed_attention
from ml.batch import Tensors, collate, head, learnt_hidden
from ml.checkpoints import last_checkpoint, save_model
from ml.data import Encoded, Message, encode_example, encode_prompt
from ml.device import Device, keep_freed_memory, model_dtype, training_device
from ml.errors import DataError
from ml.generate import load_model
from ml.loops import ENDING_WEIGHT, loop_rows
from ml.losses import accuracies, ending_loss, kl_divergence, preference_loss, row_means, row_weights, token_logprobs
from ml.packing import pack
from ml.plan import Hyperparameters, Row, Step, as_dict, choose_recipe, is_continued, plan_steps, resolve
from ml.replay import load_answers, own_answers, reference_states, save_answers
from ml.reporting import N_VALID_ON_THE_WAY, Progress, measure_valid
from ml.rewording import reword
from ml.rundir import RunDirectory
from ml.smoke import tried
from ml.tuning import adapter


@dataclass(frozen=True)
class Material:
    """Everything that the steps of a run draw from, as tokens."""

    rows: list[Row]
    tokenizer: PreTrainedTokenizerBase
    replay: list[Encoded]
    reference: list[torch.Tensor]
    loops: list[Encoded]
    loop_reference: list[torch.Tensor]
    hyperparameters: Hyperparameters
    seed: int
    is_packed: bool

    def example(self, row: Row, *, wording: int) -> Encoded:
        """A row as it is learnt: a correction in its last answer, with its prompt put in the given wording."""
        is_correction = row["kind"] == "correction"
        messages = row["messages"]
        if wording:
            rng = random.Random(f"{self.seed} {row['id']} {wording}")
            prompt = {**messages[-2], "content": reword(messages[-2]["content"], rng=rng)}
            messages = [*messages[:-2], prompt, messages[-1]]
        encoded = encode_example(self.tokenizer, messages, last_only=is_correction)
        return cut(encoded, self.hyperparameters.max_tokens)

    def collate(self, step: Step) -> Tensors:
        """The tensors of one step: examples, the wrong outputs of the corrections among them, a loop, replay.

        `pairs` are the rows of the corrections, `reference: (N, D)` the base model's states on what is to be kept: the
        loop up to its end token, and the replay answers.
        """
        examples = [self.example(self.rows[s.row], wording=s.wording) for s in step.examples]
        pairs, rejected = [], []
        if self.hyperparameters.preference_weight:
            for place, sight in enumerate(step.examples):
                row = self.rows[sight.row]
                if row.get("rejected"):
                    wrong = {
                        **row,
                        "messages": [*row["messages"][:-1], {"role": "assistant", "content": row["rejected"]}],
                    }
                    pairs.append(place)
                    rejected.append(self.example(wrong, wording=sight.wording))
        loops = [step.loop % len(self.loops)] if self.loops and step.loop is not None else []
        shown = [*examples, *rejected, *(self.loops[i] for i in loops), *(self.replay[i] for i in step.replay)]
        batch = dict(vars(pack(shown, [1.0] * len(shown)))) if self.is_packed else collate(shown)
        batch["row_weights"] = row_weights([sum(example.mask) for example in examples])
        batch["n_examples"], batch["pairs"] = len(examples), torch.tensor(pairs, dtype=torch.long)
        batch["n_loops"] = len(loops)
        kept = [*(self.loop_reference[i][:-1] for i in loops), *(self.reference[i] for i in step.replay)]
        batch["reference"] = torch.cat(kept) if kept else None
        return batch


def cut(encoded: Encoded, max_tokens: int) -> Encoded:
    """The last `max_tokens` tokens: what is lost is the beginning of the conversation, never the end token."""
    return Encoded(ids=encoded.ids[-max_tokens:], mask=encoded.mask[-max_tokens:])


def packed_hidden(model: PreTrainedModel, batch: Tensors) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What `learnt_hidden` returns, for the tensors of a pack."""
    with packed_attention(model):
        hidden = model.get_decoder()(
            input_ids=batch["ids"], position_ids=batch["positions"], use_cache=False, layout=batch["layout"]
        ).last_hidden_state
    return hidden[0].index_select(0, batch["places"]), batch["targets"], batch["rows"]


@torch.no_grad()
def can_pack(model: PreTrainedModel) -> bool:
    """Whether the model's attention can be had sequence by sequence (ml/attention.py); else rows are padded."""
    row = Encoded(ids=[0, 0], mask=[0, 1])
    try:
        packed_hidden(model, vars(pack([row], [1.0])))
    except DataError:
        return False
    return True


class CorrectionTrainer(SFTTrainer):
    """TRL's trainer with the loss of this recipe: learn the examples, prefer them, stay as you were elsewhere."""

    hyperparameters: Hyperparameters

    def compute_loss(
        self, model: Any, inputs: Tensors, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        causal: PreTrainedModel = model.get_base_model()
        hidden, targets, rows = packed_hidden(causal, inputs) if "layout" in inputs else learnt_hidden(causal, inputs)
        n_examples, pairs = inputs["n_examples"], inputs["pairs"]
        n_answers = n_examples + len(pairs)
        is_answer = rows < n_answers
        is_in_loop = ~is_answer & (rows < n_answers + inputs["n_loops"])
        is_ending = is_in_loop & (targets == self.processing_class.eos_token_id)
        logits = head(causal, hidden[is_answer])
        logprobs = token_logprobs(logits, targets[is_answer])
        means = row_means(logprobs, rows[is_answer], n_answers)
        example_loss = -(means[:n_examples] * inputs["row_weights"]).sum()
        loss = example_loss
        is_example = rows[is_answer] < n_examples
        token_accuracy, sequence_accuracy = accuracies(
            logits[is_example], targets[is_answer][is_example], rows[is_answer][is_example], n_examples
        )
        parts = {
            "example_loss": example_loss,
            "token_accuracy": token_accuracy,
            "sequence_accuracy": sequence_accuracy,
        }
        if inputs["n_loops"]:
            endings = token_logprobs(head(causal, hidden[is_ending]), targets[is_ending])
            loss = loss + ENDING_WEIGHT * ending_loss(endings)
        if len(pairs):
            parts["preference_loss"] = preference_loss(
                means[pairs],
                means[n_examples:],
                beta=self.hyperparameters.preference_beta,
                margin=self.hyperparameters.preference_margin,
            )
            loss = loss + self.hyperparameters.preference_weight * parts["preference_loss"]
        if inputs["reference"] is not None and self.hyperparameters.replay_weight:
            with torch.no_grad():
                reference = head(causal, inputs["reference"])
            parts["replay_loss"] = kl_divergence(reference, head(causal, hidden[~is_answer & ~is_ending]))
            loss = loss + self.hyperparameters.replay_weight * parts["replay_loss"]
        for name, value in parts.items():
            self._metrics["train"][name].append(value.item())
        return loss


class Reporter(Progress):
    """The events of this recipe: validation rows are measured at each checkpoint."""

    def __init__(
        self,
        run: RunDirectory,
        steps: Sequence[Step],
        n_tokens: Sequence[int],
        valid: Sequence[Encoded],
        *,
        patience: int = 0,
    ) -> None:
        super().__init__(run, steps, n_tokens, patience=patience)
        self.valid = valid[:N_VALID_ON_THE_WAY]

    def measure(self, model: Any) -> Row:
        return measure_valid(model.get_base_model(), self.valid)


def read_rows(run: RunDirectory, name: str, tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    """The rows of a file, each checked by encoding it. Raises DataError with the line at fault."""
    rows = run.rows(name)
    for number, row in enumerate(rows, start=1):
        if row.get("kind") not in ("correction", "demonstration") or "id" not in row or "messages" not in row:
            raise DataError(f"{name}, line {number}: needs id, messages and the kind correction or demonstration.")
        try:
            encode_example(tokenizer, row["messages"])
        except DataError as error:
            raise DataError(f"{name}, line {number}: {error}") from error
    return rows


def replay_answers(
    run: RunDirectory,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[Message]],
    *,
    folder: Path,
) -> list[Encoded]:
    """The answers of the model in `folder` to the general prompts, kept in the run directory: a resumed run needs the same."""
    path = run.path / "replay_answers.json"
    answers = load_answers(path)
    if answers is None:
        answers = own_answers(model, tokenizer, prompts, base=folder, seed=run.config["seed"])
        save_answers(path, answers)
    return answers


def trainer_config(
    run: RunDirectory, *, hyperparameters: Hyperparameters, n_steps: int, device: Device, autocast: bool
) -> SFTConfig:
    return SFTConfig(
        **shared_arguments(
            run,
            learning_rate=hyperparameters.learning_rate,
            n_steps=n_steps,
            warmup_steps=n_steps // 20,
            device=device,
            autocast=autocast,
        ),
        per_device_train_batch_size=1,
        activation_checkpointing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )


def sft(run: RunDirectory) -> Row:
    """Train, or go on from the last checkpoint, and return the result: by this recipe or by that for many rows."""
    recipe, reason = choose_recipe(run.config, n_rows=run.n_rows("train.jsonl"))
    chosen = {"recipe": reason} if reason else {}
    if recipe == "many_rows":
        return many_rows.train(run, chosen=chosen)
    start = time.monotonic()
    transformers.utils.logging.disable_progress_bar()
    keep_freed_memory()
    device = training_device(run, threads=run.config.get("threads"))
    model, tokenizer = load_model(Path(run.config["base"]), device=Device(device.name, model_dtype(device)))
    train, valid = read_rows(run, "train.jsonl", tokenizer), read_rows(run, "valid.jsonl", tokenizer)
    if not train:
        raise DataError("train.jsonl has no rows.")
    hyperparameters, reasons = resolve(run.config.get("hyperparameters") or {}, train)
    reasons |= chosen
    seed = run.config["seed"]

    prompts = [row["messages"] for row in run.rows("replay.jsonl")]
    steps = plan_steps(
        train,
        n_replay=len(prompts),
        hyperparameters=hyperparameters,
        seed=seed,
        is_continued=is_continued(run.config),
    )
    checkpoint = last_checkpoint(run.path / "checkpoints")
    if checkpoint:
        run.events.emit("resumed", step=int(checkpoint.name.rpartition("-")[2]))
    else:
        run.events.emit(
            "started",
            n_train=len(train),
            n_valid=len(valid),
            n_steps=len(steps),
            recipe=recipe,
            hyperparameters=as_dict(hyperparameters),
            auto=reasons,
        )
    folder = Path(run.config.get("reference") or run.config["base"])
    reference = model
    if folder != Path(run.config["base"]):
        reference = load_model(folder, device=Device(device.name, model_dtype(device)))[0]
    replay = replay_answers(run, reference, tokenizer, prompts, folder=folder)
    loops = loop_rows(
        replay,
        [len(encode_prompt(tokenizer, prompt)) for prompt in prompts],
        end_token=tokenizer.eos_token_id,
        rng=random.Random(seed),
    )[: sum(step.loop is not None for step in steps)]  # no more than will be shown
    material = Material(
        rows=train,
        tokenizer=tokenizer,
        replay=replay,
        reference=reference_states(reference, replay),
        loops=loops,
        loop_reference=reference_states(reference, loops),
        hyperparameters=hyperparameters,
        seed=seed,
        is_packed=device.name == "cpu" and can_pack(model),
    )
    del reference
    valid_rows = [
        cut(encode_example(tokenizer, row["messages"], last_only=True), hyperparameters.max_tokens) for row in valid
    ]
    tensors = [material.collate(step) for step in steps]
    n_tokens = [
        batch["layout"].n_tokens if "layout" in batch else int(batch["real"].sum()) + batch["prefix"].numel()
        for batch in tensors
    ]
    reporter = Reporter(run, steps, n_tokens, valid_rows, patience=hyperparameters.patience)
    trainer = CorrectionTrainer(
        model=model,
        args=trainer_config(
            run,
            hyperparameters=hyperparameters,
            n_steps=len(steps),
            device=device,
            autocast=device.dtype == torch.bfloat16,
        ),
        data_collator=lambda rows: tensors[rows[0]["step"]],
        train_dataset=Dataset.from_list([{"step": i} for i in range(reporter.stops_at or len(steps))]),
        processing_class=tokenizer,
        peft_config=adapter(hyperparameters.lora_rank),
        callbacks=[reporter],
    )
    trainer.hyperparameters = hyperparameters
    with run.stop.held():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    best = reporter.take_best(trainer)
    run.events.emit("merging")
    model = trainer.model.eval()
    losses = [entry["example_loss"] for entry in trainer.state.log_history if "example_loss" in entry]
    last_epoch = losses[-max(1, len(steps) // hyperparameters.n_epochs) :]
    result = {
        "recipe": recipe,
        "hyperparameters": as_dict(hyperparameters),
        "auto": reasons,
        "n_train": len(train),
        "n_valid": len(valid),
        "n_tokens": sum(n_tokens[: trainer.state.global_step]),
        "n_steps": len(steps),
        **best,
        "train_loss": sum(last_epoch) / len(last_epoch),
        "valid_loss": None,
        **measure_valid(model.get_base_model(), valid_rows),
    }
    save_model(model, tokenizer, run)
    return {**result, "duration_s": round(time.monotonic() - start, 3)}


def main(argv: list[str]) -> int:
    return launch.main(argv, command="sft", work=tried(sft))
