"""Where and in which precision a model computes."""

import ctypes
import json
import time
from dataclasses import dataclass

import torch

from ml.errors import DataError
from ml.rundir import RunDirectory, write_json

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# bf16 has to be this much faster than fp32 on a CPU before its rounding is worth it.
WORTHWHILE = 1.25
# Names of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


@dataclass(frozen=True)
class Device:
    name: str  # "cuda" or "cpu"
    dtype: torch.dtype


def pick_device(*, threads: int | None, is_measured: bool = True) -> Device:
    """The GPU in bf16 if there is one, else the CPU in whichever precision it multiplies faster, where that is measured, else fp32.

    Processors with AVX512-BF16 or AMX may be twice as fast in bf16, or twice as slow under some hypervisors.
    """
    if torch.cuda.is_available():
        return Device(name="cuda", dtype=torch.bfloat16)
    if threads:
        torch.set_num_threads(threads)
    return Device(name="cpu", dtype=faster_dtype() if is_measured else torch.float32)


def training_device(run: RunDirectory, *, threads: int | None) -> Device:
    """As `pick_device`, with one precision for all of a run: of several processes, and of those that resume it.

    That of config.json ("float32" or "bfloat16"), else that with which the run began, else the faster one. Raises DataError.
    """
    device = pick_device(threads=threads, is_measured=False)
    if device.name != "cpu":
        return device
    kept = run.path / "precision.json"
    wanted = run.config.get("precision") or (json.loads(kept.read_text()).get("precision") if kept.exists() else None)
    if wanted is None:
        wanted = str(faster_dtype()).removeprefix("torch.")
        write_json(kept, {"precision": wanted})
    if wanted not in PRECISIONS:
        raise DataError(f"There is no precision {wanted!r}.")
    return Device(name="cpu", dtype=PRECISIONS[wanted])


def model_dtype(device: Device) -> torch.dtype:
    """In which precision the frozen weights are held: bf16 on a GPU; on a CPU fp32, which training multiplies in."""
    return torch.bfloat16 if device.name == "cuda" else torch.float32


def keep_freed_memory() -> None:
    """Let the allocator keep what is freed instead of giving it back to the system, where it can (glibc).

    A training step frees and wants hundreds of megabytes; getting them anew as zeroed pages takes up to a third of it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def faster_dtype() -> torch.dtype:
    """bf16 where a matrix product of a usual size is clearly faster in it than in fp32; the best of several tries."""
    fp32, bf16 = _best_time_s(torch.float32), _best_time_s(torch.bfloat16)
    return torch.bfloat16 if bf16 * WORTHWHILE < fp32 else torch.float32


def _best_time_s(dtype: torch.dtype) -> float:
    tokens, weight = torch.ones(256, 576, dtype=dtype), torch.ones(1536, 576, dtype=dtype)
    times = []
    for _ in range(8):
        start = time.perf_counter()
        torch.nn.functional.linear(tokens, weight)
        times.append(time.perf_counter() - start)
    return min(times)


# Dense bf16 FLOP/s of one GPU by a piece of its name, as its maker states it.
PEAK_FLOPS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "4090": 165e12,
}


def peak_flops(device: Device) -> float | None:
    """What the GPU could multiply at best in bf16, None for a processor or a GPU that is not listed."""
    if device.name != "cuda":
        return None
    name = torch.cuda.get_device_name()
    return next((flops for part, flops in PEAK_FLOPS.items() if part in name), None)


def flops_per_token(
    n_parameters: int, *, n_layers: int, width: int, mean_length: float, is_frozen: bool = False
) -> float:
    """The floating point operations that training on one token takes, by the rule of PaLM (arXiv 2204.02311, appendix B).

    6N for `n_parameters` that multiply (all but the input embedding): 2N forward, 2N for the gradient of the activations, 2N for
    that of the weights, which frozen weights do not have (4N). Attention adds 12 L H Q T; T is the mean length of a sequence,
    `width` H Q. Nothing is taken off for the causal half.
    """
    return (4 if is_frozen else 6) * n_parameters + 12 * n_layers * width * mean_length
