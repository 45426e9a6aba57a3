"""`python -m ml gguf FOLDER FILE`: writes a model of the Llama architecture as one GGUF file, in bf16.

Weights are copied as they are, only the norms become fp32 and the rows of the query and key projections change places:
Llama's rotary embedding turns neighbouring rows there, transformers' the two halves of a head. Names come from the
package gguf; what it cannot say exactly is refused (`Unsupported`), since a file that answers slightly wrong is worse than none.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np

BF16 = gguf.GGMLQuantizationType.BF16
ROTATED = {".q_proj.weight": "num_attention_heads", ".k_proj.weight": "num_key_value_heads"}
# How text is cut before pairs of bytes are merged: the shape in tokenizer.json, and its name in GGUF.
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CUTS = {
    "gpt-2": _BYTES,
    "smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, _BYTES]},
    "llama-bpe": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": _LLAMA3}, "behavior": "Isolated", "invert": False},
            _BYTES | {"use_regex": False},
        ],
    },
}


class Unsupported(Exception):
    """The model has something that this cannot write."""


def export(folder: Path, path: Path) -> None:
    """Write `path`, whole or not at all. Raises Unsupported, before anything is written, and OSError."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    rope = config.get("rope_parameters") or {}
    kind = config.get("model_type")
    if kind != "llama" or config.get("attention_bias") or config.get("mlp_bias"):
        raise Unsupported(f"only models of the Llama architecture can be written, not {kind}")
    if rope.get("rope_type", "default") != "default" or config.get("rope_scaling"):
        raise Unsupported("its rotary embedding is scaled")
    temporary = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(temporary, "llama")
    add_config(writer, config, theta=rope.get("rope_theta") or config.get("rope_theta") or 10000.0)
    add_tokenizer(writer, folder, n_tokens=config["vocab_size"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    tensors = [(names.get_name(name, try_suffixes=(".weight",)), name, each) for name, each in read_tensors(folder)]
    for short, name, each in tensors:
        if short is None:
            raise Unsupported(f"it has weights of an unknown name: {name}")
        is_norm = each.ndim == 1
        dtype = gguf.GGMLQuantizationType.F32 if is_norm else BF16
        writer.add_tensor_info(short, each.shape, each.dtype, each.size * (4 if is_norm else 2), raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _short, name, each in tensors:  # one at a time: a mapped file, so memory stays small
        writer.write_tensor_data(as_written(each, name, config))
    writer.close()
    temporary.replace(path)


def as_written(each: "np.ndarray[Any, Any]", name: str, config: dict[str, Any]) -> "np.ndarray[Any, Any]":
    """The bits of a tensor as GGUF has them. each: (N, ...) uint16, the bits of bf16."""
    if each.ndim == 1:
        return (each.astype(np.uint32) << 16).view(np.float32)
    for ending, heads in ROTATED.items():
        if name.endswith(ending):
            n_heads = config.get(heads) or config["num_attention_heads"]
            halves = each.reshape(n_heads, 2, each.shape[0] // n_heads // 2, each.shape[1])
            return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(each.shape))
    return np.ascontiguousarray(each)


def add_config(writer: gguf.GGUFWriter, config: dict[str, Any], *, theta: float) -> None:
    n_heads = config["num_attention_heads"]
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(n_heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or n_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(theta)
    writer.add_rope_dimension_count(config.get("head_dim") or config["hidden_size"] // n_heads)


def add_tokenizer(writer: gguf.GGUFWriter, folder: Path, *, n_tokens: int) -> None:
    """Write vocabulary, merges, special tokens and the chat template."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    cut = next((name for name, shape in CUTS.items() if tokenizer["pre_tokenizer"] == shape), None)
    if tokenizer["model"]["type"] != "BPE" or tokenizer.get("normalizer") or cut is None:
        raise Unsupported("its tokenizer has no name in GGUF")
    texts = {number: text for text, number in tokenizer["model"]["vocab"].items()}
    added = {each["id"]: each for each in tokenizer["added_tokens"]}
    texts |= {number: each["content"] for number, each in added.items()}
    kinds = [gguf.TokenType.NORMAL if number in texts else gguf.TokenType.UNUSED for number in range(n_tokens)]
    for number, each in added.items():
        kinds[number] = gguf.TokenType.CONTROL if each["special"] else gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cut)
    writer.add_token_list([texts.get(number, f"[PAD{number}]") for number in range(n_tokens)])
    writer.add_token_types(kinds)
    writer.add_add_bos_token(False)  # the chat template says where it stands
    gguf.SpecialVocab(folder, load_merges=True, n_vocab=n_tokens).add_to_gguf(writer)


def read_tensors(folder: Path) -> Iterator[tuple[str, "np.ndarray[Any, Any]"]]:
    """Yield names and bits (uint16) of what the safetensors files hold, mapped, not read. https://huggingface.co/docs/safetensors"""
    for path in sorted(folder.glob("*.safetensors")):
        mapped = np.memmap(path, dtype=np.uint8, mode="r")
        start = 8 + int(mapped[:8].view("<u8")[0])
        for name, entry in json.loads(bytes(mapped[8:start])).items():
            if name == "__metadata__":
                continue
            if entry["dtype"] != "BF16":
                raise Unsupported(f"its weights are {entry['dtype']}, not BF16")
            first, last = entry["data_offsets"]
            yield name, mapped[start + first : start + last].view("<u2").reshape(entry["shape"])


def main(argv: list[str]) -> int:
    """65 with a line on stderr where the model cannot be written."""
    if len(argv) != 2:
        print("usage: python -m ml gguf FOLDER FILE", file=sys.stderr)
        return 64
    try:
        export(Path(argv[0]), Path(argv[1]))
    except (Unsupported, OSError) as error:
        print(error, file=sys.stderr)
        return 65
    return 0
