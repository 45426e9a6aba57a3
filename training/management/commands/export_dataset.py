from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from training.actions.errors import ExportFailed
from training.actions.export import export_to_path
from training.formats import FORMATS, find_format
from training.models import DatasetVersion
from training.queries.exporting import Losses, find_losses, read_shapes
from training.states import Split

KEYS = [each.key for each in FORMATS]


class Command(BaseCommand):
    help = "Writes a dataset version to a file. What the format does not carry goes to the error output first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--number", required=True, type=int, metavar="N", help="of the version")
        parser.add_argument("--format", required=True, choices=KEYS)
        parser.add_argument("--split", default="", choices=Split.values, help="only these rows")
        parser.add_argument("--output", required=True, type=Path, metavar="PATH", help="appears when it is whole")

    def handle(
        self, *args: Any, project: str, number: int, format: str, split: str, output: Path, **options: Any
    ) -> None:
        version = DatasetVersion.objects.select_related("project").filter(project__slug=project, number=number).first()
        if version is None:
            raise CommandError(f"There is no version {number} in a project {project!r}.")
        wanted = find_format(format)
        assert wanted is not None
        losses = find_losses(read_shapes(version, split=split), wanted)
        for line in sentences(losses):
            self.stderr.write(line)
        try:
            export_to_path(version=version, wanted=wanted, path=output.absolute(), split=split)
        except (ExportFailed, OSError) as error:
            raise CommandError(f"{output} could not be written: {error}") from error
        self.stdout.write(f"{losses.n_written} rows in {output}.")


def sentences(losses: Losses) -> list[str]:
    """Return what the export leaves out, a line each."""
    words = {
        "n_long": "rows with several exchanges are left out",
        "n_single": "rows without a rejected answer are left out",
        "n_systems": "rows are written without their system message",
        "n_rejected": "rows are written without their rejected answer",
        "n_weights": "rows are written without the weights of their turns",
    }
    return [f"{n} {text}." for name, text in words.items() if (n := getattr(losses, name))]
