"""What a run needs of the machine, and what the machine has: memory, disk, speed. Estimates, to be told as such."""

import json
import shutil
import struct
import time
from dataclasses import dataclass
from math import prod
from pathlib import Path

import psutil
import torch

from ml.device import Device
from ml.errors import PackageError

# What Python and the libraries take before any weight is read.
PROGRAM_BYTES = 700 * 1024**2
# Adam keeps two moments of four bytes beside weight and gradient.
BYTES_PER_TRAINED = 16
CHECKPOINTS_KEPT = 2
# A backward pass keeps about so many vectors of the hidden size and of the inner size for each token and layer.
HIDDEN_KEPT, INNER_KEPT = 12, 4
# Logits of learnt tokens, their softmax and its gradient.
LOGITS_KEPT = 3
MEASURE_S = 2.0
# The share of a bare matrix product's speed that a training step reaches, as measured on processors.
REACHED = 0.35


@dataclass(frozen=True)
class Weights:
    """What the files of a model say without being loaded."""

    n_parameters: int
    n_linear_ends: int  # inputs and outputs of all linear layers: LoRA of rank r adds r times as many parameters
    hidden_size: int
    inner_size: int
    n_layers: int
    vocabulary_size: int


def read_weights(folder: Path) -> Weights:
    """Read configuration and headers. Raises PackageError when weights or tokenizer are missing or cut short."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PackageError(f"The base model is not whole: {folder.name}/config.json cannot be read.") from error
    if not (folder / "tokenizer_config.json").is_file():
        raise PackageError(f"The base model has no tokenizer: {folder.name}/tokenizer_config.json is missing.")
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise PackageError(f"The weights of the base model are missing: {folder.name} has no safetensors file.")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if missing := sorted(named - {path.name for path in paths}):
            raise PackageError(f"The weights of the base model are not whole: {missing[0]} is missing.")
    shapes = [shape for path in paths for shape in _shapes(path)]
    hidden = int(config.get("hidden_size") or config.get("n_embd") or 0)
    vocabulary = int(config.get("vocab_size") or 0)
    linear = [shape for shape in shapes if len(shape) == 2 and vocabulary not in shape]
    return Weights(
        n_parameters=sum(prod(shape) for shape in shapes),
        n_linear_ends=sum(sum(shape) for shape in linear),
        hidden_size=hidden,
        inner_size=int(config.get("intermediate_size") or 4 * hidden),
        n_layers=int(config.get("num_hidden_layers") or config.get("n_layer") or 0),
        vocabulary_size=vocabulary,
    )


def _shapes(path: Path) -> list[list[int]]:
    """The shapes of a safetensors file: eight bytes of length, a JSON header of that length, the data."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
            entries = [entry for name, entry in header.items() if name != "__metadata__"]
            end = max(entry["data_offsets"][1] for entry in entries)
            if path.stat().st_size < 8 + length + end:
                raise ValueError("cut short")
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise PackageError(f"The weights of the base model cannot be read: {path.name} is not whole.") from error
    return [entry["shape"] for entry in entries]


@dataclass(frozen=True)
class Need:
    """Bytes of memory (`least` certainly, `likely` about) and of disk."""

    least_memory: int
    likely_memory: int
    disk: int


def estimate_need(
    weights: Weights, *, device: Device, is_full: bool, lora_rank: int, step_tokens: int, step_learnt: int
) -> Need:
    """What one process needs; `step_tokens` are those of the largest step, `step_learnt` the learnt ones among them."""
    n_trained = weights.n_parameters if is_full else lora_rank * weights.n_linear_ends
    frozen = weights.n_parameters * (2 if device.name == "cuda" else 4)
    least = frozen + n_trained * BYTES_PER_TRAINED
    width = 2 if device.name == "cuda" else 4
    kept = weights.n_layers * (HIDDEN_KEPT * weights.hidden_size + INNER_KEPT * weights.inner_size)
    activations = step_tokens * kept * width + step_learnt * weights.vocabulary_size * LOGITS_KEPT * 4
    merged = 2 * weights.n_parameters  # the model that is written, in bf16
    written = merged + n_trained * 4 + CHECKPOINTS_KEPT * n_trained * 12
    return Need(least_memory=least, likely_memory=least + activations + PROGRAM_BYTES, disk=written)


def free_memory(device: Device) -> int:
    """Bytes that a new process may take: of the GPU, else of the system and of the control group, whichever is less."""
    if device.name == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    free = int(psutil.virtual_memory().available)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    try:
        return min(free, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):  # no control group, or one without a limit
        return free


def free_disk(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def measure_tokens_per_s(weights: Weights, *, device: Device, is_full: bool) -> float:
    """A rough guess from two seconds of matrix products: 6 operations a parameter and token, 4 where it is frozen."""
    size = 4096 if device.name == "cuda" else 768
    left = torch.ones(256, size, dtype=device.dtype, device=device.name)
    right = torch.ones(size, size, dtype=device.dtype, device=device.name)
    n_done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < MEASURE_S:
        torch.nn.functional.linear(left, right).sum().item()
        n_done += 1
    operations_per_s = n_done * 2 * left.shape[0] * size * size / elapsed
    return REACHED * operations_per_s / ((6 if is_full else 4) * weights.n_parameters)
