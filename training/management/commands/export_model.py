import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from training.actions.errors import ExportFailed
from training.actions.model_files import make_gguf
from training.models import TunedModel


class Command(BaseCommand):
    help = "Writes a fine-tuned model as one GGUF file, for llama.cpp and what is built on it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--model", required=True, metavar="NAME")
        parser.add_argument("--path", required=True, type=Path, help="the file, or a folder that it goes into")

    def handle(self, *args: Any, model: str, path: Path, **options: Any) -> None:
        found = TunedModel.objects.named(model).select_related("job").first()
        if found is None:
            raise CommandError(f"There is no model {model!r}.")
        try:
            self.stdout.write(str(shutil.copy(make_gguf(model=found), path)))
        except (ExportFailed, OSError) as error:
            raise CommandError(str(error)) from error
