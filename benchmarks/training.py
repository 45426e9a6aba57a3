"""Emend's recipe for many rows beside TRL's SFTTrainer as its command line configures it: trained tokens a second, peak
memory and validation loss, on the same rows, base model and number of steps, each in a process of its own.

EMEND_BENCH_DATA names a JSONL file of `prompt` and `ideal_response`, or of `messages`; without it the answers that come
with Emend are used. EMEND_BENCH_MODEL names a model folder in place of the bundled one, EMEND_BENCH_STEPS the number of
steps, EMEND_ML_THREADS the threads. EMEND_BENCH_FP32=1 also runs TRL in fp32, which its command line does not choose.
"""

import gc
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from ml.data import Message, encode_example
from ml.device import Device
from ml.generate import load_model
from ml.prepare import prepare
from ml.reporting import measure_valid

ROOT = Path(__file__).resolve().parents[1]
OWN_DATA = (ROOT / "ml/resources/unrelated.jsonl", ROOT / "deployment/demo/demonstrations.jsonl")
BATCH_SIZE, LORA_RANK, LEARNING_RATE = 8, 16, 5e-4
N_STEPS = int(os.environ.get("EMEND_BENCH_STEPS") or 16)
N_VALID = 32
N_THREADS = int(os.environ.get("EMEND_ML_THREADS") or os.cpu_count() or 1)


@dataclass(frozen=True)
class Measured:
    tokens_per_s: float
    peak_mb: float
    valid_loss: float


def find_base(folder: Path) -> Path:
    """The model folder to train: the named one, the one that was unpacked for this working copy, or a new one."""
    if named := os.environ.get("EMEND_BENCH_MODEL"):
        return Path(named)
    models = Path(os.environ.get("EMEND_VAR_DIR") or ROOT / "var") / "models"
    if unpacked := sorted(models.glob("*/emend.json")):
        return unpacked[0].parent
    prepare(out=folder / "base")
    return folder / "base"


def read_conversations() -> list[list[Message]]:
    named = os.environ.get("EMEND_BENCH_DATA")
    conversations = []
    for path in [Path(named)] if named else OWN_DATA:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            prompt, answer = {"role": "user", "content": row.get("prompt")}, row.get("ideal_response")
            conversations.append(row.get("messages") or [prompt, {"role": "assistant", "content": answer}])
    random.Random(0).shuffle(conversations)
    return conversations


def run_child(command: list[str], **environment: str) -> tuple[float, str]:
    """Run a command to its end; peak memory of it alone in MB, and what it wrote. Raises when it fails."""
    env = {**os.environ, "OMP_NUM_THREADS": str(N_THREADS), "HF_HUB_OFFLINE": "1", **environment}
    with tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = log.read()
    if child.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{text[-3000:]}")
    return usage.ru_maxrss / 1024, text


def run_trl(
    folder: Path, base: Path, train: list[list[Message]], *, arguments: tuple[str, ...] = ()
) -> tuple[float, float]:
    """Train by TRL's command line; seconds of training and peak memory in MB."""
    (folder / "data").mkdir(parents=True)
    rows = ({"prompt": conversation[:-1], "completion": conversation[-1:]} for conversation in train)
    (folder / "data" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {
        "model_name_or_path": base,
        "dataset_name": folder / "data",
        "output_dir": folder / "adapter",
        "lora_r": LORA_RANK,
        "learning_rate": LEARNING_RATE,
        "per_device_train_batch_size": BATCH_SIZE,
        "num_train_epochs": 1,
        "report_to": "none",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    place = [] if torch.cuda.is_available() else ["--use_cpu"]  # without it the command line refuses to start
    peak_mb, text = run_child([sys.executable, "-m", "trl.scripts.sft", "--use_peft", *words, *place, *arguments])
    found = re.search(r"'train_runtime': '?([\d.]+)", text)
    if found is None:
        sys.exit(f"TRL did not say how long it trained:\n{text[-3000:]}")
    return float(found[1]), peak_mb


def run_emend(folder: Path, base: Path, train: list[list[Message]]) -> tuple[float, float]:
    """Train by `python -m ml sft`; seconds of training and peak memory in MB."""
    folder.mkdir()
    hyperparameters = {
        "n_epochs": 1,
        "batch_size": BATCH_SIZE,
        "lora_rank": LORA_RANK,
        "learning_rate": LEARNING_RATE,
    }
    config = {
        "method": "sft",
        "recipe": "many_rows",
        "base": str(base),
        "seed": 0,
        "threads": N_THREADS,
        "smoke_test": False,
    }
    (folder / "config.json").write_text(json.dumps(config | {"hyperparameters": hyperparameters}))
    rows: list[dict[str, Any]] = [
        {"id": str(i), "kind": "demonstration", "messages": row} for i, row in enumerate(train)
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    peak_mb, _ = run_child([sys.executable, "-m", "ml", "sft", str(folder)])
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    last = [event["data"] for event in events if event["code"] == "metrics"][-1]
    return last["n_tokens"] / last["tokens_per_s"], peak_mb


def valid_loss(base: Path, adapter: Path, rows: list[list[Message]]) -> float:
    """Mean loss per answer token of held-out rows, measured alike for everybody."""
    model, tokenizer = load_model(base, device=Device("cpu", torch.float32))
    model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    return measure_valid(model, [encode_example(tokenizer, row) for row in rows])["valid_loss"]


def main() -> None:
    conversations = read_conversations()
    n_rows = BATCH_SIZE * min(N_STEPS, (len(conversations) - 8) // BATCH_SIZE)
    train, valid = conversations[:n_rows], conversations[n_rows : n_rows + N_VALID]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = find_base(folder)
        _, tokenizer = load_model(base, device=Device("cpu", torch.float32))
        n_tokens = sum(len(encode_example(tokenizer, row).ids) for row in train)
        gc.collect()
        runs = {"emend": run_emend, "trl": run_trl}
        measured: dict[str, Measured] = {}
        if os.environ.get("EMEND_BENCH_FP32"):
            runs["trl_fp32"] = lambda *args: run_trl(*args, arguments=("--bf16", "False"))
        for who, run in runs.items():
            seconds, peak_mb = run(folder / who, base, train)
            loss = valid_loss(base, folder / who / "adapter", valid)
            measured[who] = Measured(tokens_per_s=n_tokens / seconds, peak_mb=peak_mb, valid_loss=loss)
            print(
                f"{who}: {measured[who].tokens_per_s:.1f} trained tokens/s, peak {peak_mb:.0f} MB, "
                f"validation loss {loss:.4f}",
                file=sys.stderr,
            )
    ours = measured.pop("emend")
    figures: dict[str, float] = {"n_steps": n_rows // BATCH_SIZE, "n_tokens": n_tokens, "n_threads": N_THREADS}
    figures |= {f"emend_{field}": round(value, 4) for field, value in vars(ours).items()}
    for who, theirs in measured.items():
        figures |= {f"{who}_{field}": round(value, 4) for field, value in vars(theirs).items()}
        figures |= {
            f"{who}_{field}_ratio": round(value / getattr(theirs, field), 3) for field, value in vars(ours).items()
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
