"""A look at the model that a run has made, before anybody uses it: does it answer, end, and say something like text?

It is made to find what is broken, not what is mediocre: the saved files are loaded as an engine loads them and answer a few
short prompts of the validation rows, of the training rows where there are none. The model that the run began with says how
far the answers are from text, and what the right ones were worth before.
"""

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ml.data import Message, encode_example, encode_prompt
from ml.device import pick_device
from ml.errors import DataError, ModelError
from ml.generate import PromptBatch, load_model, stop_tokens
from ml.rundir import RunDirectory

N_PROMPTS, N_LOOKED_AT = 6, 400
MAX_PROMPT_TOKENS = 512
# An answer may be twice as long as the longest right one and a little more, within these limits.
LEAST_TOKENS, MOST_TOKENS = 24, 80
# Nats a token. An answer is far from text where it is so much less likely to the model before than the right ones are;
# a model is lost that finds the right answers themselves so much less likely than before.
FAR, LOST, LOST_SOUND_SHARE = 3.0, 1.5, 0.5
# An answer goes round in circles when its end is the same few tokens again and again.
LOOP_PERIODS, LOOP_TURNS, LOOP_TOKENS = range(1, 13), 4, 20
# At least this share of the answers has to be sound, and the end of a right answer this likely where none has ended.
SOUND_SHARE, END_CHANCE = 0.25, 0.005
SHOWN_CHARS = 400

Row = dict[str, Any]


@dataclass(frozen=True)
class Prompt:
    """A prompt and its right answer as tokens, the answer with its end token."""

    text: str
    ids: list[int]
    right_text: str
    right_ids: list[int]


@dataclass(frozen=True)
class Sample:
    """What the model answered. `far_by`: nats a token less likely to the model before than the right answers; None if empty."""

    prompt: Prompt
    text: str
    ids: list[int]
    is_stopped: bool
    far_by: float | None

    @property
    def problem(self) -> str | None:
        """What is wrong with the answer by itself; a fluent one that was cut off is sound."""
        if not self.text.strip():
            return "empty" if self.prompt.right_text.strip() else None
        if self.far_by is not None and self.far_by > FAR:
            return "far"
        if not self.is_stopped and loops(self.ids):
            return "loops"
        return None

    def shown(self) -> Row:
        return {
            "prompt": self.prompt.text[:SHOWN_CHARS],
            "right": self.prompt.right_text[:SHOWN_CHARS],
            "answer": self.text[:SHOWN_CHARS],
            "is_stopped": self.is_stopped,
            "problem": self.problem,
        }


def loops(ids: Sequence[int]) -> bool:
    """Whether the tokens end in a loop: a turn of up to twelve, LOOP_TURNS times and for LOOP_TOKENS tokens at the least."""
    for period in LOOP_PERIODS:
        n = max(LOOP_TOKENS, period * LOOP_TURNS)
        tail = ids[-n - period :]
        if len(tail) == n + period and all(a == b for a, b in zip(tail, tail[period:], strict=False)):
            return True
    return False


def judge(samples: Sequence[Sample], *, loss: float, loss_before: float, end_chance: float) -> str | None:
    """What is wrong with a model, None where nothing is. `end_chance`: how likely it finds the end of a right answer.

    `lost`: the right answers are far less likely than before, and the model's own are not sound for the most part. `garbage`: hardly any answer is sound. `endless`: no answer
    ended, and it would not end a right one either.
    """
    sound_share = sum(sample.problem is None for sample in samples) / len(samples)
    if not math.isfinite(loss) or (loss - loss_before > LOST and sound_share < LOST_SOUND_SHARE):
        return "lost"
    if sound_share < SOUND_SHARE:
        return "garbage"
    if end_chance < END_CHANCE and not any(sample.is_stopped for sample in samples):
        return "endless"
    return None


def pick_prompts(run: RunDirectory, tokenizer: PreTrainedTokenizerBase) -> tuple[list[Prompt], str]:
    """The prompts with the shortest right answers among the first rows, and the split that they are of."""
    for name in ("valid", "train"):
        found = []
        for row in islice(run.each_row(f"{name}.jsonl"), N_LOOKED_AT):
            *before, last = row["messages"]
            prompt = _prompt(tokenizer, before, last)
            if prompt is not None and len(prompt.ids) <= MAX_PROMPT_TOKENS:
                found.append(prompt)
        if found:
            return sorted(found, key=lambda each: len(each.right_ids))[:N_PROMPTS], name
    return [], "train"


def _prompt(tokenizer: PreTrainedTokenizerBase, before: list[Message], last: Message) -> Prompt | None:
    try:
        encoded = encode_example(tokenizer, [*before, last], last_only=True)
        ids = encode_prompt(tokenizer, before)
    except DataError:  # a row that is learnt in other turns
        return None
    right = [token for token, learnt in zip(encoded.ids, encoded.mask, strict=True) if learnt]
    texts = [message["content"] for message in (before[-1], last)]
    if not right or not all(isinstance(text, str) for text in texts):
        return None
    return Prompt(text=texts[0], ids=ids, right_text=texts[1], right_ids=right)


def mean_loss(scores: Sequence[Sequence[float]]) -> float:
    """Nats a token over all tokens of several answers."""
    return -sum(map(sum, scores)) / sum(map(len, scores))


def answer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]
) -> tuple[list[tuple[list[int], bool]], float, float]:
    """The answers as tokens and whether each ended, the loss of the right answers, and how likely their end is."""
    batch = PromptBatch(model, [prompt.ids for prompt in prompts])
    scores = batch.score([prompt.right_ids for prompt in prompts])
    longest = max(len(prompt.right_ids) for prompt in prompts)
    answers = batch.decode(
        max_tokens=max(LEAST_TOKENS, min(MOST_TOKENS, 2 * longest + 8)), stop=stop_tokens(model, tokenizer)
    )
    end_chance = math.exp(sum(score[-1] for score in scores) / len(scores))
    return [(each.ids, each.is_stopped) for each in answers], mean_loss(scores), end_chance


@torch.inference_mode()
def try_model(run: RunDirectory) -> Row:
    """Ask the model in `model/` and tell about it in the event `smoke_test`. Raises ModelError when it is broken.

    Returns what the result says of it: {} where no row is short enough to ask.
    """
    start = time.monotonic()
    gc.collect()
    device = pick_device(threads=run.config.get("threads"))
    if device.name == "cuda":
        torch.cuda.empty_cache()
    model, tokenizer = load_model(run.path / "model", device=device)
    prompts, split = pick_prompts(run, tokenizer)
    if not prompts:
        return {}
    answers, loss, end_chance = answer(model, tokenizer, prompts)
    del model
    before, _tokenizer = load_model(Path(run.config["base"]), device=device)
    loss_before = mean_loss(
        PromptBatch(before, [prompt.ids for prompt in prompts]).score([prompt.right_ids for prompt in prompts])
    )
    spoken = [place for place, (ids, _stopped) in enumerate(answers) if ids]
    likely: dict[int, float] = {}
    if spoken:
        scores = PromptBatch(before, [prompts[place].ids for place in spoken]).score(
            [answers[place][0] for place in spoken]
        )
        likely = {place: mean_loss([score]) for place, score in zip(spoken, scores, strict=True)}
    samples = [
        Sample(
            prompt=prompt,
            text=tokenizer.decode(ids, skip_special_tokens=True),
            ids=ids,
            is_stopped=is_stopped,
            far_by=likely[place] - loss_before if place in likely else None,
        )
        for place, (prompt, (ids, is_stopped)) in enumerate(zip(prompts, answers, strict=True))
    ]
    problem = judge(samples, loss=loss, loss_before=loss_before, end_chance=end_chance)
    facts = {
        "problem": problem,
        "split": split,
        "n": len(samples),
        "n_sound": sum(sample.problem is None for sample in samples),
        "n_stopped": sum(sample.is_stopped for sample in samples),
        "loss": round(loss, 4) if math.isfinite(loss) else None,
        "loss_before": round(loss_before, 4),
        "end_chance": round(end_chance, 4) if math.isfinite(end_chance) else None,
        "duration_s": round(time.monotonic() - start, 2),
    }
    run.events.emit("smoke_test", **facts, samples=[sample.shown() for sample in samples])
    if problem:
        raise ModelError(SENTENCES[problem].format(**{**facts, "loss": round(loss, 2)}))
    return {"smoke_test": facts}


SENTENCES = {
    "lost": "The trained model finds the right answers far less likely than the one it began with "
    "({loss} against {loss_before} nats a token). Most often the learning rate is too high.",
    "garbage": "Of {n} answers of the trained model only {n_sound} are sound: the others are empty, go round in circles or "
    "are far from any text. Most often the learning rate or the number of epochs is too high.",
    "endless": "The trained model does not end its answers: none of {n} ended, and it would end a right one with a chance of "
    "{end_chance}. Look whether the rows end where an answer should end.",
}


def tried(work: Callable[[RunDirectory], Row]) -> Callable[[RunDirectory], Row]:
    """The work, and the look at what it made, unless config.json says `"smoke_test": false`; of several processes, by the first."""

    def both(run: RunDirectory) -> Row:
        result = work(run)  # what the training held in memory is free by now
        if not run.is_main or run.config.get("smoke_test") is False:
            return result
        return {**result, **try_model(run)}

    return both
