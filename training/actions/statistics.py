"""What is counted of a dataset version, once, behind the scenes: tokens, lengths, languages, words, repetitions."""

import json
import logging
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from math import log, sqrt
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from common.conversations import digest
from labeling.findings.languages import detect_language
from labeling.near import near_keys
from labeling.search_text import words_of
from training.actions import runner
from training.models import BaseModel, DatasetStatistics, DatasetVersion, RowFacts
from training.states import CountState

logger = logging.getLogger(__name__)

LAPSES_AFTER = timedelta(hours=1)  # a worker that died while it counted
CHUNK = 500
N_BINS = 16
N_WORDS = 20
N_GROUPS = 10
MOST_COMPARED = 200_000  # rows; beyond, near-duplicates are not looked for
LEAST_ROWS_OF_A_WORD = 3
LEAST_Z = 2.0


def count_next() -> DatasetStatistics | None:
    """Count the newest version that has not been counted; return what came of it, None where there is none."""
    lapsed = Q(statistics__state=CountState.COUNTING, statistics__started_at__lt=timezone.now() - LAPSES_AFTER)
    version = DatasetVersion.objects.filter(Q(statistics__isnull=True) | lapsed).order_by("-pk").first()
    if version is None:
        return None
    statistics = _claim(version)
    if statistics is None:
        return None
    try:
        data = _count(version, statistics)
    except (OSError, subprocess.CalledProcessError) as error:
        logger.exception("%s cannot be counted", version)
        change: dict[str, Any] = {"state": CountState.FAILED, "error": str(error)}
    else:
        change = {"state": CountState.DONE, "data": data}
    mine = DatasetStatistics.objects.filter(pk=statistics.pk, started_at=statistics.started_at)
    mine.update(**change, finished_at=timezone.now())
    statistics.refresh_from_db()
    return statistics


def _claim(version: DatasetVersion) -> DatasetStatistics | None:
    """Make the row that says that this process counts, or take over a lapsed one; None when another was faster."""
    base_model = _base_model_of(version)
    now = timezone.now()
    former = DatasetStatistics.objects.filter(version=version).first()
    if former is None:
        try:
            with transaction.atomic():
                return DatasetStatistics.objects.create(version=version, base_model=base_model, started_at=now)
        except IntegrityError:
            return None
    held = DatasetStatistics.objects.filter(pk=former.pk, started_at=former.started_at)
    if not held.update(started_at=now, base_model=base_model):
        return None
    former.refresh_from_db()
    return former


def _base_model_of(version: DatasetVersion) -> BaseModel | None:
    """Return whose tokens are counted: the base model of the version's first job, else the default."""
    job = version.jobs.select_related("base_model").order_by("pk").first()
    base_model = job.base_model if job else BaseModel.objects.filter(is_default=True).first()
    return base_model if base_model and base_model.is_ready else None


def _count(version: DatasetVersion, statistics: DatasetStatistics) -> dict[str, Any]:
    folder = settings.VAR_DIR / "statistics" / f"version-{version.pk}"
    try:
        counts = _count_tokens(version, statistics.base_model, folder)
        return _read_rows(version, statistics.base_model, counts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _count_tokens(version: DatasetVersion, base_model: BaseModel | None, folder: Any) -> Iterator[list[int] | None]:
    """Count in a child process, since the tokenizer's libraries are large; yield (tokens, learnt tokens) row by row."""
    if base_model is None:
        return iter(())
    folder.mkdir(parents=True, exist_ok=True)
    rows = version.rows.order_by("position").values_list("messages", flat=True)
    runner.write_lines(folder / "rows.jsonl", ({"messages": row} for row in rows.iterator(chunk_size=CHUNK)))
    runner.write_json(folder / "config.json", {"base": str(base_model.folder)})
    subprocess.run(
        [*settings.ML_COMMAND, "count", str(folder)],
        cwd=settings.BASE_DIR,
        env={**os.environ, **dict.fromkeys(runner.THREAD_VARIABLES, "1")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return _read_counts(folder / "counts.jsonl")


def _read_counts(path: Any) -> Iterator[list[int] | None]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _read_rows(
    version: DatasetVersion, base_model: BaseModel | None, counts: Iterator[list[int] | None]
) -> dict[str, Any]:
    """Go through the rows once, keep what is known of each, and return the figures of all."""
    RowFacts.objects.filter(row__version=version).delete()
    lengths: list[int] = []
    learnt: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    words: Counter[str] = Counter()
    prompts: Counter[str] = Counter()
    nearness = Nearness()
    n_refused = n_english = 0
    is_compared = version.n_examples <= MOST_COMPARED
    facts: list[RowFacts] = []
    rows = version.rows.order_by("position").only("pk", "split", "messages", "position")
    for row in rows.iterator(chunk_size=CHUNK):
        question, answer = row.messages[-2:] if len(row.messages) > 1 else ({"content": ""}, row.messages[-1])
        language = detect_language(answer["content"]) or ""
        languages[language] += 1
        n_tokens = None
        if base_model is not None:
            found = next(counts, None)
            n_refused += found is None
            if found:
                n_tokens, n_learnt = found
                lengths.append(n_tokens)
                tokens[row.split] += n_tokens
                learnt[row.split] += n_learnt
        if language == "en":
            n_english += 1
            words.update(set(words_of(question["content"])))
        prompts[digest(row.messages[:-1])] += 1
        if is_compared:
            nearness.add(row.position, near_keys(question["content"]))
        facts.append(RowFacts(row=row, language=language, n_tokens=n_tokens))
        if len(facts) == CHUNK:
            RowFacts.objects.bulk_create(facts)
            facts.clear()
    RowFacts.objects.bulk_create(facts)
    groups = nearness.groups()
    return {
        "n_tokens": dict(tokens),
        "n_learnt": dict(learnt),
        "n_refused": n_refused,
        "lengths": histogram(lengths),
        **quantiles(lengths),
        "context_tokens": base_model.context_tokens if base_model else None,
        "n_too_long": sum(length > base_model.context_tokens for length in lengths) if base_model else 0,
        "languages": languages.most_common(),
        "words": telling_words(words, n_english),
        "n_same_prompt": sum(n for n in prompts.values() if n > 1),
        "n_near": sum(map(len, groups)) if is_compared else None,
        "near": [group[:5] for group in groups[:N_GROUPS]],
    }


class Nearness:
    """Groups of rows whose questions share one of the keys of labeling.near, directly or through others."""

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}
        self._first: dict[int, int] = {}

    def add(self, row: int, keys: Iterable[int]) -> None:
        for key in keys:
            one, other = self._root(row), self._root(self._first.setdefault(key, row))
            if one != other:
                self._parents[max(one, other)] = min(one, other)

    def groups(self) -> list[list[int]]:
        """Return the groups of two and more rows, the largest first."""
        found: dict[int, list[int]] = {}
        for row in self._parents:
            found.setdefault(self._root(row), []).append(row)
        groups = [sorted({root, *rows}) for root, rows in found.items()]
        return sorted((group for group in groups if len(group) > 1), key=lambda group: (-len(group), group[0]))

    def _root(self, row: int) -> int:
        while (parent := self._parents.get(row, row)) != row:
            self._parents[row] = self._parents.get(parent, parent)  # halve the way for whoever comes next
            row = parent
        return row


def histogram(lengths: Sequence[int]) -> list[list[int]]:
    """Return [from, up to, rows] of at most N_BINS equal stretches of round width, from 0 to the longest."""
    if not lengths:
        return []
    rough = max(lengths) / N_BINS
    width = next(step for step in _round_numbers() if step >= rough)
    counts = Counter(max(length - 1, 0) // width for length in lengths)
    return [[at * width + 1, (at + 1) * width, counts[at]] for at in range(max(counts) + 1)]


def _round_numbers() -> Iterator[int]:
    base = 1
    while True:
        yield from (base, 2 * base, 5 * base)
        base *= 10


def quantiles(lengths: Sequence[int]) -> dict[str, int | None]:
    """Return the median, the 95th percentile and the longest, by nearest rank; None of nothing."""
    ranked = sorted(lengths)

    def at(share: float) -> int | None:
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else None

    return {"median": at(0.5), "p95": at(0.95), "longest": at(1.0)}


def telling_words(words: Counter[str], n_rows: int) -> list[str]:
    """Return the words that stand in more of the rows than in everyday questions would, the most telling first.

    The z-score of the log-odds against the general prompts that training replays (Monroe, Colaresi, Quinn 2008), counted
    once a row.
    """
    path = runner.RESOURCES_DIR / "general_prompts.jsonl"
    background: Counter[str] = Counter()
    everyday = runner.read_lines(path)
    for line in everyday:
        background.update(set(words_of(line["messages"][0]["content"])))
    if not n_rows or not everyday:
        return []

    def z_score(word: str) -> float:
        here, there = words[word] + 0.5, background[word] + 0.5
        odds = log(here / (n_rows - words[word] + 0.5)) - log(there / (len(everyday) - background[word] + 0.5))
        return odds / sqrt(1 / here + 1 / there)

    often = (word for word, n in words.items() if n >= LEAST_ROWS_OF_A_WORD and len(word) > 2 and not word.isdigit())
    scored = sorted(((z_score(word), word) for word in often), key=lambda pair: (-pair[0], pair[1]))
    return [word for z, word in scored[:N_WORDS] if z > LEAST_Z]
