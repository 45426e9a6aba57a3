"""Tokens per second of the embedded engine's batched decoding beside transformers' own `generate`, on the bundled
model, same weights, same precision, greedy, with 1 and 8 streams.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ml.data import encode_prompt
from ml.engine import Engine, best_dtype
from ml.engine_model import Generation
from ml.engine_sampling import Sampling
from ml.prepare import prepare

N_TOKENS = 48
N_ROUNDS = 3
PROMPTS = [f"Tell me a long story about the number {number}." for number in range(8)]


def time_engine(engine: Engine, n_streams: int) -> float:
    """Tokens per second of `n_streams` concurrent greedy answers of N_TOKENS each."""
    counts: list[int] = []

    def hear(line: dict[str, object]) -> None:
        if "usage" in line:
            counts.append(line["usage"]["completion_tokens"])  # type: ignore[index]

    start = time.perf_counter()
    for prompt in PROMPTS[:n_streams]:
        generation = Generation(
            messages=[{"role": "user", "content": prompt}],
            on_line=hear,
            sampling=Sampling(temperature=0),
            max_tokens=N_TOKENS,
            stop=[],
        )
        engine.generate(name="base", path="base", generation=generation)
    while len(counts) < n_streams:
        time.sleep(0.002)
    return sum(counts) / (time.perf_counter() - start)


def time_generate(model: object, tokenizer: object, n_streams: int) -> float:
    """The same by transformers' `generate`, the prompts padded on the left."""
    rows = [encode_prompt(tokenizer, [{"role": "user", "content": prompt}]) for prompt in PROMPTS[:n_streams]]
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    start = time.perf_counter()
    with torch.inference_mode():
        output = model.generate(ids, attention_mask=mask, max_new_tokens=N_TOKENS, do_sample=False)  # type: ignore[attr-defined]
    answers = output[:, width:]
    ends = (answers == model.generation_config.eos_token_id).int()  # type: ignore[attr-defined]
    n_tokens = int((ends.cumsum(1) - ends == 0).sum())
    return n_tokens / (time.perf_counter() - start)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prepare(out=root / "base")
        dtype = best_dtype(torch.device("cpu"))
        model = AutoModelForCausalLM.from_pretrained(root / "base", dtype=dtype).eval()
        tokenizer = AutoTokenizer.from_pretrained(root / "base")
        engine = Engine(root=root, dtype=dtype)
        engine.load(name="base", path="base").result()
        figures: dict[str, float] = {}
        for n_streams in (1, 8):
            ours = max(time_engine(engine, n_streams) for _ in range(N_ROUNDS))
            theirs = max(time_generate(model, tokenizer, n_streams) for _ in range(N_ROUNDS))
            figures |= {
                f"engine_{n_streams}_tokens_per_s": round(ours, 1),
                f"generate_{n_streams}_tokens_per_s": round(theirs, 1),
                f"ratio_{n_streams}": round(ours / theirs, 2),
            }
            print(f"{n_streams} streams: engine {ours:.1f}, transformers {theirs:.1f} tokens/s", file=sys.stderr)
        engine.close()
    print(json.dumps(figures))
