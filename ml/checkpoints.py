"""What every method of training does alike: whole checkpoints, stopping between two steps, the model at the end."""

import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from transformers import PreTrainedTokenizerBase, TrainerCallback

from ml.rundir import RunDirectory

COMPLETE = "complete"
N_CHECKPOINTS = 6


class Checkpoints(TrainerCallback):
    """Marks whole checkpoints, tells about them and stops the run between two steps."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if any_process(self.run.stop.is_requested):
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        PartialState().wait_for_everyone()  # each process writes a part
        if self.run.is_main:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()
        self.run.events.emit("checkpoint", step=state.global_step)


def any_process(value: bool) -> bool:
    """Whether it is true in any of the processes that train together: they must all do the same."""
    state = PartialState()
    if state.num_processes == 1:
        return value
    return bool(reduce(torch.tensor([float(value)], device=state.device), reduction="sum").item())


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written whole; remains of a killed process are deleted."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / COMPLETE).exists():
            whole.append(path)
        else:
            shutil.rmtree(path, ignore_errors=True)  # another process may be at it
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


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
