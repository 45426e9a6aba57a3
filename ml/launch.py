"""Several processes for one run: `accelerate launch` in place of one process, with the same run directory and exit codes.

`launch` of config.json says how many `processes`, and whether the model is spread over them (`fsdp`) or each has a whole
one. The process that was started stays as the parent of the launcher: it passes on the request to stop, and dies with
its worker.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from ml import rundir
from ml.rundir import EXIT_DATA, EXIT_FAILED, EXIT_STOPPED

SETTINGS = "accelerate.json"
LAUNCH = (sys.executable, "-m", "accelerate.commands.launch")
POLL_S = 0.2
# How long the processes may take to write a checkpoint once they are asked to stop.
GRACE_S = 30.0


def is_wanted(path: Path) -> bool:
    """Whether the run in this directory asks for several processes and this is not one of them."""
    if rundir.is_launched():
        return False
    try:
        config = json.loads((path / "config.json").read_text())
        return int((config.get("launch") or {}).get("processes", 1)) > 1
    except (OSError, ValueError, TypeError, AttributeError):
        return False  # the one process says what is wrong


def accelerate_settings(launch: dict[str, Any]) -> dict[str, Any]:
    """The settings file of `accelerate launch` for one machine.

    With `fsdp` the weights, gradients and optimizer states are split over the processes layer by layer (FSDP2); without it
    each process holds all of them and gradients are averaged.
    """
    settings: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "FSDP" if launch.get("fsdp") else "MULTI_GPU",  # on processors alone this is gloo
        "num_processes": int(launch["processes"]),
        "num_machines": 1,
        "machine_rank": 0,
        "mixed_precision": "no",  # the recipe decides
        "rdzv_backend": "c10d",
        "same_network": True,
        "main_process_port": 0,
        "main_training_function": "main",
        "use_cpu": False,
    }
    if launch.get("fsdp"):
        settings["fsdp_config"] = {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_reshard_after_forward": True,
            "fsdp_state_dict_type": "FULL_STATE_DICT",
            "fsdp_cpu_ram_efficient_loading": True,
            "fsdp_offload_params": False,
            "fsdp_activation_checkpointing": bool(launch.get("activation_checkpointing")),
        }
    return settings


def run(argv: list[str], *, command: str) -> int:
    """Run `python -m ml COMMAND RUN_DIR` in several processes and return the exit code of docs/run-directory.md."""
    path = Path(argv[0]).absolute()
    config = json.loads((path / "config.json").read_text())
    if earlier := _result(path):
        if earlier["status"] == "succeeded":
            return 0
        (path / "result.json").unlink()
    launch = config["launch"]
    rundir.write_json(path / SETTINGS, accelerate_settings(launch))
    threads = max(1, int(config.get("threads") or os.cpu_count() or 1) // int(launch["processes"]))
    child = subprocess.Popen(
        [*LAUNCH, "--config_file", str(path / SETTINGS), "--module", "ml", command, str(path)],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), rundir.SUPERVISOR: str(os.getpid())},
    )
    is_stopped = _wait(child, parent_pid=config.get("parent_pid"))
    result = _result(path)
    if result is None:
        return EXIT_STOPPED if is_stopped else EXIT_FAILED
    if result["status"] == "succeeded":
        return 0
    return EXIT_DATA if result["error"]["kind"] == "data" else EXIT_FAILED


def _wait(child: subprocess.Popen[bytes], *, parent_pid: int | None) -> bool:
    """Wait for the launcher; whether it was asked to stop, by SIGTERM or by the death of the parent."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    before = signal.signal(signal.SIGTERM, ask)
    try:
        while not asked and (parent_pid is None or os.getppid() == parent_pid):
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(POLL_S)
                return False
        asked = True
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
        child.kill()
        child.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    return asked


def _result(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        result: dict[str, Any] = json.loads((path / "result.json").read_text())
        return result
    return None


def main(argv: list[str], *, command: str, work: Callable[[rundir.RunDirectory], dict[str, Any]]) -> int:
    """As rundir.run, in several processes where the run asks for them."""
    if len(argv) == 1 and is_wanted(Path(argv[0])):
        return run(argv, command=command)
    return rundir.run(argv, command=command, work=work)
