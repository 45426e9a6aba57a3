"""Looks at a run before it takes a slot: what would be trained, whether it can be, and what it needs.

`python -m ml preflight RUN_DIR` reads what the trainer will read and writes `preflight.json`; docs/run-directory.md says
what is in it. Every row is counted, the rows of the first steps are shown token by token.
"""

import contextlib
import json
import os
import random
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerBase

from ml import footprint, pair_plan, plan
from ml.chat_template import load_tokenizer
from ml.data import Encoded, Frame, Message, encode_example, encode_prompt, encode_texts, frame, special_ids
from ml.device import Device, pick_device
from ml.errors import DataError, MlError
from ml.packing import plan_bulk
from ml.rundir import EXIT_DATA, EXIT_FAILED, EXIT_STOPPED, RunDirectory, Stopped, classify, write_json
from ml.tokens_shown import show_tokens

REPORT = "preflight.json"
CHUNK = 1000
N_NAMED = 20  # so many rows at fault are named, the others counted
N_STEPS_SHOWN, N_ROWS_SHOWN, N_TOKENS_SHOWN = 2, 12, 4000
LENGTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096)  # upper ends of the bars of the histogram
REPLAY_ANSWER_TOKENS = 32

Row = dict[str, Any]


@dataclass
class Named:
    """How many rows something is true of, and the first of them by line and reason."""

    n: int = 0
    rows: list[Row] = field(default_factory=list)

    def add(self, line: int, **more: Any) -> None:
        self.n += 1
        if len(self.rows) < N_NAMED:
            self.rows.append({"line": line, **more})


@dataclass
class Counted:
    """The rows of a file in tokens, in the file's order; a row that cannot be used has no tokens."""

    kinds: list[Row] = field(default_factory=list)  # id, kind, weight and novelty of each row: all that a plan asks for
    n_tokens: list[int] = field(default_factory=list)
    spans: list[int] = field(default_factory=list)  # the longest sequence of a row; a pair is two
    n_learnt: list[int] = field(default_factory=list)
    bad: Named = field(default_factory=Named)
    silent: Named = field(default_factory=Named)  # nothing of it is learnt
    unpaired: Named = field(default_factory=Named)  # without a rejected answer, where pairs are learnt from


def count_rows(tokenizer: PreTrainedTokenizerBase, rows: Iterator[Row], *, is_pairs: bool) -> Counted:
    """Count the tokens of every row as `encode_example` makes them, without making them one by one."""
    counted = Counted()
    number = 0
    while chunk := list(islice(rows, CHUNK)):
        frames: list[tuple[Frame, list[int]] | None] = []
        texts: list[str] = []
        for row in chunk:
            number += 1
            counted.kinds.append(
                {name: row.get(name) for name in ("id", "kind", "is_new")} | {"weight": row.get("weight", 1)}
            )
            if is_pairs and row.get("rejected") is None:
                counted.unpaired.add(number)
                frames.append(None)
                continue
            try:
                around, after = _frame_of(tokenizer, row)
                if is_pairs and row["messages"][-1]["content"] == row["rejected"]:
                    raise DataError("The chosen and the rejected answer are the same.")
            except DataError as error:
                counted.bad.add(number, reason=str(error))
                frames.append(None)
                continue
            frames.append((around, after))
            texts += [around.content(i, message["content"]) for i, message in enumerate(row["messages"])]
            if is_pairs:
                texts.append(around.content(len(row["messages"]) - 1, row["rejected"]))
        lengths = iter([len(ids) for ids in encode_texts(tokenizer, texts)])
        for place, (row, found) in enumerate(zip(chunk, frames, strict=True)):
            n_tokens = n_learnt = span = 0
            if found is not None:
                contents = [next(lengths) for _ in row["messages"]]
                n_tokens = span = sum(contents) + sum(found[1])
                n_learnt = sum(contents[i] + 1 for i in learnt_messages(row, is_pairs=is_pairs))
                if is_pairs:
                    rejected = next(lengths)
                    other = span - contents[-1] + rejected
                    n_tokens, span, n_learnt = span + other, max(span, other), n_learnt + rejected + 1
                if not n_learnt:
                    counted.silent.add(number - len(chunk) + place + 1)
            counted.n_tokens.append(n_tokens)
            counted.spans.append(span)
            counted.n_learnt.append(n_learnt)
    return counted


def _frame_of(tokenizer: PreTrainedTokenizerBase, row: Row) -> tuple[Frame, list[int]]:
    """The frame of an example and the lengths of its pieces, checked as `encode_example` checks it. Raises DataError."""
    messages = row.get("messages")
    if row.get("kind") not in ("correction", "demonstration") or "id" not in row or not isinstance(messages, list):
        raise DataError("It needs id, messages and the kind correction or demonstration.")
    around = frame(tokenizer, messages, prompt=False)
    if messages[-1]["role"] != "assistant":
        raise DataError("The last message of an example must be the assistant's.")
    special = special_ids(tokenizer)
    for message, after in zip(messages, around.markup[1:], strict=True):
        if message["role"] == "assistant" and (not after or after[0] not in special):
            raise DataError("The chat template does not end an answer with a special token.")
    markup = around.markup
    if len(messages) > 1:
        markup = (*frame(tokenizer, messages[:-1], prompt=True).markup, markup[-1])
    return around, [*(len(piece) for piece in markup[:-1]), 1]


def learnt_messages(row: Row, *, is_pairs: bool) -> list[int]:
    """The messages of which something is learnt: of a correction and a pair the last one, else all answers."""
    messages: Sequence[Message] = row["messages"]
    if is_pairs or row["kind"] == "correction":
        return [len(messages) - 1]
    return [i for i, each in enumerate(messages) if each["role"] == "assistant" and each.get("weight") != 0]


def read_lines(run: RunDirectory, name: str) -> Iterator[Row]:
    """The rows of a file, one at a time. Raises DataError with the line at fault."""
    path = run.path / name
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{name}, line {number}: not JSON ({error}).") from error
            if not isinstance(row, dict):
                raise DataError(f"{name}, line {number}: not an object.")
            yield row


def cut(encoded: Encoded, max_tokens: int) -> Encoded:
    """The last `max_tokens` tokens, as the trainer cuts a row."""
    return Encoded(ids=encoded.ids[-max_tokens:], mask=encoded.mask[-max_tokens:])


def show_steps(
    tokenizer: PreTrainedTokenizerBase,
    run: RunDirectory,
    steps: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    is_pairs: bool,
) -> list[list[Row]]:
    """The rows of the first steps, token by token; `steps` has the rows' indices. A pair is two entries."""
    wanted = {index for step in steps for index in step}
    found = {index: row for index, row in enumerate(read_lines(run, "train.jsonl")) if index in wanted}
    room, shown = N_TOKENS_SHOWN, []
    for step in steps:
        entries: list[Row] = []
        for index in step[:N_ROWS_SHOWN]:
            row = found[index]
            messages = row["messages"]
            sides = [("chosen", messages), ("rejected", [*messages[:-1], {**messages[-1], "content": row["rejected"]}])]
            for side, conversation in sides if is_pairs else [("", messages)]:
                last_only = is_pairs or row["kind"] == "correction"
                encoded = cut(encode_example(tokenizer, conversation, last_only=last_only), max_tokens)
                if room < len(encoded.ids) and room < N_TOKENS_SHOWN:
                    continue
                room -= len(encoded.ids)
                entries.append(_entry(tokenizer, encoded, line=index + 1, id=row["id"], kind=row["kind"], side=side))
        shown.append(entries)
    return shown


def _entry(tokenizer: PreTrainedTokenizerBase, encoded: Encoded, **more: Any) -> Row:
    return {
        **more,
        "n_tokens": len(encoded.ids),
        "n_learnt": sum(encoded.mask),
        "ends_learnt": bool(encoded.mask[-1]) and encoded.ids[-1] in special_ids(tokenizer),
        "tokens": show_tokens(tokenizer, encoded),
    }


def compare_serving(tokenizer: PreTrainedTokenizerBase, conversations: Sequence[list[Message]]) -> Row:
    """Whether serving will send what training shows before an answer.

    The tokenizer is saved as the trainer saves it and loaded as the engine loads it; the prompts of the conversations are
    encoded by both. `difference` is the first prompt on which they part, as text.
    """
    with tempfile.TemporaryDirectory(prefix="emend-preflight-") as folder:
        tokenizer.save_pretrained(folder)
        served = load_tokenizer(folder)
    for messages in conversations:
        ids = encode_prompt(served, messages[:-1])
        trained = encode_example(tokenizer, messages, last_only=True).ids
        if trained[: len(ids)] != ids:
            return {"is_same": False, "n_checked": len(conversations), "difference": served.decode(ids)[:500]}
    return {"is_same": True, "n_checked": len(conversations), "difference": ""}


def stop_tokens(folder: Path, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens at which serving ends an answer: those of the generation configuration, and the tokenizer's own."""
    path = folder / "generation_config.json"
    configured = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id") if path.is_file() else None
    ids = configured if isinstance(configured, list) else [configured]
    return {i for i in (*ids, tokenizer.eos_token_id) if i is not None}


def histogram(lengths: Sequence[int]) -> list[Row]:
    """How many rows have up to so many tokens; the last bar has no end."""
    bars = Counter(next((end for end in LENGTHS if length <= end), 0) for length in lengths)
    return [{"most": end or None, "n": bars[end]} for end in (*LENGTHS, 0) if bars[end]]


def replay_tokens(tokenizer: PreTrainedTokenizerBase, run: RunDirectory) -> float:
    """About how many tokens a general prompt has with its answer; 0 without any."""
    prompts = [row["messages"] for row in islice(read_lines(run, "replay.jsonl"), 50)]
    lengths = [len(encode_prompt(tokenizer, messages)) + REPLAY_ANSWER_TOKENS for messages in prompts]
    return sum(lengths) / len(lengths) if lengths else 0.0


def preflight(run: RunDirectory, *, measures_speed: bool) -> Row:
    """Everything that is known before the run. `problems` stop it, `warnings` do not."""
    problems: list[Row] = []
    warnings: list[Row] = []
    report: Row = {"problems": problems, "warnings": warnings}

    base = Path(run.config["base"])
    weights = footprint.read_weights(base)
    try:
        tokenizer = load_tokenizer(base)
    except DataError:
        problems.append({"code": "no_template", "kind": "data"})
        return report
    method = run.config["method"]
    is_pairs = method in pair_plan.METHODS
    train = count_rows(tokenizer, read_lines(run, "train.jsonl"), is_pairs=is_pairs)
    valid = count_rows(tokenizer, read_lines(run, "valid.jsonl"), is_pairs=is_pairs)
    usable = [i for i, n in enumerate(train.n_tokens) if n]
    report |= {
        "n_train": len(usable),
        "n_valid": sum(1 for n in valid.n_tokens if n),
        "n_unpaired": train.unpaired.n,
        "silent": asdict(train.silent),
        "bad": asdict(train.bad),
        "bad_valid": asdict(valid.bad),
    }
    for name, found in (("bad_rows", train.bad), ("bad_valid_rows", valid.bad)):
        if found.n:
            problems.append({"code": name, "kind": "data", "n": found.n, **found.rows[0]})
    if not sum(train.n_learnt):
        problems.append({"code": "nothing_learnt", "kind": "data", "n": len(train.n_tokens)})
    if problems:
        return report

    values, reasons, steps = planned_steps(run, train, usable=usable, method=method)
    longest = values["max_tokens"]
    per_replay = replay_tokens(tokenizer, run) if values.get("replay_batch_size") else 0.0
    n_general = round(per_replay * values.get("replay_batch_size", 0) * len(steps))
    lost = [max(0, span - longest) for span in train.spans]
    lengths = [n - lost[i] * (2 if is_pairs else 1) for i, n in enumerate(train.n_tokens)]
    long = Named()
    for index, n in enumerate(lost):
        if n:
            long.add(index + 1, n_tokens=train.spans[index], n_lost=n)
    if values.get("recipe") == "many_rows":  # it leaves out rows of which nothing is learnt
        report["n_train"] = sum(1 for i in usable if train.n_learnt[i])
    report |= {
        "hyperparameters": values,
        "auto": reasons,
        "n_steps": len(steps),
        "n_tokens": sum(lengths),
        "n_learnt": sum(train.n_learnt),
        "n_tokens_seen": sum(lengths[i] for step in steps for i in step),
        "n_tokens_general": n_general,
        "longest": max(train.spans),
        "cut": {**asdict(long), "n_tokens": sum(lost)},
        "lengths": histogram([train.spans[i] for i in usable]),
    }
    shown = show_steps(tokenizer, run, steps[:N_STEPS_SHOWN], max_tokens=longest, is_pairs=is_pairs)
    report["steps"] = shown
    report["end"] = end = _end_token(tokenizer, run, base)
    if not end["is_learnt"] or not all(row["ends_learnt"] for step in shown for row in step):
        problems.append({"code": "end_not_learnt", "kind": "data", "token": end["token"]})
    elif not end["stops"]:
        problems.append({"code": "end_not_served", "kind": "data", "token": end["token"], "served": end["served"]})
    report["template"] = _template(tokenizer, run)
    if not report["template"]["is_same"]:
        warnings.append({"code": "template_differs"})
    if train.silent.n:
        warnings.append({"code": "silent_rows", "n": train.silent.n})
    _weigh(
        report, run, weights, lengths=lengths, learnt=train.n_learnt, per_replay=per_replay, is_fast=not measures_speed
    )
    return report


def _many_rows() -> ModuleType:
    """The recipe for many rows, which brings seconds of libraries that few rows need not wait for."""
    from ml import many_rows

    return many_rows


def planned_steps(
    run: RunDirectory, train: Counted, *, usable: Sequence[int], method: str
) -> tuple[Row, dict[str, str], list[list[int]]]:
    """The hyperparameters, the reasons for what was chosen, and the rows of every step. Raises DataError."""
    configured, seed = run.config.get("hyperparameters") or {}, run.config["seed"]
    if method in pair_plan.METHODS:
        tuning = run.config.get("tuning", "auto")
        pairs, reasons = pair_plan.resolve(configured, method=method, n_pairs=len(usable), tuning=tuning)
        order = pair_plan.plan_order(len(usable), n_epochs=pairs.n_epochs, rng=random.Random(seed))
        rows = [usable[i] for i in order]
        size = pairs.batch_size
        values = {"tuning": "lora" if tuning == "auto" else tuning, **asdict(pairs)}
        return values, reasons, [rows[start : start + size] for start in range(0, len(rows), size)]
    recipe, why = plan.choose_recipe(run.config, n_rows=len(train.kinds))
    because = {"recipe": why} if why else {}
    if recipe == "many_rows":
        many_rows = _many_rows()
        tuning = run.config.get("tuning", "auto")
        bulk, reasons = many_rows.resolve(
            configured, n_rows=len(train.kinds), tuning=tuning, n_valid=run.n_rows("valid.jsonl")
        )
        kept = [i for i in usable if train.n_learnt[i]]
        weights = [train.kinds[i]["weight"] for i in kept]
        shown = plan_bulk(weights, n_epochs=bulk.n_epochs, batch_size=bulk.batch_size, seed=seed)
        values = {"recipe": recipe, "tuning": "lora" if tuning == "auto" else tuning, **asdict(bulk)}
        return values, because | reasons, [[kept[i] for i in step.examples] for step in shown]
    chosen, reasons = plan.resolve(configured, train.kinds)
    n_replay = sum(1 for _ in read_lines(run, "replay.jsonl"))
    steps = plan.plan_steps(
        train.kinds,
        n_replay=n_replay,
        hyperparameters=chosen,
        seed=seed,
        is_continued=plan.is_continued(run.config),
    )
    values = {"recipe": recipe, **asdict(chosen)}
    return values, because | reasons, [[sight.row for sight in step.examples] for step in steps]


def _template(tokenizer: PreTrainedTokenizerBase, run: RunDirectory) -> Row:
    first = [row["messages"] for row in islice(read_lines(run, "train.jsonl"), 50)]
    return compare_serving(tokenizer, [messages for messages in first if len(messages) > 1][:10])


def _end_token(tokenizer: PreTrainedTokenizerBase, run: RunDirectory, base: Path) -> Row:
    """The token that ends an answer, whether it is learnt, and whether serving stops at it."""
    row = next(read_lines(run, "train.jsonl"))
    encoded = encode_example(tokenizer, row["messages"], last_only=True)
    stops = stop_tokens(base, tokenizer)
    return {
        "token": str(tokenizer.convert_ids_to_tokens(encoded.ids[-1])),
        "id": encoded.ids[-1],
        "is_learnt": bool(encoded.mask[-1]),
        "stops": encoded.ids[-1] in stops,
        "served": [str(tokenizer.convert_ids_to_tokens(i)) for i in sorted(stops)],
    }


def _weigh(
    report: Row,
    run: RunDirectory,
    weights: footprint.Weights,
    *,
    lengths: Sequence[int],
    learnt: Sequence[int],
    per_replay: float,
    is_fast: bool,
) -> None:
    """Hold what the run needs against what the machine has."""
    values = report["hyperparameters"]
    is_gpu = torch.cuda.is_available()
    device = Device("cuda", torch.bfloat16) if is_gpu else Device("cpu", torch.float32)
    size, n_general = values["batch_size"], values.get("replay_batch_size", 0)
    step_tokens = round(sum(sorted(lengths)[-size:]) + n_general * per_replay)
    step_learnt = sum(sorted(learnt)[-size:]) + n_general * REPLAY_ANSWER_TOKENS
    if values.get("recipe") == "many_rows":  # a step goes through the model in passes
        usual = _many_rows().GPU_PACK if is_gpu else _many_rows().CPU_PACK
        step_tokens = max(run.config.get("micro_batch_tokens") or usual, max(lengths))
        step_learnt = min(step_learnt, step_tokens)
    need = footprint.estimate_need(
        weights,
        device=device,
        is_full=values.get("tuning") == "full",
        lora_rank=values["lora_rank"],
        step_tokens=step_tokens,
        step_learnt=step_learnt,
    )
    has_memory, has_disk = footprint.free_memory(device), footprint.free_disk(run.path)
    report["machine"] = {
        "device": device.name,
        "memory_least_bytes": need.least_memory,
        "memory_bytes": need.likely_memory,
        "memory_free_bytes": has_memory,
        "disk_bytes": need.disk,
        "disk_free_bytes": has_disk,
        "n_parameters": weights.n_parameters,
    }
    if need.least_memory > has_memory:
        numbers = {"needed_bytes": need.least_memory, "free_bytes": has_memory}
        report["problems"].append({"code": "memory", "kind": "memory", **numbers})
    elif need.likely_memory > has_memory:
        report["warnings"].append({"code": "memory_tight"})
    if need.disk > has_disk:
        report["problems"].append({"code": "disk", "kind": "disk", "needed_bytes": need.disk, "free_bytes": has_disk})
    if not is_fast and not report["problems"]:
        measured = pick_device(threads=run.config.get("threads"))
        report["tokens_per_s"] = round(
            footprint.measure_tokens_per_s(weights, device=measured, is_full=values.get("tuning") == "full"), 1
        )


def main(argv: list[str]) -> int:
    """Write the report of one run directory; what went wrong on the way is a problem like any other."""
    if len(argv) != 1:
        print("usage: python -m ml preflight RUN_DIR", file=sys.stderr)
        return 64
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # nothing is forked here
    transformers.utils.logging.set_verbosity_error()
    path = Path(argv[0]).absolute()
    try:
        run = RunDirectory(path)
        run.stop.install(parent_pid=os.getppid())
        report = preflight(run, measures_speed=bool(run.config.get("measures_speed")))
    except Stopped:
        return EXIT_STOPPED
    except Exception as error:  # noqa: BLE001  the edge of the process: whatever went wrong is told in the report
        if not isinstance(error, MlError):
            traceback.print_exc()
        failure = classify(error)
        with contextlib.suppress(OSError):
            problem = {"code": "failed", "kind": failure.kind, "message": str(failure)}
            write_json(path / REPORT, {"problems": [problem], "warnings": []})
        return EXIT_DATA if isinstance(failure, DataError) else EXIT_FAILED
    write_json(path / REPORT, report)
    return 0
