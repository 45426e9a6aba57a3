"""Measures one model: is it right on the tests and their probes, and what is its loss on answers it should keep?

`python -m ml evaluate RUN_DIR`; docs/run-directory.md says what goes in, what comes out and what the measures mean.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pycld2
import regex
import torch
from sacrebleu.metrics import CHRF
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ml import rundir
from ml.answer_cache import AnswerCache, model_digest, row_key
from ml.chat_template import load_tokenizer
from ml.data import Message, encode_example, encode_prompt
from ml.device import keep_freed_memory, pick_device
from ml.errors import DataError
from ml.generate import Answer, PromptBatch, batches, load_model, stop_tokens
from ml.rundir import RunDirectory

BATCH_SIZE = 48
PATTERN_TIMEOUT_S = 1.0
TEMPERATURE = 0.7
GRAM = 4  # words (or, in a text of few, characters) of a phrase that is looked for again
MIN_LANGUAGE_BYTES = 24
# Suites whose prompts are answered, and suites whose answers are only read.
ASKED = {"tests": "regression", "gold": "gold", "own": "own"}
KEPT = ("held_out", "validation", "unrelated")
CHRF_SCORE = CHRF()
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One prompt of a suite: a test's own (`probe` None) or one of its probes.

    A gold task or a row of an own suite may lack a right answer (`chosen` "") or a wrong one (`rejected` "").
    """

    id: str
    probe: int | None
    prompt: list[int]
    chosen: str
    rejected: str
    chosen_ids: list[int]
    rejected_ids: list[int]
    checks: list[Row]
    suite: str = "regression"
    n_samples: int = 0

    @property
    def key(self) -> tuple[str, str, int | None]:
        return (self.suite if self.probe is None else "probe", self.id, self.probe)


@dataclass(frozen=True)
class Kept:
    """A good answer whose loss is measured: the model should find it no less likely than before."""

    id: str
    suite: str
    prompt: list[int]
    answer_ids: list[int]

    @property
    def key(self) -> tuple[str, str, None]:
        return (self.suite, self.id, None)


def chrf(answer: str, reference: str) -> float:
    """Character n-gram F-score, 0 to 100."""
    return CHRF_SCORE.sentence_score(answer, [reference]).score


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def passes(check: Row, answer: str) -> bool:
    """Whether an answer satisfies one check; letter case is ignored by `contains` and `excludes` alone.

    A pattern that takes longer than a second does not match. Raises DataError for a check that makes no sense.
    """
    kind, value = check.get("kind"), check.get("value")
    try:
        if kind == "contains":
            return str(value).casefold() in answer.casefold()
        if kind == "excludes":
            return str(value).casefold() not in answer.casefold()
        if kind == "matches":
            return regex.search(str(value), answer, timeout=PATTERN_TIMEOUT_S) is not None
        if kind == "max_words":
            return len(answer.split()) <= int(value)
    except TimeoutError:
        return False
    except (regex.error, TypeError, ValueError) as error:
        raise DataError(f"The check {kind} has the value {value!r}, which it cannot use: {error}") from error
    if kind == "json":
        return is_json(answer)
    raise DataError(f"There is no check of kind {kind!r}.")


def answer_tokens(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[Message], answer: str) -> list[int]:
    """The tokens of an answer as training sees them: its text and the end token."""
    messages = [*prompt, {"role": "assistant", "content": answer}]
    encoded = encode_example(tokenizer, messages, last_only=True)
    return [token for token, learnt in zip(encoded.ids, encoded.mask, strict=True) if learnt]


def repetition(text: str) -> float:
    """The share of a text's phrases of four words that it has said before, 0 for a text that has fewer than two."""
    words = text.split()
    pieces: Sequence[str] = words if len(words) > 2 * GRAM else text
    grams = [tuple(pieces[i : i + GRAM]) for i in range(len(pieces) - GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if len(grams) > 1 else 0.0


def language(text: str) -> str | None:
    """The code of the language that a text is surely in."""
    if len(text.encode()) < MIN_LANGUAGE_BYTES:
        return None
    try:
        is_sure, _n_bytes, guesses = pycld2.detect(text)
    except pycld2.error:  # bytes that the detector refuses
        return None
    return guesses[0][1] if is_sure else None


def read_cases(run: RunDirectory, tokenizer: PreTrainedTokenizerBase, *, file: str = "tests") -> list[Case]:
    """A case for each row and, unless the configuration leaves them out, for each probe. Raises DataError."""
    cases = []
    suite, n_samples = ASKED[file], run.config.get("samples", 0)
    for number, row in enumerate(run.rows(f"{file}.jsonl"), start=1):
        try:
            chosen, rejected, checks = row["chosen"], row["rejected"], row.get("checks") or []
            prompts: list[tuple[int | None, list[Message]]] = [(None, row["messages"])]
            if run.config.get("probes", True):
                prompts += enumerate(row.get("probes") or [])
            for check in checks:
                passes(check, "")
            cases += [
                Case(
                    id=row["id"],
                    probe=probe,
                    prompt=encode_prompt(tokenizer, prompt),
                    chosen=chosen,
                    rejected=rejected,
                    chosen_ids=answer_tokens(tokenizer, prompt, chosen) if chosen else [],
                    rejected_ids=answer_tokens(tokenizer, prompt, rejected) if rejected else [],
                    checks=checks,
                    suite=suite,
                    n_samples=n_samples if suite == "regression" and probe is None else 0,
                )
                for probe, prompt in prompts
            ]
        except KeyError as error:
            raise DataError(f"{file}.jsonl, line {number}: {error} is missing.") from error
    return cases


def read_kept(run: RunDirectory, suite: str, tokenizer: PreTrainedTokenizerBase) -> list[Kept]:
    kept = []
    for number, row in enumerate(run.rows(f"{suite}.jsonl"), start=1):
        try:
            *prompt, answer = row["messages"]
            prompt_ids = encode_prompt(tokenizer, prompt)
            answer_ids = answer_tokens(tokenizer, prompt, answer["content"])
            kept.append(Kept(id=row["id"], suite=suite, prompt=prompt_ids, answer_ids=answer_ids))
        except (KeyError, ValueError) as error:
            raise DataError(f"{suite}.jsonl, line {number}: needs an id and messages ({error}).") from error
    return kept


def is_right(case: Case, text: str, *, logprob_chosen: float | None, logprob_rejected: float | None) -> bool | None:
    """Whether an answer is right, as docs/run-directory.md says; None where nothing says what right is."""
    verdicts = [passes(check, text) for check in case.checks]
    if case.chosen and case.rejected and logprob_chosen is not None and logprob_rejected is not None:
        verdicts += [logprob_chosen > logprob_rejected, chrf(text, case.chosen) > chrf(text, case.rejected)]
    return all(verdicts) if verdicts else None


def judge(
    case: Case,
    *,
    answer: Answer,
    text: str,
    logprob_chosen: float | None,
    logprob_rejected: float | None,
    sampled: Sequence[str] = (),
) -> Row:
    """The line of results.jsonl for one case."""
    scores = {"logprob_chosen": logprob_chosen, "logprob_rejected": logprob_rejected}
    wanted = language(case.chosen)
    spoken = language(text) if wanted else None
    return {
        "id": case.id,
        "suite": case.key[0],
        "probe": case.probe,
        "answer": text,
        "stopped": answer.is_stopped,
        "n_tokens": len(answer.ids),
        **scores,
        "chrf_chosen": chrf(text, case.chosen) if case.chosen else None,
        "chrf_rejected": chrf(text, case.rejected) if case.rejected else None,
        "repetition": round(repetition(text), 4),
        "language": spoken == wanted if spoken else None,
        "checks": [{**check, "passed": passes(check, text)} for check in case.checks],
        "sampled": [{"answer": other, "right": is_right(case, other, **scores)} for other in sampled],
        "right": is_right(case, text, **scores),
    }


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def optional_scores(prompts: PromptBatch, answers: Sequence[list[int]]) -> list[float | None]:
    """The mean log-likelihood per token of each answer, None where there is none."""
    if not any(answers):
        return [None] * len(answers)
    scores = prompts.score([ids or [0] for ids in answers])
    return [mean(score) if ids else None for ids, score in zip(answers, scores, strict=True)]


def answer_cases(
    model: PreTrainedModel, cases: Sequence[Case], *, max_tokens: int, stop: set[int], seed: int
) -> list[Row]:
    """What the model says to a batch of cases, as it is kept: token ids and mean log-likelihoods."""
    prompts = PromptBatch(model, [case.prompt for case in cases])
    chosen = optional_scores(prompts, [case.chosen_ids for case in cases])
    rejected = optional_scores(prompts, [case.rejected_ids for case in cases])
    answers = prompts.decode(max_tokens=max_tokens, stop=stop)
    sampled: list[list[list[int]]] = [[] for _ in cases]
    chance = torch.Generator(device=model.device).manual_seed(seed)
    for turn in range(max((case.n_samples for case in cases), default=0)):
        asked = [place for place, case in enumerate(cases) if case.n_samples > turn]
        batch = PromptBatch(model, [cases[place].prompt for place in asked])
        drawn = batch.decode(max_tokens=max_tokens, stop=stop, temperature=TEMPERATURE, generator=chance)
        for place, answer in zip(asked, drawn, strict=True):
            sampled[place].append(answer.ids)
    return [
        {"ids": answer.ids, "stopped": answer.is_stopped, "chosen": a, "rejected": b, "sampled": samples}
        for answer, a, b, samples in zip(answers, chosen, rejected, sampled, strict=True)
    ]


def read_answers(model: PreTrainedModel, kept: Sequence[Kept]) -> list[Row]:
    """How likely the model finds a batch of good answers."""
    prompts = PromptBatch(model, [k.prompt for k in kept])
    scores, n_hits = prompts.score_and_hit([k.answer_ids for k in kept])
    return [
        {"loss": -mean(score), "n_tokens": len(score), "n_hits": hits}
        for score, hits in zip(scores, n_hits, strict=True)
    ]


def share(values: Sequence[bool | None]) -> float | None:
    """The share of what is true among what is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def mean_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def summarise(results: Sequence[Row]) -> Row:
    """The metrics of result.json from the lines of results.jsonl; null where there was nothing to measure."""
    by_suite: dict[str, list[Row]] = {name: [] for name in (*ASKED.values(), "probe", *KEPT)}
    for row in results:
        by_suite[row["suite"]].append(row)
    cases, asked = by_suite["regression"], by_suite["regression"] + by_suite["probe"]

    def loss(rows: Sequence[Row]) -> float | None:
        n_tokens = sum(row["n_tokens"] for row in rows)
        return sum(row["loss"] * row["n_tokens"] for row in rows) / n_tokens if n_tokens else None

    def accuracy(rows: Sequence[Row]) -> float | None:
        n_tokens = sum(row["n_tokens"] for row in rows)
        return sum(row.get("n_hits", 0) for row in rows) / n_tokens if n_tokens else None

    margins = [
        row["logprob_chosen"] - row["logprob_rejected"]
        for row in cases
        if row.get("logprob_chosen") is not None and row.get("logprob_rejected") is not None
    ]
    return {
        "n_cases": len(cases),
        "efficacy": share([row["right"] for row in cases]),
        "sampled_efficacy": share([each["right"] for row in cases for each in row.get("sampled", [])]),
        "n_probes": len(by_suite["probe"]),
        "generalisation": share([row["right"] for row in by_suite["probe"]]),
        "margin": mean_known(margins),
        "chrf": mean_known([row.get("chrf_chosen") for row in cases]),
        "checks": share([check["passed"] for row in asked for check in row.get("checks", [])]),
        "stop_rate": share([row["stopped"] for row in asked]),
        "n_answers": len(asked),
        "answer_tokens": mean_known([row.get("n_tokens") for row in asked]),
        "repetition": mean_known([row.get("repetition") for row in asked]),
        "language": share([row.get("language") for row in asked]),
        **{f"n_{name}": len(by_suite[name]) for name in ("gold", "own", *KEPT)},
        **{f"{name}_right": share([row["right"] for row in by_suite[name]]) for name in ("gold", "own")},
        **{f"{name}_chrf": mean_known([row.get("chrf_chosen") for row in by_suite[name]]) for name in ("gold", "own")},
        **{f"{name}_loss": loss(by_suite[name]) for name in KEPT},
        **{f"{name}_accuracy": accuracy(by_suite[name]) for name in KEPT},
    }


@dataclass
class Evaluator:
    """One model and the settings of one run. The model is loaded once something is not known already."""

    run: RunDirectory
    folder: Path
    cache: AnswerCache
    _loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None

    @property
    def max_tokens(self) -> int:
        return self.run.config.get("max_tokens", 256)

    def model(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        if self._loaded is None:
            self._loaded = load_model(self.folder, device=pick_device(threads=self.run.config.get("threads")))
        return self._loaded

    def case_keys(self, cases: Sequence[Case]) -> list[str]:
        settings = (self.max_tokens, TEMPERATURE, self.run.config.get("seed", 0))
        return [row_key("case", c.prompt, c.chosen_ids, c.rejected_ids, c.n_samples, settings) for c in cases]

    def kept_keys(self, kept: Sequence[Kept]) -> list[str]:
        return [row_key("kept", k.prompt, k.answer_ids) for k in kept]

    def measure_cases(self, cases: Sequence[Case]) -> list[Row]:
        model, tokenizer = self.model()
        # The seed follows from the prompts, so that a batch is drawn alike in every evaluation that asks it.
        seed = int(row_key(self.run.config.get("seed", 0), [case.prompt for case in cases])[:12], 16)
        return answer_cases(model, cases, max_tokens=self.max_tokens, stop=stop_tokens(model, tokenizer), seed=seed)

    def measure_kept(self, kept: Sequence[Kept]) -> list[Row]:
        return read_answers(self.model()[0], kept)


def measured(
    rows: Sequence[Any],
    keys: Sequence[str],
    lengths: Sequence[int],
    cache: AnswerCache,
    measure: Callable[[Sequence[Any]], list[Row]],
) -> Iterator[list[tuple[Any, Row]]]:
    """Rows with what is measured of them: first those that are known, then the others, a batch at a time."""
    known = [(row, cache.get(key)) for row, key in zip(rows, keys, strict=True) if cache.get(key) is not None]
    if known:
        yield known
    unknown = [i for i, key in enumerate(keys) if cache.get(key) is None]
    for batch in batches([lengths[i] for i in unknown], size=BATCH_SIZE):
        places = [unknown[i] for i in batch]
        values = measure([rows[i] for i in places])
        cache.add([keys[i] for i in places], values)
        yield [(rows[i], value) for i, value in zip(places, values, strict=True)]


def kept_line(kept: Kept, value: Row) -> Row:
    return {"id": kept.id, "suite": kept.suite, **value}


def case_line(tokenizer: PreTrainedTokenizerBase, case: Case, value: Row) -> Row:
    return judge(
        case,
        answer=Answer(ids=value["ids"], is_stopped=value["stopped"]),
        text=tokenizer.decode(value["ids"], skip_special_tokens=True),
        logprob_chosen=value["chosen"],
        logprob_rejected=value["rejected"],
        sampled=[tokenizer.decode(ids, skip_special_tokens=True) for ids in value["sampled"]],
    )


@torch.inference_mode()
def evaluate(run: RunDirectory) -> Row:
    """Measure what results.jsonl does not say yet and return the result."""
    start = time.monotonic()
    keep_freed_memory()
    folder = Path(run.config["model"])
    if not (folder / "config.json").is_file():
        raise DataError(f"There is no model in {folder.name}.")
    tokenizer, digest = load_tokenizer(folder), model_digest(folder)
    cache_folder = run.config.get("cache")
    evaluator = Evaluator(run, folder, AnswerCache(Path(cache_folder) if cache_folder else None, digest))
    cases = [c for file in ASKED for c in read_cases(run, tokenizer, file=file)]
    kept = [k for suite in KEPT for k in read_kept(run, suite, tokenizer)]
    total = len(cases) + len(kept)
    path = run.path / "results.jsonl"
    results = rundir.read_whole_lines(path)
    known = {(row["suite"], row["id"], row.get("probe")) for row in results}
    cases, kept = [c for c in cases if c.key not in known], [k for k in kept if k.key not in known]
    case_keys, kept_keys = evaluator.case_keys(cases), evaluator.kept_keys(kept)
    found = Counter(evaluator.cache.get(key) is not None for key in (*case_keys, *kept_keys))
    run.events.emit("started", total=total, done=total - len(cases) - len(kept), n_cached=found[True])
    n_now, start_measuring = 0, time.monotonic()
    kept_lengths = [len(k.prompt) + len(k.answer_ids) for k in kept]
    case_lengths = [len(c.prompt) for c in cases]
    parts: tuple[Iterator[list[Row]], ...] = (
        (
            [kept_line(*pair) for pair in pairs]
            for pairs in measured(kept, kept_keys, kept_lengths, evaluator.cache, evaluator.measure_kept)
        ),
        (
            [case_line(tokenizer, *pair) for pair in pairs]
            for pairs in measured(cases, case_keys, case_lengths, evaluator.cache, evaluator.measure_cases)
        ),
    )
    for part in parts:
        for rows in part:
            for row in rows:
                rundir.append_line(path, row)
            results += rows
            n_now += len(rows)
            remaining = (total - len(results)) * (time.monotonic() - start_measuring) / n_now
            run.events.emit("progress", done=len(results), total=total, remaining_s=round(remaining, 1))
    return {
        "metrics": summarise(results),
        "model_sha256": digest,
        "n_cached": found[True],
        "duration_s": round(time.monotonic() - start, 3),
    }


def main(argv: list[str]) -> int:
    return rundir.run(argv, command="evaluate", work=evaluate)
