"""A small process in the trainer's place (docs/run-directory.md): it goes through its epochs at once and learns nothing.

While there is a file `hold` in Emend's folder, it waits in the middle.

usage: openai_trainer.py preflight|sft|dpo RUN_DIR
"""

import itertools
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

AUTO = {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 1.0}


def main(command: str, run_dir: Path) -> None:
    asked = json.loads((run_dir / "config.json").read_text())["hyperparameters"]
    hyperparameters = AUTO | {name: asked[name] for name in AUTO if name in asked}
    n_steps = hyperparameters["n_epochs"]
    if command == "preflight":
        (run_dir / "preflight.json").write_text(json.dumps({"problems": [], "warnings": [], "n_steps": n_steps}))
        return
    numbers = itertools.count(1)
    events = (run_dir / "events.jsonl").open("a", buffering=1)

    def emit(code: str, **data: object) -> None:
        at = datetime.now(UTC).isoformat()
        events.write(json.dumps({"number": next(numbers), "at": at, "code": code, "data": data}) + "\n")

    emit("started", n_steps=n_steps, hyperparameters=hyperparameters)
    for step in range(1, n_steps + 1):
        emit(
            "metrics",
            step=step,
            n_steps=n_steps,
            epoch=step,
            loss=3.0 / step,
            token_accuracy=0.5,
            sequence_accuracy=0.25,
            n_tokens=40 * step,
            n_examples=4 * step,
            remaining_s=n_steps - step,
        )
        while step == max(1, n_steps // 2) and (run_dir.parents[1] / "hold").exists():
            time.sleep(0.02)
    (run_dir / "model").mkdir()
    (run_dir / "model" / "config.json").write_text("{}")
    emit("finished")
    result = {"status": "succeeded", "hyperparameters": hyperparameters, "n_tokens": 40 * n_steps, "n_steps": n_steps}
    (run_dir / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
