"""The arguments of TRL's trainers that are the same for every method."""

from typing import Any

from ml.checkpoints import N_CHECKPOINTS
from ml.device import Device
from ml.rundir import RunDirectory


def shared_arguments(
    run: RunDirectory, *, learning_rate: float, n_steps: int, warmup_steps: int, device: Device, autocast: bool
) -> dict[str, Any]:
    """Keywords of SFTConfig and DPOConfig: one pass over rows that are in order already, a checkpoint every sixth of it.

    Which checkpoints stay is decided in ml/checkpoints.py, not by TRL.
    """
    return {
        "output_dir": str(run.path / "checkpoints"),
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",
        "learning_rate": learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": max(1, warmup_steps),
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "logging_steps": 1,
        "save_steps": save_every(n_steps),
        "save_total_limit": None,
        "seed": run.config["seed"],
        "use_cpu": device.name == "cpu",
        "bf16": autocast,
        "remove_unused_columns": False,
        "max_length": None,
        "report_to": "none",
        "disable_tqdm": True,
    }


def save_every(n_steps: int) -> int:
    return max(1, -(-n_steps // N_CHECKPOINTS))


def is_checkpoint(step: int, *, n_steps: int, save_steps: int) -> bool:
    """Whether a checkpoint is saved after this step by plan."""
    return step % save_steps == 0 or step == n_steps
