"""The duplicate check of a text that is handed in, among 100,000 submissions, on SQLite and on PostgreSQL.

Texts are made up of words by Zipf's law, 30 to 200 of them; every tenth text is Chinese characters. Half of the texts that are
looked up are a stored one with 3 % of its words exchanged, the others are new. Recall is measured against the exact Jaccard index
with each of 10,000 stored texts, in the same run; that comparison is timed too.
"""

import json
import os
import random
import statistics
import time
from collections.abc import Iterator
from itertools import accumulate

from benchmarks.databases import run_on_both

N_STORED = int(os.environ.get("EMEND_BENCH_ROWS", "100000"))
N_COMPARED = min(10_000, N_STORED)
N_LOOKUPS, N_EXACT, N_WRITES, BATCH = 1000, 200, 200, 2000
CHANGED = 0.03

LATIN = [
    f"{one}{two}{three}" for one in "bdfgklmnprst" for two in "aeiou" for three in ("n", "st", "r", "lo", "mi", "ka")
]
LATIN = [f"{one}{other}" for one in LATIN[:150] for other in LATIN[:100]]
CHINESE = [chr(0x4E00 + number) for number in range(3000)]
WEIGHTS = list(accumulate(1 / (rank + 3) for rank in range(len(LATIN))))


def make_words(rng: random.Random) -> list[str]:
    n_words = int(rng.triangular(30, 200, 60))
    if rng.random() < 0.1:
        return rng.choices(CHINESE, cum_weights=WEIGHTS[: len(CHINESE)], k=n_words)
    return rng.choices(LATIN, cum_weights=WEIGHTS, k=n_words)


def change(rng: random.Random, words: list[str]) -> list[str]:
    return [rng.choice(LATIN) if rng.random() < CHANGED else word for word in words]


def percentiles(times_s: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times_s, n=100)
    return {f"p{n}_ms": round(cuts[n - 1] * 1000, 2) for n in (50, 95, 99)}


def timed(times_s: list[float], function: object, **arguments: object) -> object:
    start = time.perf_counter()
    result = function(**arguments)  # type: ignore[operator]
    times_s.append(time.perf_counter() - start)
    return result


def measure() -> dict[str, object]:
    """Fill the database of this process's settings, look up, and return the figures."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from labeling.actions.fingerprint import find_similar, fingerprint_submissions, pairs_by_part
    from labeling.actions.people import create_person
    from labeling.actions.project import create_project
    from labeling.findings.fingerprints import NEARLY_THE_SAME, overlap
    from labeling.models import Submission, Task
    from labeling.states import TaskState

    call_command("migrate", verbosity=0)
    author, _password = create_person(email="bench@example.org", name="Bench")
    reader, _password = create_person(email="reader@example.org", name="Reader")
    project = create_project(slug="bench", name="Bench")
    rng = random.Random(1)
    stored: list[list[str]] = []

    def conversation(number: int, words: list[str]) -> list[dict[str, str]]:
        return [{"role": "user", "content": f"Question {number}"}, {"role": "assistant", "content": " ".join(words)}]

    def rows(first: int, n: int) -> Iterator[Submission]:
        for number in range(first, first + n):
            words = make_words(rng)
            if number < N_COMPARED:
                stored.append(words)
            messages = conversation(number, words)
            task = Task(project=project, state=TaskState.DONE, messages=messages[:1], prompt_hash=str(number))
            yield Submission(project=project, task=task, author=author, messages=messages)

    start = time.perf_counter()
    for first in range(0, N_STORED, BATCH):
        batch = list(rows(first, min(BATCH, N_STORED - first)))
        Task.objects.bulk_create(row.task for row in batch)
        for row in batch:
            row.task_id = row.task.pk
        Submission.objects.bulk_create(batch)
        fingerprint_submissions(batch)
    fill_s = time.perf_counter() - start
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

    task = Task.objects.create(project=project, messages=[{"role": "user", "content": "Question"}], prompt_hash="new")
    lookups: list[float] = []
    exact: list[float] = []
    pairs = [pairs_by_part(conversation(0, words), 1).get("answer", frozenset()) for words in stored]
    n_there = n_found = n_false = 0
    for number in range(N_LOOKUPS):
        is_copy = number % 2 == 0
        words = change(rng, rng.choice(stored)) if is_copy else make_words(rng)
        messages = [*task.messages, {"role": "assistant", "content": " ".join(words)}]
        similar = timed(lookups, find_similar, task=task, messages=messages, by=reader)
        if number < 2 * N_EXACT and is_copy:
            wanted = pairs_by_part(messages, 1).get("answer", frozenset())
            best = timed(exact, lambda wanted: max(overlap(wanted, other) for other in pairs), wanted=wanted)
            n_there += best >= NEARLY_THE_SAME  # type: ignore[operator]
            n_found += best >= NEARLY_THE_SAME and similar is not None  # type: ignore[operator]
        n_false += not is_copy and similar is not None

    writes: list[float] = []
    for row in list(rows(N_STORED, N_WRITES)):
        row.task.save()
        row.task_id = row.task.pk
        row.save()
        timed(writes, fingerprint_submissions, rows=[row])
    return {
        "rows": N_STORED,
        "lookup": percentiles(lookups),
        "exact_against_10000": percentiles(exact),
        "recall": f"{n_found}/{n_there}",
        "found_for_new_texts": n_false,
        "write": percentiles(writes),
        "fill_s": round(fill_s),
    }


def main() -> None:
    run_on_both("duplicates")


if __name__ == "__main__":
    print(json.dumps(measure()))
