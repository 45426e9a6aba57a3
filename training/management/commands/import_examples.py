from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labeling.models import Project
from training.actions.example_import_run import import_path
from training.formats import FORMATS

KEYS = [each.key for each in FORMATS if not each.is_made_ahead]


class Command(BaseCommand):
    help = "Imports finished conversations as examples: JSONL, JSON, CSV, Parquet, a zip or a folder of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path, help="a file or a folder")
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--format", default="", choices=KEYS, help="recognised when it is not given")
        parser.add_argument(
            "--tag", action="append", default=[], metavar="TAG", help="for all of them; may be repeated"
        )
        parser.add_argument("--keep-near", action="store_true", help="take in near-duplicates as well")

    def handle(
        self, *args: Any, path: Path, project: str, format: str, tag: list[str], keep_near: bool, **options: Any
    ) -> None:
        target = Project.objects.filter(slug=project).first()
        if target is None:
            raise CommandError(f"There is no project {project!r}.")
        if not path.exists():
            raise CommandError(f"There is no {path}.")
        row = import_path(project=target, path=path.absolute(), tags=tag, asked_format=format, skips_near=not keep_near)
        for place, why, _text in row.bad_lines:
            self.stderr.write(f"{place}: {why}")
        if row.problem:
            raise CommandError(row.problem)
        self.stdout.write(
            f"{row.n_added} added, {row.n_duplicates} already there, {row.n_near} nearly the same, {row.n_bad} bad."
        )
