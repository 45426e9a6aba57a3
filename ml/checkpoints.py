"""What every method of training does alike: whole checkpoints, stopping between two steps, the best one, the model at the end."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback

from ml.rundir import RunDirectory, write_json

COMPLETE = "complete"
N_CHECKPOINTS = 6
N_KEPT = 3  # unless config.json says otherwise
# What only a resume reads: it goes on from the last checkpoint, so the others can do without.
OF_RESUME = ("optimizer*", "scheduler.pt", "scaler.pt", "rng_state*", "training_args.bin")
Measured = list[tuple[int, float]]


def best_step(measured: Sequence[tuple[int, float]]) -> int | None:
    """The step with the lowest validation loss, the earliest of equal ones; None where nothing was measured."""
    return min(measured, key=lambda each: (each[1], each[0]))[0] if measured else None


def stopping_step(measured: Sequence[tuple[int, float]], *, patience: int) -> int | None:
    """The first step at which `patience` checkpoints in a row were no better than the best before; None: there is none.

    With patience 2 and the losses 3, 2, 2.1, 2, 1 it is the fourth step: neither 2.1 nor 2 is less than 2.
    """
    best, n_worse = float("inf"), 0
    for step, loss in measured:
        best, n_worse = (loss, 0) if loss < best else (best, n_worse + 1)
        if patience and n_worse >= patience:
            return step
    return None


class Checkpoints(TrainerCallback):
    """Marks whole checkpoints, tells about them, keeps a few, and stops the run between two steps.

    `measured` holds step and validation loss of every checkpoint, over a resume too. With a `patience` above 0 they decide
    when the run ends and which weights become the model.
    """

    def __init__(self, run: RunDirectory, *, patience: int = 0) -> None:
        self.run = run
        self.patience = patience
        self.measured: Measured = []
        self.latest: dict[str, Any] = {}
        if checkpoint := last_checkpoint(run.path / "checkpoints"):
            self.measured = [(step, loss) for step, loss in read_facts(checkpoint).get("measured", [])]

    @property
    def stops_at(self) -> int | None:
        """The step after which the run is over, for want of progress."""
        return stopping_step(self.measured, patience=self.patience)

    def note(self, control: Any, *, step: int, figures: dict[str, Any]) -> None:
        """Take up what was measured at a checkpoint, before it is saved; every process has the same figures."""
        self.latest = {"step": step, **figures}
        if "valid_loss" in figures:
            self.measured.append((step, figures["valid_loss"]))
            if self.stops_at is not None:
                control.should_training_stop = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if any_process(self.run.stop.is_requested):
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        PartialState().wait_for_everyone()  # each process writes a part
        if not self.run.is_main:
            return
        step = state.global_step
        facts = self.latest if self.latest.get("step") == step else {"step": step}
        folder = Path(args.output_dir) / f"checkpoint-{step}"
        size_bytes = sum(path.stat().st_size for path in weights_of(folder))
        write_json(folder / COMPLETE, {**facts, "measured": self.measured})
        n_kept = int(self.run.config.get("kept_checkpoints") or N_KEPT)
        kept = keep_checkpoints(folder.parent, best=best_step(self.measured), n_kept=n_kept)
        self.run.events.emit("checkpoint", **facts, size_bytes=size_bytes, kept=kept)

    def take_best(self, trainer: Trainer) -> dict[str, Any]:
        """Put the best checkpoint's weights into the trained model, where that is wanted; all processes call it.

        Returns what the result says of it, {} where the last weights stay for want of a choice.
        """
        best = best_step(self.measured) if self.patience else None
        if best is None:
            return {}
        last = trainer.state.global_step
        facts = {"best_step": best, "last_step": last, "is_stopped_early": self.stops_at is not None}
        if best != last:
            trainer.state.best_model_checkpoint = str(Path(trainer.args.output_dir) / f"checkpoint-{best}")
            trainer._load_best_model()
        if best != last or facts["is_stopped_early"]:
            self.run.events.emit("best_kept", **facts, valid_loss=dict(self.measured)[best])
        return facts


def any_process(value: bool) -> bool:
    """Whether it is true in any of the processes that train together: they must all do the same."""
    state = PartialState()
    if state.num_processes == 1:
        return value
    return bool(reduce(torch.tensor([float(value)], device=state.device), reduction="sum").item())


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def whole_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints that were written whole, oldest first."""
    return sorted((path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")), key=step_of)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written whole; remains of a killed process are deleted."""
    whole = whole_checkpoints(folder)
    for path in folder.glob("checkpoint-*"):
        if path not in whole:
            shutil.rmtree(path, ignore_errors=True)  # another process may be at it
    return whole[-1] if whole else None


def read_facts(checkpoint: Path) -> dict[str, Any]:
    """What is written in a whole checkpoint: `step`, what was measured there, and `measured` of all before it."""
    facts: dict[str, Any] = json.loads((checkpoint / COMPLETE).read_text() or "{}")
    return facts


def weights_of(checkpoint: Path) -> list[Path]:
    """The files of a checkpoint that a model is made of."""
    return sorted(checkpoint.glob("*.safetensors"))


def keep_checkpoints(folder: Path, *, best: int | None, n_kept: int) -> list[int]:
    """Delete all but the last, the best and the newest others, `n_kept` in all; returns the steps that stay, oldest first.

    What only a resume needs is deleted from all but the last.
    """
    whole = whole_checkpoints(folder)
    wanted = {step_of(path) for path in whole[-1:]} | ({best} if best is not None else set())
    for path in reversed(whole):
        if len(wanted) < n_kept:
            wanted.add(step_of(path))
    for path in whole:
        if step_of(path) not in wanted:
            shutil.rmtree(path, ignore_errors=True)
        elif path != whole[-1]:
            for pattern in OF_RESUME:
                for part in path.glob(pattern):
                    shutil.rmtree(part) if part.is_dir() else part.unlink()
    return [step_of(path) for path in whole if step_of(path) in wanted]


def save_model(model: Any, tokenizer: PreTrainedTokenizerBase, run: RunDirectory) -> None:
    """Write adapter/ and the merged bf16 model/, each whole or not at all. The model is merged in place."""
    for name in ("adapter", "model"):
        temporary, final = run.path / f"{name}.tmp", run.path / name
        shutil.rmtree(temporary, ignore_errors=True)
        if name == "adapter":
            model.save_pretrained(temporary)
        else:
            merged = model.merge_and_unload().to(torch.bfloat16)
            merged.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
