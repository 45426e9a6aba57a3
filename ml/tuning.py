"""Which weights are trained: an adapter beside them (LoRA), beside quantised ones (QLoRA), or all of them."""

import shutil
from pathlib import Path

import torch
from accelerate import PartialState
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase, Trainer
from transformers.utils import is_bitsandbytes_available

from ml.chat_template import load_tokenizer
from ml.checkpoints import save_model
from ml.device import Device, model_dtype
from ml.errors import DataError
from ml.generate import load_model
from ml.rundir import RunDirectory, is_launched


def load(run: RunDirectory, *, tuning: str, device: Device) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model in the precision that the tuning wants. Raises DataError where QLoRA is not possible."""
    base = Path(run.config["base"])
    if tuning != "qlora":
        dtype = torch.float32 if tuning == "full" else model_dtype(device)
        place = f"cuda:{PartialState().local_process_index}" if device.name == "cuda" else device.name
        return load_model(base, device=Device(place, dtype))
    if device.name != "cuda":
        raise DataError("QLoRA needs a GPU. Choose LoRA, which computes the same in more memory.")
    if not is_bitsandbytes_available():
        raise DataError("QLoRA needs the package bitsandbytes: install it with `pip install emend[qlora]`.")
    quantised = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    model = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=torch.bfloat16,
        quantization_config=quantised,
        device_map={"": PartialState().local_process_index},
        use_safetensors=True,
        local_files_only=True,
    )
    return model, load_tokenizer(base)


def adapter(rank: int) -> LoraConfig:
    return LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


def merged(base: Path, trained: Path) -> PreTrainedModel:
    """The bf16 model of a folder that holds all weights, or an adapter to the base."""
    if not (trained / "adapter_config.json").is_file():
        return AutoModelForCausalLM.from_pretrained(trained, dtype=torch.bfloat16, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    return PeftModel.from_pretrained(model, trained).merge_and_unload().to(torch.bfloat16)


def save(run: RunDirectory, trainer: Trainer, tokenizer: PreTrainedTokenizerBase, *, tuning: str) -> None:
    """Write adapter/ (unless all weights were tuned) and the bf16 model/, each whole or not at all.

    All processes call it, since each may hold a part of the weights; the first one writes.
    """
    if not is_launched() and tuning == "lora":
        save_model(trainer.model, tokenizer, run)  # merged where it is, without a second copy
        return
    state = PartialState()
    trained = run.path / "trained.tmp"
    trainer.save_model(str(trained))  # gathers what is spread over processes
    state.wait_for_everyone()
    if run.is_main:
        temporary = run.path / "model.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        merged(Path(run.config["base"]), trained).save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        shutil.rmtree(run.path / "model", ignore_errors=True)
        temporary.rename(run.path / "model")
        shutil.rmtree(run.path / "adapter", ignore_errors=True)
        if tuning == "full":
            shutil.rmtree(trained)
        else:
            trained.rename(run.path / "adapter")
    state.wait_for_everyone()
