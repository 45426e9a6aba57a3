"""Makes a checkpoint of a run a model of its own: `python -m ml merge RUN_DIR`, docs/run-directory.md says what goes in."""

import shutil
from pathlib import Path

import torch

from ml import rundir
from ml.chat_template import load_tokenizer
from ml.errors import DataError
from ml.plan import Row
from ml.rundir import RunDirectory
from ml.tuning import merged


def merge(run: RunDirectory) -> Row:
    """Write the merged bf16 model/ with tokenizer and chat template, whole or not at all."""
    torch.set_num_threads(int(run.config.get("threads") or 1))
    base, checkpoint = Path(run.config["base"]), Path(run.config["checkpoint"])
    if not (checkpoint / "complete").is_file():
        raise DataError(f"There is no whole checkpoint {checkpoint.name}.")
    if not (base / "config.json").is_file():
        raise DataError("The model that the run began with is no longer there.")
    temporary, final = run.path / "model.tmp", run.path / "model"
    shutil.rmtree(temporary, ignore_errors=True)
    merged(base, checkpoint).save_pretrained(temporary)
    load_tokenizer(base).save_pretrained(temporary)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    return {"size_bytes": sum(path.stat().st_size for path in final.iterdir())}


def main(argv: list[str]) -> int:
    return rundir.run(argv, command="merge", work=merge)
