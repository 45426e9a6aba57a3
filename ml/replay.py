"""General prompts with the base model's own answers, on which a fine-tuned model should stay as it was."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ml.batch import collate, learnt_hidden
from ml.data import Encoded, Message, encode_prompt
from ml.generate import PromptBatch, batches, common_prefix, stop_tokens

ANSWER_TOKENS = 32
TEMPERATURE = 1.0
BATCH_SIZE = 80


@torch.no_grad()
def answer_prompts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[list[Message]], *, seed: int
) -> list[Encoded]:
    """Each prompt with the beginning of the model's own, sampled answer.

    Sampled, not greedy: that is where the model may go, and so where it must stay as it is. The mask is on the answer
    and on the last message of the prompt: what people write is worth as much here as what the model does.
    """
    generator = torch.Generator(device=model.device).manual_seed(seed)
    stop = stop_tokens(model, tokenizer)
    encoded = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    answered: dict[int, Encoded] = {}
    for indices in batches([len(ids) for ids in encoded], size=BATCH_SIZE):
        batch = PromptBatch(model, [encoded[i] for i in indices])
        answers = batch.decode(max_tokens=ANSWER_TOKENS, stop=stop, temperature=TEMPERATURE, generator=generator)
        for i, answer in zip(indices, answers, strict=True):
            ids = encoded[i] + answer.ids + [tokenizer.eos_token_id] * answer.is_stopped
            start = content_start(tokenizer, prompts[i])
            answered[i] = Encoded(ids=ids, mask=[int(place > start) for place in range(len(ids))])
    return [answered[i] for i in range(len(encoded))]


def content_start(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[Message]) -> int:
    """At which token of the encoded prompt the text of its last message begins."""
    *before, last = prompt
    hollow = encode_prompt(tokenizer, [*before, {**last, "content": ""}])
    return common_prefix([encode_prompt(tokenizer, prompt), hollow])


def load_answers(path: Path) -> list[Encoded] | None:
    if not path.exists():
        return None
    return [Encoded(**row) for row in json.loads(path.read_text())]


def save_answers(path: Path, answers: Sequence[Encoded]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps([{"ids": a.ids, "mask": a.mask} for a in answers]))
    temporary.replace(path)


def own_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[Message]],
    *,
    base: Path,
    seed: int,
) -> list[Encoded]:
    """As answer_prompts; a base model that Emend unpacked keeps the answers in its folder, other folders stay as they are.

    Answering takes longer than anything else before the first step, and the answers follow from the prompts and the seed.
    """
    wanted = json.dumps([prompts, seed, ANSWER_TOKENS, TEMPERATURE, BATCH_SIZE], sort_keys=True)
    kept = base / f"replay-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}.json"
    answers = load_answers(kept)
    if answers is None:
        answers = answer_prompts(model, tokenizer, prompts, seed=seed)
        if is_ours(base):
            with contextlib.suppress(
                OSError
            ):  # a folder that others own, or a full disk: the answers are only a shortcut
                save_answers(kept, answers)
    return answers


def is_ours(base: Path) -> bool:
    """Whether Emend unpacked the model in this folder."""
    return (base / "emend.json").is_file()


@torch.no_grad()
def reference_states(model: PreTrainedModel, answers: Sequence[Encoded]) -> list[torch.Tensor]:
    """The model's hidden states where it predicts each answer, one `(N, D)` a row.

    Through the head, which training leaves alone, they give the model's whole distributions at a fraction of the room.
    """
    states: dict[int, torch.Tensor] = {}
    for indices in batches([len(a.ids) for a in answers], size=16):
        batch = {name: value.to(model.device) for name, value in collate([answers[i] for i in indices]).items()}
        hidden, _, rows = learnt_hidden(model, batch)
        for place, i in enumerate(indices):
            states[i] = hidden[rows == place]
    return [states[i] for i in range(len(answers))]
