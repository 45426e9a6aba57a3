from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from training.actions.errors import ExportFailed
from training.actions.model_files import push_model
from training.models import TunedModel


class Command(BaseCommand):
    help = (
        "Pushes a fine-tuned model to the Hub of EMEND_HUB_TOKEN and EMEND_HUB_URL, private unless --public is given."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--model", required=True, metavar="NAME")
        parser.add_argument("--repo", required=True, metavar="OWNER/NAME")
        parser.add_argument("--public", action="store_true", help="readable by anybody")

    def handle(self, *args: Any, model: str, repo: str, public: bool, **options: Any) -> None:
        found = TunedModel.objects.named(model).select_related("job").first()
        if found is None:
            raise CommandError(f"There is no model {model!r}.")
        try:
            address = push_model(model=found, repo=repo, is_private=not public)
        except ExportFailed as error:
            raise CommandError(str(error)) from error
        self.stdout.write(address)
