"""A small process in the trainer's place: it keeps the contract of docs/run-directory.md and learns nothing.

usage: standin.py MODE preflight|sft|dpo|merge|evaluate RUN_DIR, where MODE is one of succeed, checkpoints, data, crash, wait
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

AT = "2026-01-02T03:04:05.678+00:00"


def emit(run_dir: Path, code: str, **data: object) -> None:
    path = run_dir / "events.jsonl"
    number = len(path.read_text().splitlines()) + 1 if path.exists() else 1
    with path.open("a") as file:
        file.write(json.dumps({"number": number, "at": AT, "code": code, "data": data}) + "\n")


def finish(run_dir: Path, **result: object) -> None:
    (run_dir / "result.json").write_text(json.dumps({"status": "succeeded", **result}))


def look(run_dir: Path, mode: str) -> int:
    if mode == "wait":
        wait()
    problems = [{"code": "nothing_learnt", "kind": "data", "n": 1}] if mode == "data" else []
    numbers = {"n_train": 1, "n_valid": 0, "n_steps": 4, "n_tokens": 50, "n_learnt": 10, "n_tokens_seen": 200}
    report = {} if problems else {**numbers, "n_tokens_general": 100, "tokens_per_s": 3.0}
    (run_dir / "preflight.json").write_text(json.dumps({"problems": problems, "warnings": [], **report}))
    return 0


def train(run_dir: Path, mode: str) -> int:
    if (run_dir / "events.jsonl").exists():
        emit(run_dir, "resumed", step=2)
    else:
        emit(
            run_dir,
            "started",
            n_train=1,
            n_valid=0,
            n_steps=4,
            hyperparameters={"n_epochs": 2},
            auto={"n_epochs": "two"},
        )
    for step in (1, 2):
        emit(run_dir, "metrics", step=step, n_steps=4, loss=3.0 - step, remaining_s=9, tokens_per_s=80, epoch=1)
        if mode == "checkpoints":
            keep(run_dir, step, loss=3.0 - step)
    if mode == "wait":
        wait()
    (run_dir / "model").mkdir()
    (run_dir / "model" / "config.json").write_text("{}")
    emit(run_dir, "finished")
    finish(run_dir, n_train=1, train_loss=1.0, duration_s=0.1)
    return 0


def keep(run_dir: Path, step: int, *, loss: float) -> None:
    folder = run_dir / "checkpoints" / f"checkpoint-{step}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("complete", "adapter_model.safetensors", "optimizer.pt"):
        (folder / name).write_text("")
    kept = sorted(int(path.name.rpartition("-")[2]) for path in folder.parent.iterdir())
    facts = {"loss": loss, "valid_loss": loss + 0.5, "valid_token_accuracy": 0.25 * step, "size_bytes": 2_000_000}
    emit(run_dir, "checkpoint", step=step, kept=kept, **facts)


def merge(run_dir: Path) -> int:
    (run_dir / "model").mkdir(exist_ok=True)
    (run_dir / "model" / "config.json").write_text("{}")
    finish(run_dir)
    return 0


def evaluate(run_dir: Path, mode: str) -> int:
    tests = [json.loads(line) for line in (run_dir / "tests.jsonl").read_text().splitlines()]
    has_probes = json.loads((run_dir / "config.json").read_text())["probes"]
    is_tuned = "runs" in json.loads((run_dir / "config.json").read_text())["model"]
    emit(run_dir, "started", done=0, total=len(tests))
    if mode == "wait":
        wait()
    lines = []
    for test in tests:
        for probe in (None, *(range(len(test["probes"])) if has_probes else ())):
            suite = "regression" if probe is None else "probe"
            lines.append({"id": test["id"], "suite": suite, "probe": probe, "answer": "Blue.", "right": is_tuned})
    (run_dir / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    share = float(is_tuned)
    emit(run_dir, "progress", done=len(lines), total=len(lines), remaining_s=0)
    finish(
        run_dir,
        metrics={
            "n_cases": len(tests),
            "efficacy": share,
            "n_probes": sum(line["probe"] is not None for line in lines),
            "generalisation": share,
            "stop_rate": 1.0,
            "held_out_loss": None,
            "unrelated_loss": 2.02 if is_tuned else 2.0,
            "n_unrelated": 3,
        },
    )
    return 0


def wait() -> None:
    """Do not listen to SIGTERM; only the death of the parent ends it, so that no test run leaves it behind."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent_pid = os.getppid()
    while os.getppid() == parent_pid:
        time.sleep(0.5)


def main() -> int:
    mode, command, run_dir = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if mode == "crash":
        sys.exit("Traceback: nothing works")
    if command == "preflight":
        return look(run_dir, mode)
    if mode == "data":
        error = {"kind": "data", "message": "Row 3 is empty."}
        (run_dir / "result.json").write_text(json.dumps({"status": "failed", "error": error}))
        return 2
    if command == "merge":
        return merge(run_dir)
    (run_dir / "command").write_text(command)
    return train(run_dir, mode) if command in ("sft", "dpo") else evaluate(run_dir, mode)


if __name__ == "__main__":
    sys.exit(main())
