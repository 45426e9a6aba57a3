from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labeling.actions.importing import import_rows
from labeling.models import Project


class Command(BaseCommand):
    help = "Imports corrections from a JSONL file: prompt or messages, bad_response, ideal_response, probes, checks."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="JSONL, one correction a line")
        parser.add_argument("--project", required=True, metavar="SLUG", help="the project that the rows go into")
        parser.add_argument("--limit", type=int, metavar="N", help="read the first N rows only")

    def handle(self, *args: Any, file: Path, project: str, limit: int | None, **options: Any) -> None:
        if limit is not None and limit < 1:
            raise CommandError("--limit has to be 1 or more.")
        target = Project.objects.filter(slug=project).first()
        if target is None:
            slugs = ", ".join(Project.objects.order_by("slug").values_list("slug", flat=True)) or "none"
            raise CommandError(f"There is no project {project!r}. Projects: {slugs}.")
        try:
            with file.open("rb") as lines:
                result = import_rows(project=target, lines=lines, limit=limit)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror or error}.") from error
        for number, reason in result.bad:
            self.stderr.write(f"line {number}: {reason}")
        self.stdout.write(f"{result.n_added} added, {result.n_there} already there, {len(result.bad)} bad.")
        if not result.n_added and not result.n_there:
            raise CommandError("Nothing could be imported." if result.bad else f"{file} has no rows.")
