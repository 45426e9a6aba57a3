"""Rows for the benchmark of freezing, and the freezing itself, in a process of its own: `python -m benchmarks.dataset_rows seed 100000`.

Prints one JSON object. The database is that of the environment.
"""

import json
import os
import random
import resource
import sys
import time
import uuid
from collections.abc import Iterator

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection, transaction  # noqa: E402

from common.bulk import insert_many  # noqa: E402
from common.conversations import digest_texts  # noqa: E402
from labeling.models import Example, ExampleImport, Project  # noqa: E402
from labeling.search_index import drop_index  # noqa: E402
from labeling.states import ExampleKind  # noqa: E402
from training.actions.dataset import freeze_dataset  # noqa: E402
from training.models import DatasetRow  # noqa: E402


def conversations(n: int) -> Iterator[list[dict[str, str]]]:
    """Yield n conversations of 25 and 60 words; every tenth asks what the one before asks, but for one word."""
    draw = random.Random(1)
    vocabulary = ["".join(draw.choices("abcdefghiklmnoprstuvwz", k=draw.randint(3, 10))) for _ in range(20_000)]
    words: list[str] = []
    for number in range(n):
        words = [*words[:-1], "again"] if number % 10 == 9 else draw.choices(vocabulary, k=25)
        answer = " ".join(draw.choices(vocabulary, k=60))
        yield [
            {"role": "user", "content": " ".join(words) + "?"},
            {"role": "assistant", "content": f"{answer} {number}."},
        ]


def seed(n: int) -> dict[str, object]:
    """Write n imported examples. Without the index for searching, which freezing has no use for and which takes longest."""
    with connection.schema_editor() as editor:
        drop_index(editor)
    project = Project.objects.create(slug="frozen", name="Frozen")
    origin = ExampleImport.objects.create(project=project, name="frozen.jsonl", file_key=uuid.uuid4(), size_bytes=n)
    with transaction.atomic():
        insert_many(
            Example,
            ("messages", "content_hash"),
            ((row, digest_texts(row)) for row in conversations(n)),
            may_conflict=False,
            project_id=project.pk,
            kind=ExampleKind.DEMONSTRATION,
            example_import_id=origin.pk,
        )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    return {"n": n}


def peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def freeze() -> dict[str, object]:
    before, began = peak_mb(), time.perf_counter()
    version = freeze_dataset(project=Project.objects.get(slug="frozen"))
    took_s = time.perf_counter() - began
    return {
        "freeze_s": round(took_s, 2), "peak_mb": peak_mb(), "peak_before_mb": before,
        "n_train": version.n_train, "n_valid": version.n_valid,
    }  # fmt: skip


def copy() -> dict[str, object]:
    """What the database itself takes to write the same rows once more, from its own table; undone at the end."""
    table = DatasetRow._meta.db_table
    columns = "version_id, position, split, kind, row_hash, messages, rejected, example_id, pair_id"
    began = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        moved = columns.replace("position", "position + 10000000", 1)
        cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {moved} FROM {table}")
        took_s = time.perf_counter() - began
        transaction.set_rollback(True)
    return {"insert_s": round(took_s, 2)}


if __name__ == "__main__":
    command = {"seed": lambda: seed(int(sys.argv[2])), "freeze": freeze, "copy": copy}[sys.argv[1]]
    print(json.dumps(command()))
