"""Exports and imports of 100,000 conversations, on SQLite and on PostgreSQL, each beside what plain Python takes for the same rows.

The export to JSON Lines is compared with `json.dumps` over the same rows already in memory, the tables of submissions with the
csv module, and the imports with `json.loads` of every line. Every twentieth row of the imported file is there twice, every
twentieth has a few words exchanged, so both kinds of duplicates are found on the way.
"""

import csv
import hashlib
import io
import json
import os
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.databases import run_on_both
from benchmarks.duplicates import CHANGED, LATIN, make_words

N_ROWS = int(os.environ.get("EMEND_BENCH_ROWS", "100000"))
WORDS = 60


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def conversations(rng: random.Random) -> Iterator[list[dict[str, str]]]:
    """Yield conversations; each twentieth is the one before again, each twentieth that with words exchanged."""
    words: list[str] = []
    for number in range(N_ROWS):
        question = f"Question {number}?"
        if number % 20 == 7:
            question = f"Question {number - 1}?"
        elif number % 20 == 13:
            words = [rng.choice(LATIN) if rng.random() < CHANGED else word for word in words]
        else:
            words = make_words(rng)[:WORDS]
        yield [{"role": "user", "content": question}, {"role": "assistant", "content": " ".join(words)}]


def measure() -> dict[str, object]:
    """Fill the database of this process's settings and return seconds, and ratios to plain Python."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection, transaction

    from common.bulk import insert_many
    from common.conversations import digest
    from labeling.actions import prompt_import, prompt_import_run
    from labeling.actions.export import export_submissions
    from labeling.actions.people import create_person
    from labeling.actions.project import create_project
    from labeling.models import Submission, Task
    from training.actions.example_import_run import import_path
    from training.formats import find_format
    from training.models import DatasetRow, DatasetVersion
    from training.queries.exporting import export_text, find_losses, read_shapes

    call_command("migrate", verbosity=0)
    author, _password = create_person(email="bench@example.org", name="Bench")
    project = create_project(slug="bench", name="Bench")
    rows = list(conversations(random.Random(1)))
    figures: dict[str, object] = {"rows": N_ROWS}

    def note(name: str, seconds: float, plain: float) -> None:
        figures[name] = {"s": round(seconds, 2), "times_plain": round(seconds / plain, 1)}
        print(f"  {name}: {json.dumps(figures[name])}", file=sys.stderr, flush=True)

    def drain(chunks: Iterator[str]) -> None:
        for _chunk in chunks:
            pass

    version = DatasetVersion.objects.create(
        project=project, number=1, content_hash=digest("bench"), n_train=N_ROWS, n_valid=0
    )
    with transaction.atomic():
        insert_many(
            DatasetRow,
            ("position", "messages", "row_hash"),
            ((at, messages, hashlib.sha256(b"%d" % at).hexdigest()) for at, messages in enumerate(rows)),
            version_id=version.pk,
            split="train",
            kind="demonstration",
        )
        task = Task.objects.create(project=project, messages=rows[0][:1], prompt_hash="bench")
        insert_many(
            Submission,
            ("messages", "idempotency_key"),
            ((messages, uuid.uuid4() if connection.vendor == "postgresql" else uuid.uuid4().hex) for messages in rows),
            project_id=project.pk,
            task_id=task.pk,
            author_id=author.pk,
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

    lines = [json.dumps({"messages": messages}, ensure_ascii=False) + "\n" for messages in rows]
    dumps_s = timed(lambda: [json.dumps({"messages": messages}, ensure_ascii=False) for messages in rows])
    loads_s = timed(lambda: [json.loads(line) for line in lines])
    csv_s = timed(lambda: csv.writer(io.StringIO()).writerows([[turn["content"] for turn in row] for row in rows]))
    chat = find_format("openai-chat")
    table = find_format("csv")
    assert chat is not None
    assert table is not None
    note("export_jsonl", timed(lambda: drain(export_text(version, chat))), dumps_s)
    note("export_csv", timed(lambda: drain(export_text(version, table))), csv_s)
    figures["losses_s"] = round(timed(lambda: find_losses(read_shapes(version), chat)), 2)
    for kind, plain in (("csv", csv_s), ("jsonl", dumps_s)):
        found = timed(lambda kind=kind: drain(export_submissions(project=project, kind=kind)))  # type: ignore[misc]
        note(f"submissions_{kind}", found, plain)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_text("".join(lines), encoding="utf-8")
        done: list[Any] = []
        note("import_examples", timed(lambda: done.append(import_path(project=project, path=path, tags=[]))), loads_s)
    row = done[0]
    figures["found"] = {"added": row.n_added, "duplicates": row.n_duplicates, "near": row.n_near, "bad": row.n_bad}

    prompt_import.work_on_import.delay = lambda key: None  # the work is done here
    prompts = "".join(json.dumps({"messages": messages[:1]}) + "\n" for messages in rows).encode()
    upload = prompt_import.upload_prompts(project=project, name="prompts.jsonl", chunks=[prompts], by=author)

    def bring_in() -> None:
        prompt_import_run.work_on(import_pk=upload.pk)
        upload.refresh_from_db()
        prompt_import.start_import(prompt_import=upload, by=author)
        prompt_import_run.work_on(import_pk=upload.pk)

    note("import_prompts", timed(bring_in), loads_s)
    return figures


def main() -> None:
    run_on_both("formats")


if __name__ == "__main__":
    print(json.dumps(measure()))
