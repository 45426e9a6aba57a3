"""One loaded model and the batch of requests that it works on."""

import copy
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from ml.chat_template import load_tokenizer
from ml.data import Message, encode_prompt
from ml.engine_cache import SlotCache, round_up
from ml.engine_draft import Drafter
from ml.engine_forward import Forward, ModelForward, Piece
from ml.engine_linear import pack_linears
from ml.engine_llama import FastLlama, is_fast_llama
from ml.engine_sampling import Sampler, Sampling, score
from ml.engine_text import HALF_CHARACTER, TextStream
from ml.errors import DataError, MlError, NoMemoryError

logger = logging.getLogger(__name__)

# While it loads, `from_pretrained` changes how models of this process are built (its `no_tie_weights`): a model that
# another thread builds meanwhile is not tied, and of two loads at once the change may stay for good.
LOADING = threading.Lock()

# A long prompt is read in pieces of this many tokens, between which the other requests take their steps. The bounds
# of the pieces depend on the prompt alone: who else is in the batch must not show in the numbers.
PROMPT_PIECE = 256
# Room for this many tokens of the answer is made at the start, more by need.
ANSWER_ROOM = 256
# What a model needs beyond its weights, relative to them, before it is worth the attempt to load it.
MEMORY_MARGIN = 1.2

# How far our logits may be from the model's own, relative to these.
MOST_ERROR = 0.1

Line = dict[str, Any]


class EngineError(MlError):
    """A request that cannot be served; `kind` is one of those in docs/engine.md."""

    def __init__(self, message: str, *, kind: str):
        super().__init__(message)
        self.kind = kind


@dataclass(eq=False)
class Generation:
    """One request on its way. `on_line` gets its lines, from the engine's thread, and must neither block nor raise."""

    messages: Sequence[Message]
    on_line: Callable[[Line], None]
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = 512
    stop: Sequence[str] = ()
    is_cancelled: bool = False
    is_ended: bool = False
    started_at: float = field(default_factory=time.monotonic)

    def fail(self, message: str, *, kind: str) -> None:
        """Send the error line, which is the last one."""
        if not self.is_ended:
            self.is_ended = True
            self.on_line({"error": {"message": message, "kind": kind}})


class Row:
    """A generation with its tokens; its index in the batch is its slot of the cache."""

    def __init__(self, generation: Generation, prompt: list[int], text: TextStream):
        self.generation = generation
        self.prompt = prompt
        self.text = text
        self.sampler = Sampler(generation.sampling)
        self.drafter = Drafter(prompt)
        self.scores: list[Line] = []
        self.logprob = 0.0  # of the answer so far, by the model alone
        self.n_stored = 0
        self.n_tokens = 0
        self.last_token = 0
        self.first_token_at: float | None = None

    @property
    def is_reading(self) -> bool:
        """Whether its prompt is not yet read to the end."""
        return self.n_stored < len(self.prompt)


class BatchedModel:
    """A model, its tokenizer and the rows that it continues, all in step; rows come and go between two steps.

    `step` and what it calls belong to one thread. `waiting` may be appended to from any thread.
    """

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        tokenizer: Any,
        max_batch: int,
    ):
        self.tokenizer = tokenizer
        # Encoding sets flags on the tokenizer in another thread, so decoding has a copy of its own.
        self._decoding = copy.deepcopy(tokenizer.backend_tokenizer)
        self.max_batch = max_batch
        self.end_tokens = find_end_tokens(model, tokenizer)
        self.context_length = find_context_length(model)
        self.rows: list[Row] = []
        self.waiting: list[Row] = []
        self._cache = SlotCache()
        self._forward = find_forward(model)

    @property
    def is_busy(self) -> bool:
        return bool(self.rows or self.waiting)

    def prepare(self, generation: Generation) -> Row:
        """Encode the prompt. Raises EngineError of kind "request" or "context"."""
        try:
            prompt = encode_prompt(self.tokenizer, generation.messages)
        except DataError as error:
            raise EngineError(str(error), kind="request") from error
        if not prompt:
            raise EngineError("The prompt is empty.", kind="request")
        if len(prompt) >= self.context_length:
            raise EngineError(
                f"The prompt has {len(prompt)} tokens, but this model reads at most {self.context_length}, "
                "the answer included. Shorten the conversation.",
                kind="context",
            )
        return Row(generation, prompt, TextStream(self._decoding, generation.stop))

    def step(self) -> int:
        """Let rows join, read at least one piece of a prompt, continue each answer by a token; return their number."""
        self._leave_cancelled()
        self._join()
        n_tokens = self._read_prompts()
        answering = [row for row in self.rows if not row.is_reading]
        if answering:
            n_tokens += self._follow(answering[0]) if self._is_alone(answering) else self._continue(answering)
        if not self.rows:
            self._cache.release()
        return n_tokens

    def fail_all(self, message: str, *, kind: str) -> None:
        """End every row with an error and free the cache."""
        for row in (*self.rows, *self.waiting):
            row.generation.fail(message, kind=kind)
        self.rows.clear()
        self.waiting.clear()
        self._cache.release()

    def _leave_cancelled(self) -> None:
        for row in [row for row in self.rows if row.generation.is_cancelled]:
            self._leave(row)
        for row in [row for row in self.waiting if row.generation.is_cancelled]:
            self.waiting.remove(row)

    def _join(self) -> None:
        while self.waiting and len(self.rows) < self.max_batch:
            row = self.waiting.pop(0)
            room = min(row.generation.max_tokens, ANSWER_ROOM)
            try:
                self._cache.reserve(
                    n_slots=len(self.rows) + 1,
                    n_columns=min(len(row.prompt) + room, self.context_length),
                )
            except (RuntimeError, MemoryError) as error:
                if not is_memory_error(error):
                    raise
                row.generation.fail(
                    "There is no memory for one more conversation of this length.",
                    kind="memory",
                )
                continue
            self.rows.append(row)

    def _leave(self, row: Row) -> None:
        slot, last = self.rows.index(row), len(self.rows) - 1
        if slot != last:
            moved = self.rows[last]
            self._cache.move(source=last, target=slot, n_columns=moved.n_stored)
            self.rows[slot] = moved
        self.rows.pop()

    def _read_prompts(self) -> int:
        """Read pieces of prompts, in order of arrival, until one long piece's worth is read."""
        reading = sorted((row for row in self.rows if row.is_reading), key=lambda row: row.generation.started_at)
        read: list[Row] = []
        pieces: list[Piece] = []
        n_read = 0
        for row in reading:
            if n_read >= PROMPT_PIECE:
                break
            tokens = row.prompt[row.n_stored : row.n_stored + PROMPT_PIECE]
            read.append(row)
            pieces.append(Piece(self.rows.index(row), row.n_stored, tokens))
            n_read += len(tokens)
        if not pieces:
            return 0
        logits = self._forward.read(pieces, self._cache)
        for row, piece in zip(read, pieces, strict=True):
            row.n_stored = piece.end
        return self._take_all(read, logits)

    def _continue(self, answering: list[Row]) -> int:
        """One more token for each answering row."""
        # A row between them that still reads its prompt takes part for nothing: it writes a cell that it reads next.
        rows = self.rows[: 1 + max(self.rows.index(row) for row in answering)]
        end = 1 + max(row.n_stored for row in rows)
        self._cache.reserve(n_slots=len(rows), n_columns=end)
        if any(row.generation.sampling.is_repeatable for row in answering):
            end = round_up(end, self._forward.block)
        tokens, positions = [row.last_token for row in rows], [row.n_stored for row in rows]
        logits = self._forward.step(tokens, positions, end, self._cache)
        for row in answering:
            row.n_stored += 1
        return self._take_all(rows, logits)

    def _is_alone(self, answering: list[Row]) -> bool:
        """Whether one conversation is answered, the first: then the weights are read for it alone."""
        return bool(self._forward.n_ahead) and answering == self.rows[:1]

    def _follow(self, row: Row) -> int:
        """One more token, and those behind it that were guessed right."""
        room = min(row.generation.max_tokens, self.context_length - len(row.prompt)) - row.n_tokens - 1
        draft = row.drafter.draft(min(self._forward.n_ahead, room))
        end = row.n_stored + 1 + len(draft)
        self._cache.reserve(n_slots=1, n_columns=end)
        if row.generation.sampling.is_repeatable:
            end = round_up(end, self._forward.block)
        logits = self._forward.follow([row.last_token, *draft], row.n_stored, end, self._cache)
        n_taken = 0
        for own, token, normaliser in weigh(logits):
            row.n_stored += 1
            self._take(row, self._pick(row, own, token), own, normaliser)
            n_taken += 1
            if row.generation.is_ended or draft[n_taken - 1 : n_taken] != [row.last_token]:
                break
        return n_taken

    def _take_all(self, rows: list[Row], logits: torch.Tensor) -> int:
        """Pick by the logits (B, V) the next token of each of the B rows whose prompt is read; return how many did."""
        n_taken = 0
        for row, (own, token, normaliser) in zip(rows, weigh(logits), strict=True):
            if not row.is_reading:
                self._take(row, self._pick(row, own, token), own, normaliser)
                n_taken += 1
        return n_taken

    def _pick(self, row: Row, logits: torch.Tensor, likeliest: int) -> int:
        """The row's next token by the logits (V,)."""
        return likeliest if row.generation.sampling.is_plainly_greedy else row.sampler.pick(logits)

    def _take(self, row: Row, token: int, logits: torch.Tensor, normaliser: float) -> None:
        """Append the token, picked by these logits (V,), to the row's answer; send what can be sent, end what ends.

        `normaliser` is the logarithm of the sum of the logits' exponentials.
        """
        generation = row.generation
        if row.first_token_at is None:
            row.first_token_at = time.monotonic()
        row.last_token = token
        row.drafter.append(token)
        row.n_tokens += 1
        row.logprob += float(logits[token]) - normaliser
        if token in self.end_tokens:
            self._end(row, "stop")
            return
        if (n_top := generation.sampling.n_logprobs) is not None:
            logprob, likeliest = score(logits, token, n_top)
            row.scores.append({**self._show(token, logprob), "top": [self._show(*each) for each in likeliest]})
        text = row.text.push(token)
        if text:
            generation.on_line({"text": text})
        if row.text.is_stopped:
            self._end(row, "stop")
        elif row.n_tokens >= generation.max_tokens or len(row.prompt) + row.n_tokens >= self.context_length:
            self._end(row, "length")

    def _show(self, token: int, logprob: float) -> Line:
        """The token with its text; one that is a part of a character has no bytes of its own to show."""
        text = self._decoding.decode([token], skip_special_tokens=False)
        is_whole = HALF_CHARACTER not in text
        return {"token": text, "bytes": list(text.encode()) if is_whole else None, "logprob": round(logprob, 6)}

    def _end(self, row: Row, reason: str) -> None:
        generation = row.generation
        text = row.text.finish()
        if text:
            generation.on_line({"text": text})
        now = time.monotonic()
        generation.is_ended = True
        generation.on_line(
            {
                "finish_reason": "stop" if row.text.is_stopped else reason,
                "usage": {
                    "prompt_tokens": len(row.prompt),
                    "completion_tokens": row.n_tokens,
                },
                "mean_logprob": round(row.logprob / row.n_tokens, 4) if row.n_tokens else None,
                "time_to_first_token_s": round((row.first_token_at or now) - generation.started_at, 4),
                "duration_s": round(now - generation.started_at, 4),
                **({} if generation.sampling.n_logprobs is None else {"logprobs": row.scores}),
            }
        )
        self._leave(row)


def weigh(logits: torch.Tensor) -> Iterator[tuple[torch.Tensor, int, float]]:
    """Yield of each row of the logits (B, V): itself, its likeliest token, and the logarithm of its exponentials' sum."""
    wide = logits.to(torch.float32, copy=True)
    likeliest = wide.argmax(-1, keepdim=True)
    highest = wide.gather(-1, likeliest)
    normalisers = wide.sub_(highest).exp_().sum(-1).log_() + highest[:, 0]
    yield from zip(logits, likeliest[:, 0].tolist(), normalisers.tolist(), strict=True)


def find_end_tokens(model: PreTrainedModel, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer: those of the generation config and the tokenizer's own."""
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(i for i in (*ids, tokenizer.eos_token_id) if i is not None)


def find_context_length(model: PreTrainedModel) -> int:
    """How many tokens a conversation may have. A sliding window bounds it: beyond one our masks would be wrong."""
    config = model.config.get_text_config()
    bounds = [config.max_position_embeddings]
    window = getattr(config, "sliding_window", None)
    if window and getattr(config, "use_sliding_window", True):
        bounds.append(window)
    return min(bounds)


@torch.inference_mode()
def find_forward(model: PreTrainedModel) -> Forward:
    """How the model is computed: by hand where we know its architecture, else by transformers.

    Raises EngineError of kind "load" unless the model gives the same logits through our cache as without one. Models with
    recurrent layers or a cache of their own kind do not, and would answer nonsense.
    """
    # ordinary tokens: on the special ones at the start of the vocabulary a tuned model's bf16 logits are mostly rounding
    first = model.config.vocab_size // 2
    tokens = [token % model.config.vocab_size for token in range(first, first + 6)]
    try:
        wanted = model(input_ids=torch.tensor([tokens], device=model.device), use_cache=False).logits[0, 3:].float()
        forward = build_forward(model)
        cache = SlotCache()
        cache.reserve(n_slots=1, n_columns=6)
        got = [forward.read([Piece(0, 0, tokens[:4])], cache)]
        got += [forward.step([tokens[at]], [at], at + 1, cache) for at in (4, 5)]
        error = (torch.cat(got).float() - wanted).norm() / wanted.norm()
    except (TypeError, ValueError, AttributeError, IndexError, RuntimeError) as problem:
        if is_memory_error(problem):
            raise
        raise EngineError(
            f"The embedded engine cannot run models of type {model.config.model_type}: {problem}",
            kind="load",
        ) from problem
    if not error < MOST_ERROR:
        raise EngineError(
            f"The embedded engine cannot run models of type {model.config.model_type}.",
            kind="load",
        )
    return forward


def build_forward(model: PreTrainedModel) -> Forward:
    if is_fast_llama(model):
        return FastLlama(model)
    if model.device.type == "cpu" and model.dtype == torch.bfloat16:
        pack_linears(model)
    return ModelForward(model)


def is_memory_error(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory; torch tells it on a CPU by the text alone."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def load_model(*, folder: Path, dtype: torch.dtype, device: torch.device, max_batch: int) -> BatchedModel:
    """Load a folder of merged safetensors weights; nothing but that folder is read and no code of it is run.

    Raises EngineError of kind "load", or NoMemoryError.
    """
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if not weights or not (folder / "config.json").is_file():
        raise EngineError(
            f"{folder.name} is not a model folder: it needs config.json and safetensors weights.",
            kind="load",
        )
    if (folder / "adapter_config.json").exists():
        raise EngineError(
            f"{folder.name} is an adapter; the engine loads merged weights.",
            kind="load",
        )
    if device.type == "cuda":
        available, _ = torch.cuda.mem_get_info(device)
    else:
        available = psutil.virtual_memory().available
    if weights * MEMORY_MARGIN > available:
        raise NoMemoryError(
            f"{folder.name} needs about {weights * MEMORY_MARGIN / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB are free."
        )
    try:
        tokenizer = load_tokenizer(folder)
        with LOADING:
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                attn_implementation="sdpa",
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
        model.to(device)  # type: ignore[arg-type]
        model.eval().requires_grad_(False)
        return BatchedModel(model=model, tokenizer=tokenizer, max_batch=max_batch)
    except MlError:
        raise
    except Exception as error:  # whatever a broken folder provokes in the libraries
        if is_memory_error(error):
            raise NoMemoryError(f"There is not enough memory for {folder.name}.") from error
        logger.exception("%s cannot be loaded", folder)
        raise EngineError(f"{folder.name} cannot be loaded: {error}", kind="load") from error
