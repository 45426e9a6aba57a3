"""Tiny models for the engine's tests: random weights, a real tokenizer, a chat template, on disk like any other."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ml.engine import Engine
from ml.engine_model import LOADING, Generation

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PATIENCE_S = 60
PAUSE_AFTER = 20


@functools.cache
def create_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level, so that every character beyond ASCII is several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        ["the user asks and the assistant answers the user"],
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=TEMPLATE,
    )


def create_model(*, seed: int = 0, context_length: int = 512, **changes: Any) -> LlamaForCausalLM:
    """Large initial weights make the choices sharp: rounding does not flip them and the answers differ."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(create_tokenizer()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context_length,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        **changes,
    )
    with LOADING:
        model = LlamaForCausalLM(config).eval()
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=1, pad_token_id=1)
    return model


def save_model(folder: Path, *, seed: int = 0, context_length: int = 512) -> Path:
    create_model(seed=seed, context_length=context_length).save_pretrained(folder)
    create_tokenizer().save_pretrained(folder)
    return folder


class Heard:
    """A generation's lines, as a client would get them."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self._begun = threading.Event()
        self._done = threading.Event()

    def on_line(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        self._begun.set()
        if "text" not in line:
            self._done.set()

    def wait_for_first(self) -> None:
        assert self._begun.wait(PATIENCE_S), "nothing came"

    def wait(self) -> dict[str, Any]:
        """The last line."""
        assert self._done.wait(PATIENCE_S), f"no last line after {self.lines}"
        return self.lines[-1]

    @property
    def text(self) -> str:
        return "".join(line.get("text", "") for line in self.lines)


@contextmanager
def pause_within_answer(engine: Engine, name: str) -> Iterator[None]:
    """Within, the loaded model waits after some steps of a first answer, which so cannot end by itself meanwhile."""
    model = engine._entries[name].model
    assert model is not None
    step, go_on, n_steps = model._forward._step, threading.Event(), count()

    def wait_before_step(*args: Any, **settings: Any) -> Any:
        if next(n_steps) >= PAUSE_AFTER:
            assert go_on.wait(PATIENCE_S), "nobody let the model go on"
        return step(*args, **settings)

    model._forward._step = wait_before_step  # type: ignore[method-assign]
    try:
        yield
    finally:
        go_on.set()
        model._forward._step = step  # type: ignore[method-assign]


def ask(engine: Engine, content: str, *, name: str = "a", **settings: Any) -> tuple[Generation, Heard]:
    """Send one message to the model `name`, which lies in the folder of that name."""
    heard = Heard()
    generation = Generation(messages=[{"role": "user", "content": content}], on_line=heard.on_line, **settings)
    engine.generate(name=name, path=name, generation=generation)
    return generation, heard
