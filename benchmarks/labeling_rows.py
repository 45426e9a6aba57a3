"""Rows for the benchmark of labeling, made and counted in a process of its own: `python -m benchmarks.labeling_rows seed 100000`.

Prints one JSON object. The database is that of the environment.
"""

import json
import os
import random
import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.models import Count  # noqa: E402
from django.utils import timezone  # noqa: E402

from common.conversations import digest  # noqa: E402
from labeling.models import InstructionVersion, Membership, Project, Submission, Task, User  # noqa: E402
from labeling.states import Role, TaskState  # noqa: E402

WORDS = ("why", "how", "bread", "river", "metal", "winter", "engine", "letter", "garden", "window", "paper", "signal")
N_PEOPLE = 160


def in_batches(rows: Iterable[object], manager: object, size: int = 2000) -> None:
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        manager.bulk_create(batch)  # type: ignore[attr-defined]


def prompt(number: int, draw: random.Random) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Question {number}: " + " ".join(draw.choices(WORDS, k=30)) + "?"}]


def tasks(project: Project, n: int, state: str) -> Iterator[Task]:
    draw = random.Random(project.pk)
    for number in range(n):
        messages = prompt(number, draw)
        yield Task(project=project, messages=messages, prompt_hash=digest(messages), state=state)


def submissions(project: Project, author: User, version: InstructionVersion) -> Iterator[Submission]:
    draw = random.Random(0)
    for task in project.tasks.order_by("pk").iterator(chunk_size=2000):
        answer = {"role": "assistant", "content": " ".join(draw.choices(WORDS, k=60)) + "."}
        yield Submission(
            project=project, task=task, author=author, instruction_version=version, messages=[*task.messages, answer]
        )


def sign_in(user: User) -> str:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


def seed(n: int) -> dict[str, object]:
    """A project `queue` with n open prompts, a project `archive` with n submissions, people who are signed in."""
    queue = Project.objects.create(slug="queue", name="Queue", is_open_writing=False)
    archive = Project.objects.create(slug="archive", name="Archive")
    version = InstructionVersion.objects.create(project=queue, number=1, text="Answer in plain words.\n" * 20)
    old = InstructionVersion.objects.create(project=archive, number=1, text="Answer in plain words.")
    admin = User.objects.create(email="admin@example.org", name="Admin")
    Membership.objects.create(project=archive, user=admin, role=Role.ADMIN)
    people = [User.objects.create(email=f"person{n}@example.org", name=f"Person {n}") for n in range(N_PEOPLE)]
    for person in people:
        Membership.objects.create(project=queue, user=person, role=Role.CONTRACTOR)
        version.acknowledgements.create(user=person)
    in_batches(tasks(queue, n, TaskState.OPEN), Task.objects)
    in_batches(tasks(archive, n, TaskState.DONE), Task.objects)
    in_batches(submissions(archive, admin, old), Submission.objects)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")  # as autovacuum does within minutes; nobody does it on SQLite
    return {"sessions": [sign_in(person) for person in people], "admin": sign_in(admin)}


def expire() -> dict[str, object]:
    leased = Task.objects.filter(state=TaskState.LEASED)
    return {"n_expired": leased.update(lease_expires_at=timezone.now() - timedelta(seconds=1))}


def count() -> dict[str, object]:
    rows = Submission.objects.filter(project__slug="queue")
    twice = rows.order_by().values("task").annotate(n=Count("pk")).filter(n__gt=1).count()
    return {"n_submissions": rows.count(), "n_tasks_with_two": twice}


if __name__ == "__main__":
    command = {"seed": lambda: seed(int(sys.argv[2])), "expire": expire, "count": count}[sys.argv[1]]
    print(json.dumps(command()))
