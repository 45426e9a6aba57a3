from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labeling.models import Project
from training.actions.benchmark import add_benchmark
from training.actions.errors import FileRefused


class Command(BaseCommand):
    help = "Keeps what public benchmarks measured: result files of lm-evaluation-harness (.json) and Inspect (.eval, .json)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", type=Path, nargs="+", metavar="FILE")
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument(
            "--model", default="", metavar="NAME", help="who was asked, where the file does not tell it"
        )

    def handle(self, *args: Any, paths: list[Path], project: str, model: str, **options: Any) -> None:
        target = Project.objects.filter(slug=project).first()
        if target is None:
            raise CommandError(f"There is no project {project!r}.")
        for path in paths:
            try:
                rows = add_benchmark(project=target, content=path.read_bytes(), model_name=model)
            except (OSError, FileRefused) as error:
                raise CommandError(f"{path}: {error}") from error
            for row in rows:
                spread = "" if row.stderr is None else f" ± {row.stderr:.4f}"
                self.stdout.write(f"{row.model_name} {row.task} {row.metric}: {row.value:.4f}{spread}")
            if not rows:
                self.stdout.write(f"{path}: these figures were here already.")
