"""`python -m ml count FOLDER`: how many tokens each conversation has for a base model.

Reads config.json ({"base": folder}) and rows.jsonl ({"messages": [...]} a line); writes counts.jsonl, a line
[tokens, learnt tokens] for each row in its order, null for a conversation that the base model's template refuses.
"""

import json
import os
import sys
from pathlib import Path

from transformers import AutoTokenizer

from ml.data import encode_example
from ml.errors import DataError


def count(folder: Path) -> None:
    """Count all rows; counts.jsonl appears when it is whole."""
    base = json.loads((folder / "config.json").read_text(encoding="utf-8"))["base"]
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    part = folder / "counts.part"
    with (folder / "rows.jsonl").open(encoding="utf-8") as rows, part.open("w", encoding="utf-8") as counts:
        for line in rows:
            try:
                encoded = encode_example(tokenizer, json.loads(line)["messages"])
            except DataError:
                counts.write("null\n")
            else:
                counts.write(f"[{len(encoded.ids)}, {sum(encoded.mask)}]\n")
    part.replace(folder / "counts.jsonl")


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print("usage: python -m ml count FOLDER", file=sys.stderr)
        return 64
    os.nice(10)  # nobody waits for it
    count(Path(argv[0]))
    return 0
