"""Rows for the benchmark of searching: `python -m benchmarks.search_rows seed 100000`. Prints one JSON object."""

import json
import random
import sys
import time
from collections.abc import Iterator

from benchmarks.labeling_rows import in_batches, sign_in  # sets Django up

# ruff: isort: split
from django.db import connection

from common.conversations import digest
from labeling.actions.prompt_import import start_import, upload_prompts
from labeling.actions.prompt_import_run import work_on
from labeling.models import Example, Membership, Project, Submission, Task, User
from labeling.states import ExampleKind, Role, SubmissionState, TaskState

CHINESE = "如何烤一个好吃的蛋糕我们应该先把烤箱预热然后准备材料"


def sentences(n: int, n_words: int, *, seed: int) -> Iterator[str]:
    """Yield texts: `bread` in every second, `quokka` in five of all, 面包 in every fiftieth, words by Zipf's law."""
    draw = random.Random(seed)
    vocabulary = ["".join(draw.choices("abcdefghiklmnoprstuvwz", k=draw.randint(3, 10))) for _ in range(20_000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    rare = {n * part // 5 | 1 for part in range(5)}
    for number in range(n):
        words = draw.choices(vocabulary, weights, k=n_words)
        if number % 2:
            words[3] = "bread"
        if number in rare:
            words[5] = "quokka"
        if number % 50 == 0:
            words[7] = "".join(draw.choices(CHINESE, k=12)) + "面包" + "".join(draw.choices(CHINESE, k=12))
        yield " ".join(words) + f" {number}?"


def seed(n: int) -> dict[str, object]:
    """A project `archive` with n prompts, each answered, each answer an example; and an empty project `queue`."""
    archive = Project.objects.create(slug="archive", name="Archive")
    queue = Project.objects.create(slug="queue", name="Queue")
    admin = User.objects.create(email="admin@example.org", name="Admin")
    for project in (archive, queue):
        Membership.objects.create(project=project, user=admin, role=Role.ADMIN)
    prompts = ([{"role": "user", "content": text}] for text in sentences(n, 30, seed=1))
    in_batches(
        (Task(project=archive, messages=row, prompt_hash=digest(row), state=TaskState.DONE) for row in prompts),
        Task.objects,
    )
    tasks = archive.tasks.order_by("pk").iterator(chunk_size=2000)
    in_batches(
        (
            Submission(
                project=archive,
                task=task,
                author=admin,
                state=SubmissionState.ACCEPTED,
                messages=[*task.messages, {"role": "assistant", "content": text}],
            )
            for task, text in zip(tasks, sentences(n, 60, seed=2), strict=True)
        ),
        Submission.objects,
    )
    in_batches(
        (
            Example(
                project=archive,
                kind=ExampleKind.DEMONSTRATION,
                submission=row,
                author=admin,
                messages=row.messages,
                content_hash=digest(row.messages),
                prompt_hash=digest(row.messages[:-1]),
            )
            for row in archive.submissions.order_by("pk").iterator(chunk_size=2000)
        ),
        Example.objects,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum does within minutes
    return {"admin": sign_in(admin)}


def import_prompts(n: int) -> dict[str, object]:
    """Import n prompts with two tags from a CSV file, as the worker does; return the seconds of reading and of importing."""
    project = Project.objects.get(slug="queue")
    admin = User.objects.get(email="admin@example.org")
    lines = (f'"{text}","one,two"\n'.encode() for text in sentences(n, 30, seed=3))
    row = upload_prompts(project=project, name="prompts.csv", chunks=[b"prompt,tags\n", *lines], by=admin)
    figures: dict[str, object] = {"mb": round(row.size_bytes / 1e6, 1)}
    for step in ("check_s", "import_s"):
        began = time.perf_counter()
        work_on(import_pk=row.pk)
        figures[step] = round(time.perf_counter() - began, 1)
        row.refresh_from_db()
        if step == "check_s":
            start_import(prompt_import=row, by=admin)
    assert row.n_added == n, f"{row.n_added} were added"
    return figures


if __name__ == "__main__":
    command = {"seed": seed, "import": import_prompts}[sys.argv[1]]
    print(json.dumps(command(int(sys.argv[2]))))
