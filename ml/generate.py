"""Batched reading, scoring and greedy or sampled answering with one key-value cache per batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    Cache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.cache_utils import DynamicLayer

from ml.chat_template import load_tokenizer
from ml.device import Device
from ml.errors import DataError

# The most logits that one scoring step may hold at once (fp32: 400 MB).
MAX_LOGITS = 100_000_000


def load_model(path: Path, *, device: Device) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model folder, ready to answer. Raises DataError when the folder holds no model; runs no code from it."""
    if not (path / "config.json").is_file():
        raise DataError(f"There is no model in {path.name}.")
    model = AutoModelForCausalLM.from_pretrained(path, dtype=device.dtype, use_safetensors=True, local_files_only=True)
    return model.to(device.name).eval(), load_tokenizer(path)


def stop_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens that end an answer, as the model's generation config and the tokenizer name them."""
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return {i for i in [*ids, tokenizer.eos_token_id] if i is not None}


@dataclass(frozen=True)
class Answer:
    """`ids` without the end token; `is_stopped` says whether the model ended by itself."""

    ids: list[int]
    is_stopped: bool


def batches(lengths: Sequence[int], *, size: int) -> Iterator[list[int]]:
    """Indices in batches of alike lengths, longest first: what does not fit into memory fails at once."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    for start in range(0, len(order), size):
        yield order[start : start + size]


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many first tokens all prompts share, leaving at least one of each."""
    shortest, longest = min(prompts), max(prompts)
    n = 0
    for a, b in zip(shortest, longest, strict=False):
        if a != b:
            break
        n += 1
    return min(n, min(len(p) for p in prompts) - 1)


class RoomyLayer(DynamicLayer):
    """Keys and values with spare room behind them, so that a new token is written in place and nothing is copied.

    `keys` and `values`, (B, H, T, D), are the used part of the room.
    """

    ROOM = 64

    def __init__(self) -> None:
        super().__init__()
        self._rooms: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        n_rows, n_heads, n_new, _ = key_states.shape
        start = self.get_seq_length()
        end = start + n_new
        if not self._rooms or len(self._rooms[0]) != n_rows or self._rooms[0].shape[2] < end:
            rooms = [
                new.new_empty(n_rows, n_heads, end + self.ROOM, new.shape[3]) for new in (key_states, value_states)
            ]
            for room, old in zip(rooms, (self.keys, self.values), strict=True):
                if start:
                    room[:, :, :start] = old
            self._rooms = rooms
        for room, new in zip(self._rooms, (key_states, value_states), strict=True):
            room[:, :, start:end] = new
        self.keys, self.values = (room[:, :, :end] for room in self._rooms)
        return self.keys, self.values


class PromptBatch:
    """Prompts that the model has read, from which answers can be scored and then one answer each decoded.

    `mask: (B, T)` says which cached positions are real: prompts are padded on the left, after what they all share.
    `next_logits: (B, V)` are those after each prompt's last token.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[list[int]]) -> None:
        self.model = model
        self.cache = Cache(layers=[RoomyLayer() for _ in range(model.config.num_hidden_layers)])
        n_shared = common_prefix(prompts) if len(prompts) > 1 else 0
        self.mask = torch.ones(1, 0, dtype=torch.long, device=model.device)
        if n_shared:
            self._feed(torch.tensor([prompts[0][:n_shared]]), torch.ones(1, n_shared, dtype=torch.long))
            self.cache.batch_repeat_interleave(len(prompts))
        self.mask = self.mask.repeat_interleave(len(prompts), dim=0)
        rest = [p[n_shared:] for p in prompts]
        width = max(len(r) for r in rest)
        ids = torch.tensor([[0] * (width - len(r)) + r for r in rest])
        real = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rest])
        self.next_logits = self._feed(ids, real, n_logits=1)[:, -1]

    def _feed(self, ids: torch.Tensor, real: torch.Tensor, *, n_logits: int = 1) -> torch.Tensor:
        """Read more tokens into the cache; returns the logits of the last `n_logits` positions (0: of all)."""
        real = real.to(self.model.device)
        n_before = self.mask.sum(1, keepdim=True)
        self.mask = torch.cat([self.mask, real], dim=1)
        positions = (n_before + real.cumsum(1) - 1).clamp(min=0)
        return self.model(
            input_ids=ids.to(self.model.device),
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=n_logits,
        ).logits

    def score(self, answers: Sequence[list[int]]) -> list[list[float]]:
        """The log-likelihood of every token of one answer to each prompt; the batch is left as it was."""
        return self.score_and_hit(answers)[0]

    def score_and_hit(self, answers: Sequence[list[int]]) -> tuple[list[list[float]], list[int]]:
        """As `score`, and how many tokens of each answer are what the model finds likeliest."""
        if len(answers) != len(self.next_logits) or not all(answers):
            raise ValueError("one answer of at least one token for each prompt")
        width = max(len(a) for a in answers)
        ids = torch.tensor([a + [0] * (width - len(a)) for a in answers])
        first = self.next_logits.float().log_softmax(-1)
        scores = first.gather(1, ids[:, :1].to(first.device)).tolist()
        hits = [[hit] for hit in (first.argmax(-1) == ids[:, 0].to(first.device)).tolist()]
        mask, n_read = self.mask, width - 1
        columns = max(1, MAX_LOGITS // first.numel())
        for start in range(0, n_read, columns):
            end = min(start + columns, n_read)
            real = (torch.arange(start + 1, end + 1)[None] < torch.tensor([[len(a)] for a in answers])).long()
            logits = self._feed(ids[:, start:end], real, n_logits=0)
            targets = ids[:, start + 1 : end + 1].to(logits.device)
            for row, hit, logit, target in zip(scores, hits, logits, targets, strict=True):
                row += logit.float().log_softmax(-1).gather(1, target[:, None])[:, 0].tolist()
                hit += (logit.argmax(-1) == target).tolist()
        self.cache.crop(-n_read)
        self.mask = mask
        lengths = [len(a) for a in answers]
        n_hits = [sum(hit[:length]) for hit, length in zip(hits, lengths, strict=True)]
        return [row[:length] for row, length in zip(scores, lengths, strict=True)], n_hits

    def decode(
        self, *, max_tokens: int, stop: set[int], temperature: float = 0.0, generator: torch.Generator | None = None
    ) -> list[Answer]:
        """Answer every prompt, greedily or by sampling, and use the batch up. Rows that have ended leave the batch."""
        n = len(self.next_logits)
        written: list[list[int]] = [[] for _ in range(n)]
        is_stopped = [False] * n
        alive = list(range(n))
        logits = self.next_logits
        while alive:
            if temperature > 0:
                chances = (logits.float() / temperature).softmax(-1)
                chosen = torch.multinomial(chances, 1, generator=generator)
            else:
                chosen = logits.argmax(-1, keepdim=True)
            ended = []
            for place, (row, token) in enumerate(zip(alive, chosen[:, 0].tolist(), strict=True)):
                if is_stopped[row]:
                    ended.append(place)
                elif token in stop:
                    is_stopped[row] = True
                    ended.append(place)
                else:
                    written[row].append(token)
            is_full = any(len(written[row]) >= max_tokens for row in alive)
            if is_full or len(ended) == len(alive):
                break
            if len(ended) * 8 >= len(alive):
                keep = torch.tensor([p for p in range(len(alive)) if p not in set(ended)], device=self.model.device)
                alive = [alive[p] for p in keep.tolist()]
                self.cache.batch_select_indices(keep)
                self.mask, chosen = self.mask[keep], chosen[keep]
            logits = self._feed(chosen, torch.ones(len(alive), 1, dtype=torch.long))[:, -1]
        return [Answer(ids=ids, is_stopped=stopped) for ids, stopped in zip(written, is_stopped, strict=True)]
