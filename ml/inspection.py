"""Looks into a folder of weights without loading them: what model it is, and whether it can be trained and served.

`python -m ml inspect FOLDER` prints the facts as JSON, or the sentence that says why not.
"""

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ml.errors import DataError, MlError

Facts = dict[str, Any]

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
LICENCE = re.compile(r"^license:[ \t]*[\"']?([\w.+-]+)", re.MULTILINE)
SENTENCEPIECE = "tokenizer.model"


def inspect(folder: Path) -> Facts:
    """The facts of a model folder. Raises DataError with the reason when it cannot be used."""
    config = _read_json(folder / "config.json")
    if not config:
        raise DataError("There is no config.json in the folder: it holds no model.")
    tokenizer = _read_json(folder / "tokenizer_config.json")
    if "auto_map" in config or "auto_map" in tokenizer or any(folder.glob("*.py")):
        raise DataError("The model brings code of its own, which is never run. Choose one that the libraries know.")
    architecture = str((config.get("architectures") or [""])[0])
    if not architecture.endswith("ForCausalLM") and architecture != "GPT2LMHeadModel":
        raise DataError(f"The model does not continue texts: its architecture is {architecture or 'not named'}.")
    if not (folder / "tokenizer.json").is_file() and not (folder / SENTENCEPIECE).is_file():
        raise DataError("The tokenizer is missing: there is no tokenizer.json.")
    end = _token(tokenizer.get("eos_token"))
    if not end:
        raise DataError("The tokenizer names no token that ends a text, so an answer would never stop.")
    shards = _shards(folder)
    has_template = bool(tokenizer.get("chat_template")) or (folder / "chat_template.jinja").is_file()
    return {
        "architecture": architecture,
        "n_parameters": sum(map(_count_parameters, shards)),
        "size_bytes": sum(path.stat().st_size for path in shards),
        "context_tokens": next((int(config[name]) for name in LENGTHS if config.get(name)), None),
        "licence": _licence(folder),
        "has_template": has_template,
        "end_of_turn": end,
        "special_tokens": _special_tokens(folder, tokenizer),
    }


def _shards(folder: Path) -> list[Path]:
    """The files of the weights, all of them there."""
    index = _read_json(folder / "model.safetensors.index.json")
    found = sorted(folder.glob("*.safetensors"))
    if index:
        wanted = sorted({str(name) for name in index.get("weight_map", {}).values()})
        missing = [name for name in wanted if Path(name).name != name or not (folder / name).is_file()]
        if missing:
            raise DataError(f"A part of the weights is missing: {missing[0]}.")
        return [folder / name for name in wanted]
    if found:
        return found
    if any(path for pattern in PICKLED for path in folder.glob(pattern)):
        raise DataError(
            "The weights are pickled files, which can run code when they are opened. Convert them to safetensors first."
        )
    raise DataError("There are no weights in the folder: no file ends in .safetensors.")


def _count_parameters(path: Path) -> int:
    try:
        with safe_open(path, framework="numpy") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(f"The file {path.name} is not whole or is no safetensors file.") from error


def _licence(folder: Path) -> str:
    """The licence that the folder states: in emend.json, or in the head of its card."""
    stated = _read_json(folder / "emend.json").get("licence")
    if stated:
        return str(stated)
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    head = text.split("\n---", 1)[0] if text.startswith("---") else ""
    found = LICENCE.search(head)
    return found[1] if found else ""


def _special_tokens(folder: Path, tokenizer: Facts) -> list[str]:
    added = _read_json(folder / "tokenizer.json").get("added_tokens") or []
    named = [_token(tokenizer.get(name)) for name in ("bos_token", "eos_token", "pad_token", "unk_token")]
    marked = [str(token["content"]) for token in added if token.get("special")]
    return sorted({token for token in (*named, *marked) if token})


def _token(value: Any) -> str:
    """A special token is written as a string or as an object."""
    return str(value.get("content", "")) if isinstance(value, dict) else str(value or "")


def _read_json(path: Path) -> Facts:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"The file {path.name} is not JSON.") from error
    return value if isinstance(value, dict) else {}


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print("usage: python -m ml inspect FOLDER", file=sys.stderr)
        return 64
    try:
        print(json.dumps(inspect(Path(argv[0])), indent=2))
    except MlError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
