"""Tokens per second of the embedded engine on the bundled model with 1 and 8 streams (eight prompts one after the other, and
at once), beside what others make of the same weights: transformers' continuous batching (which `transformers serve
--continuous-batching` runs), its `generate`, CTranslate2 and llama.cpp. Greedy, the same prompts, the same machine, each in
a process of its own, in turns.

Others are compared with at equal precision: CTranslate2 computes in float32 on a CPU, never in bf16, and our GGUF files hold
bf16 alone. What is not installed (`pip install -e .[bench]`; `pip install llama-cpp-python`, which is built on the spot and
needs a compiler), or does not run here, is left out with its reason.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, ContinuousBatchingConfig, GenerationConfig

from ml.data import encode_prompt
from ml.engine import Engine, best_dtype
from ml.engine_model import Generation
from ml.engine_sampling import Sampling
from ml.gguf_export import export
from ml.prepare import prepare

ROOT = Path(__file__).resolve().parent.parent
N_TOKENS = 96
N_ROUNDS = 3
ENOUGH_S = 15  # no further round after so long
STREAMS = (1, 8)
LIMIT_S = 200
AIMS = {1: 0.8, 8: 1.0}  # of the fastest of the others at equal precision
PROMPTS = [f"Tell me a long story about the number {number}." for number in range(8)]
OTHERS = ("continuous_batching", "generate", "ctranslate2", "llama_cpp")

Answer = Callable[[Sequence[int]], int]  # answers the prompts of these numbers at once and returns the number of tokens


def open_engine(folder: Path, dtype: torch.dtype) -> Answer:
    engine = Engine(root=folder.parent, dtype=dtype)
    engine.load(name="base", path=folder.name).result()

    def answer(numbers: Sequence[int]) -> int:
        counts: list[int] = []

        def hear(line: dict[str, object]) -> None:
            if "usage" in line:
                counts.append(line["usage"]["completion_tokens"])  # type: ignore[index]

        for prompt in (PROMPTS[number] for number in numbers):
            generation = Generation(
                messages=[{"role": "user", "content": prompt}],
                on_line=hear,
                sampling=Sampling(temperature=0),
                max_tokens=N_TOKENS,
                stop=[],
            )
            engine.generate(name="base", path=folder.name, generation=generation)
        while len(counts) < len(numbers):
            time.sleep(0.002)
        return sum(counts)

    return answer


def encode(folder: Path) -> tuple[list[list[int]], int]:
    """The prompts as tokens, and the token that ends an answer."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [encode_prompt(tokenizer, [{"role": "user", "content": prompt}]) for prompt in PROMPTS]
    return rows, tokenizer.eos_token_id


def open_generate(folder: Path, dtype: torch.dtype) -> Answer:
    """`generate`, the prompts padded on the left."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    prompts, end_token = encode(folder)

    def answer(numbers: Sequence[int]) -> int:
        rows = [prompts[number] for number in numbers]
        width = max(map(len, rows))
        ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        with torch.inference_mode():
            output = model.generate(ids, attention_mask=mask, max_new_tokens=N_TOKENS, do_sample=False)
        ends = (output[:, width:] == end_token).int()
        return int((ends.cumsum(1) - ends == 0).sum())

    return answer


def open_continuous_batching(folder: Path, dtype: torch.dtype) -> Answer:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval()
    prompts, end_token = encode(folder)
    config = GenerationConfig(
        max_new_tokens=N_TOKENS, do_sample=False, eos_token_id=end_token, pad_token_id=end_token, use_cache=True
    )
    # By itself it takes most of the memory for its cache, and writes to all of it.
    room = ContinuousBatchingConfig(num_blocks=32, max_batch_tokens=512)

    def answer(numbers: Sequence[int]) -> int:
        found = model.generate_batch(
            [prompts[number] for number in numbers],
            generation_config=config,
            continuous_batching_config=room,
            persistent_manager=True,
        )
        return sum(len(each.generated_tokens) for each in found.values())

    return answer


def open_ctranslate2(folder: Path, dtype: torch.dtype) -> Answer:
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    name = str(dtype).removeprefix("torch.")
    if name not in ctranslate2.get_supported_compute_types("cpu"):
        raise RuntimeError(f"CTranslate2 does not compute in {name} on this processor")
    converted = folder.parent / "ctranslate2"
    if not converted.exists():
        TransformersConverter(str(folder)).convert(str(converted), quantization="float32")
    generator = ctranslate2.Generator(str(converted), compute_type=name, intra_threads=os.cpu_count())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [tokenizer.convert_ids_to_tokens(row) for row in encode(folder)[0]]

    def answer(numbers: Sequence[int]) -> int:
        found = generator.generate_batch(
            [rows[number] for number in numbers], max_length=N_TOKENS, sampling_topk=1, include_prompt_in_result=False
        )
        return sum(len(each.sequences_ids[0]) for each in found)

    return answer


def open_llama_cpp(folder: Path, dtype: torch.dtype) -> Answer:
    """Its batch of sequences, driven as its own server drives it: all prompts at once, then a token of each."""
    import llama_cpp

    if dtype != torch.bfloat16:
        raise RuntimeError("our GGUF files hold bf16")
    file = folder.parent / "model.gguf"
    export(folder, file)
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(str(file).encode(), llama_cpp.llama_model_default_params())
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_seq_max = 2048, 2048, len(PROMPTS)
    settings.n_threads = settings.n_threads_batch = os.cpu_count()
    context = llama_cpp.llama_init_from_model(model, settings)
    batch = llama_cpp.llama_batch_init(2048, 0, 1)
    prompts, end_token = encode(folder)
    n_vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))

    def step(pieces: dict[int, tuple[int, list[int]]]) -> dict[int, int]:
        """The next token of each sequence, from where its piece begins and the piece."""
        ends = {}
        batch.n_tokens = 0
        for sequence, (start, tokens) in pieces.items():
            for offset, token in enumerate(tokens):
                at = batch.n_tokens
                batch.token[at], batch.pos[at] = token, start + offset
                batch.n_seq_id[at], batch.seq_id[at][0] = 1, sequence
                batch.logits[at] = offset == len(tokens) - 1
                batch.n_tokens += 1
            ends[sequence] = batch.n_tokens - 1
        if llama_cpp.llama_decode(context, batch):
            raise RuntimeError("llama.cpp cannot decode")
        return {
            sequence: int(np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, at), (n_vocabulary,)).argmax())
            for sequence, at in ends.items()
        }

    def answer(numbers: Sequence[int]) -> int:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        n_stored = {number: len(prompts[number]) for number in numbers}
        latest = step({number: (0, prompts[number]) for number in numbers})
        n_tokens = len(numbers)
        for _ in range(N_TOKENS - 1):
            going = [number for number, token in latest.items() if token != end_token]
            if not going:
                break
            latest = step({number: (n_stored[number], [latest[number]]) for number in going})
            for number in going:
                n_stored[number] += 1
            n_tokens += len(going)
        return n_tokens

    return answer


OPENERS = {
    "engine": open_engine,
    "generate": open_generate,
    "continuous_batching": open_continuous_batching,
    "ctranslate2": open_ctranslate2,
    "llama_cpp": open_llama_cpp,
}


def measure(name: str, folder: Path, dtype: torch.dtype) -> dict[int, float]:
    """Tokens per second by the number of streams, the best of some rounds."""
    answer = OPENERS[name](folder, dtype)
    numbers = range(len(PROMPTS))
    figures = {}
    for n_streams in STREAMS:
        answer(numbers[:n_streams])
        speeds: list[float] = []
        started = time.perf_counter()
        while len(speeds) < N_ROUNDS and time.perf_counter() - started < ENOUGH_S:
            began = time.perf_counter()
            n_tokens = sum(answer(numbers[at : at + n_streams]) for at in range(0, len(PROMPTS), n_streams))
            speeds.append(n_tokens / (time.perf_counter() - began))
        figures[n_streams] = round(max(speeds), 1)
    return figures


def measure_apart(name: str, folder: Path, dtype: str) -> tuple[dict[int, float], str]:
    """The same in a process of its own; where it fails, no figures and the reason."""
    command = [sys.executable, "-m", "benchmarks.engine", name, str(folder), dtype]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return {}, f"took more than {LIMIT_S} s"
    if done.returncode:
        return {}, (done.stderr.strip().splitlines() or ["no word"])[-1][:200]
    found = json.loads(done.stdout.splitlines()[-1])
    return {int(n): speed for n, speed in found.items()}, ""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "base"
        prepare(out=folder)
        fastest = str(best_dtype(torch.device("cpu"))).removeprefix("torch.")
        figures: dict[str, object] = {"aims": AIMS, "engine_computes_in": fastest}
        for dtype in dict.fromkeys([fastest, "float32"]):
            ours, reason = measure_apart("engine", folder, dtype)
            if not ours:
                sys.exit(f"The engine does not run: {reason}")
            found: dict[str, object] = {"engine": ours}
            best = dict.fromkeys(STREAMS, 0.0)
            for other in OTHERS:
                speeds, reason = measure_apart(other, folder, dtype)
                found[other] = speeds or f"left out: {reason}"
                best = {n: max(best[n], speeds.get(n, 0.0)) for n in STREAMS}
            found["of_the_best"] = {n: round(ours[n] / best[n], 2) for n in STREAMS if best[n]}
            figures[dtype] = found
            print(f"  {dtype}: {json.dumps(found)}", file=sys.stderr, flush=True)
    print(json.dumps({"engine": figures}))


if __name__ == "__main__":
    result = measure(sys.argv[1], Path(sys.argv[2]), getattr(torch, sys.argv[3]))
    print(json.dumps(result), flush=True)
    os._exit(0)  # a manager's thread may still be there
