"""Measures one model: is it right on the tests and their probes, and what is its loss on answers it should keep?

`python -m ml evaluate RUN_DIR`; docs/run-directory.md says what goes in, what comes out and what the measures mean.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import regex
import torch
from sacrebleu.metrics import CHRF
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ml import rundir
from ml.data import Message, encode_example, encode_prompt
from ml.device import keep_freed_memory, pick_device
from ml.errors import DataError
from ml.generate import Answer, PromptBatch, batches, load_model, stop_tokens
from ml.rundir import RunDirectory

BATCH_SIZE = 48
PATTERN_TIMEOUT_S = 1.0
CHRF_SCORE = CHRF()
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One prompt of a test: the test's own (`probe` None) or one of its probes."""

    id: str
    probe: int | None
    prompt: list[int]
    chosen: str
    rejected: str
    chosen_ids: list[int]
    rejected_ids: list[int]
    checks: list[Row]

    @property
    def key(self) -> tuple[str, str, int | None]:
        return ("regression" if self.probe is None else "probe", self.id, self.probe)


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


def read_cases(run: RunDirectory, tokenizer: PreTrainedTokenizerBase) -> list[Case]:
    """A case for each test and, unless the configuration leaves them out, for each probe. Raises DataError."""
    cases = []
    for number, row in enumerate(run.rows("tests.jsonl"), start=1):
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
                    chosen_ids=answer_tokens(tokenizer, prompt, chosen),
                    rejected_ids=answer_tokens(tokenizer, prompt, rejected),
                    checks=checks,
                )
                for probe, prompt in prompts
            ]
        except KeyError as error:
            raise DataError(f"tests.jsonl, line {number}: {error} is missing.") from error
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


def judge(case: Case, *, answer: Answer, text: str, logprob_chosen: float, logprob_rejected: float) -> Row:
    """The line of results.jsonl for one case; `right` is what docs/run-directory.md says."""
    chrf_chosen, chrf_rejected = chrf(text, case.chosen), chrf(text, case.rejected)
    checks = [{**check, "passed": passes(check, text)} for check in case.checks]
    is_right = (
        logprob_chosen > logprob_rejected and chrf_chosen > chrf_rejected and all(check["passed"] for check in checks)
    )
    return {
        "id": case.id,
        "suite": case.key[0],
        "probe": case.probe,
        "answer": text,
        "stopped": answer.is_stopped,
        "n_tokens": len(answer.ids),
        "logprob_chosen": logprob_chosen,
        "logprob_rejected": logprob_rejected,
        "chrf_chosen": chrf_chosen,
        "chrf_rejected": chrf_rejected,
        "checks": checks,
        "right": is_right,
    }


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def measure_cases(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, cases: Sequence[Case], *, max_tokens: int
) -> Iterator[list[Row]]:
    """The result lines of all cases, a batch at a time."""
    stop = stop_tokens(model, tokenizer)
    for indices in batches([len(case.prompt) for case in cases], size=BATCH_SIZE):
        batch = [cases[i] for i in indices]
        prompts = PromptBatch(model, [case.prompt for case in batch])
        chosen = prompts.score([case.chosen_ids for case in batch])
        rejected = prompts.score([case.rejected_ids for case in batch])
        answers = prompts.decode(max_tokens=max_tokens, stop=stop)
        yield [
            judge(
                case,
                answer=answer,
                text=tokenizer.decode(answer.ids, skip_special_tokens=True),
                logprob_chosen=mean(a),
                logprob_rejected=mean(b),
            )
            for case, answer, a, b in zip(batch, answers, chosen, rejected, strict=True)
        ]


def measure_kept(model: PreTrainedModel, kept: Sequence[Kept]) -> Iterator[list[Row]]:
    """The result lines of all kept answers, a batch at a time."""
    for indices in batches([len(k.prompt) + len(k.answer_ids) for k in kept], size=BATCH_SIZE):
        batch = [kept[i] for i in indices]
        scores = PromptBatch(model, [k.prompt for k in batch]).score([k.answer_ids for k in batch])
        yield [
            {"id": k.id, "suite": k.suite, "loss": -mean(score), "n_tokens": len(score)}
            for k, score in zip(batch, scores, strict=True)
        ]


def share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def summarise(results: Sequence[Row]) -> Row:
    """The metrics of result.json from the lines of results.jsonl; null where there was nothing to measure."""
    by_suite: dict[str, list[Row]] = {"regression": [], "probe": [], "held_out": [], "unrelated": []}
    for row in results:
        by_suite[row["suite"]].append(row)

    def loss(rows: Sequence[Row]) -> float | None:
        n_tokens = sum(row["n_tokens"] for row in rows)
        return sum(row["loss"] * row["n_tokens"] for row in rows) / n_tokens if n_tokens else None

    return {
        "n_cases": len(by_suite["regression"]),
        "efficacy": share([row["right"] for row in by_suite["regression"]]),
        "n_probes": len(by_suite["probe"]),
        "generalisation": share([row["right"] for row in by_suite["probe"]]),
        "stop_rate": share([row["stopped"] for row in by_suite["regression"] + by_suite["probe"]]),
        "held_out_loss": loss(by_suite["held_out"]),
        "n_held_out": len(by_suite["held_out"]),
        "unrelated_loss": loss(by_suite["unrelated"]),
        "n_unrelated": len(by_suite["unrelated"]),
    }


@torch.inference_mode()
def evaluate(run: RunDirectory) -> Row:
    """Measure what results.jsonl does not say yet and return the result."""
    start = time.monotonic()
    keep_freed_memory()
    device = pick_device(threads=run.config.get("threads"))
    model, tokenizer = load_model(Path(run.config["model"]), device=device)
    cases = read_cases(run, tokenizer)
    kept = [k for suite in ("held_out", "unrelated") for k in read_kept(run, suite, tokenizer)]
    total = len(cases) + len(kept)
    path = run.path / "results.jsonl"
    results = rundir.read_whole_lines(path)
    known = {(row["suite"], row["id"], row.get("probe")) for row in results}
    cases, kept = [c for c in cases if c.key not in known], [k for k in kept if k.key not in known]
    run.events.emit("started", total=total, done=total - len(cases) - len(kept))
    n_now, start_measuring = 0, time.monotonic()
    for measured in (
        measure_kept(model, kept),
        measure_cases(model, tokenizer, cases, max_tokens=run.config.get("max_tokens", 256)),
    ):
        for rows in measured:
            for row in rows:
                rundir.append_line(path, row)
            results += rows
            n_now += len(rows)
            remaining = (total - len(results)) * (time.monotonic() - start_measuring) / n_now
            run.events.emit("progress", done=len(results), total=total, remaining_s=round(remaining, 1))
    return {"metrics": summarise(results), "duration_s": round(time.monotonic() - start, 3)}


def main(argv: list[str]) -> int:
    return rundir.run(argv, command="evaluate", work=evaluate)
