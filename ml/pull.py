"""Brings a base model to this machine and looks into it: `python -m ml pull RUN_DIR`.

config.json of the directory names the `folder` and, for a model of a Hub, its `repository`. A download goes on where an
earlier one ended and gets its folder's name only when it is whole; size.json says how much there is to download.
"""

import errno
import fnmatch
import json
import os
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from ml.errors import DataError, DiskError, MlError
from ml.inspection import Facts, inspect

# Weights, tokenizer, configuration and card: nothing that could run.
PATTERNS = [
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "*.jinja",
    "merges.txt",
    "tokenizer.model",
    "README.md",
]


def pull(run_dir: Path) -> Facts:
    """The facts of the model, which then lies in its folder. Raises MlError."""
    config = json.loads((run_dir / "config.json").read_text(encoding="utf-8"))
    folder, repository = Path(config["folder"]), config.get("repository")
    if not repository:
        return inspect(folder)
    partial = Path(config["partial"])
    partial.mkdir(parents=True, exist_ok=True)
    try:
        _download(repository, partial, run_dir)
    except GatedRepoError as error:
        raise DataError(f"{repository} asks for its terms to be accepted, and for HF_TOKEN on this machine.") from error
    except RepositoryNotFoundError as error:
        raise DataError(f"The Hub has no model {repository}, or it is private.") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, ConnectionError) as error:
        raise DataError("The Hub cannot be reached from this machine. What was downloaded is kept.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskError("The disk became full. What was downloaded is kept.") from error
        raise DataError("The Hub cannot be reached from this machine. What was downloaded is kept.") from error
    facts = inspect(partial)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(folder)
    return facts


def _download(repository: str, partial: Path, run_dir: Path) -> None:
    info = huggingface_hub.HfApi().model_info(repository, files_metadata=True)
    files = [file for file in info.siblings or [] if _is_wanted(file.rfilename)]
    if not any(file.rfilename.endswith(".safetensors") for file in files):
        raise DataError(f"{repository} has no weights as safetensors; others are not downloaded.")
    _write(run_dir / "size.json", {"size_bytes": sum(file.size or 0 for file in files)})
    huggingface_hub.snapshot_download(
        repository, revision=info.sha, local_dir=partial, allow_patterns=PATTERNS, ignore_patterns=["*/*"]
    )


def _is_wanted(name: str) -> bool:
    return "/" not in name and any(fnmatch.fnmatch(name, pattern) for pattern in PATTERNS)


def _write(path: Path, value: Any) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    temporary.replace(path)


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print("usage: python -m ml pull RUN_DIR", file=sys.stderr)
        return 64
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    run_dir = Path(argv[0])
    try:
        _write(run_dir / "result.json", {"status": "succeeded", "facts": pull(run_dir)})
    except MlError as error:
        _write(run_dir / "result.json", {"status": "failed", "error": {"kind": error.kind, "message": str(error)}})
        return 1
    return 0
