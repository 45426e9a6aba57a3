from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from training.actions.dataset_push import push_dataset
from training.actions.errors import ExportFailed
from training.models import DatasetVersion
from training.states import Split


class Command(BaseCommand):
    help = "Pushes a dataset version to the Hub of EMEND_HUB_TOKEN and EMEND_HUB_URL, private unless --public is given."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--number", required=True, type=int, metavar="N", help="of the version")
        parser.add_argument("--repo", required=True, metavar="OWNER/NAME")
        parser.add_argument("--split", default="", choices=Split.values, help="only these rows")
        parser.add_argument(
            "--licence", default="", help="as the Hub calls it, for the card: cc-by-4.0, apache-2.0 ..."
        )
        parser.add_argument("--public", action="store_true", help="readable by anybody")

    def handle(
        self,
        *args: Any,
        project: str,
        number: int,
        repo: str,
        split: str,
        licence: str,
        public: bool,
        **options: Any,
    ) -> None:
        version = DatasetVersion.objects.select_related("project").filter(project__slug=project, number=number).first()
        if version is None:
            raise CommandError(f"There is no version {number} in a project {project!r}.")
        try:
            address = push_dataset(version=version, repo=repo, is_private=not public, split=split, licence=licence)
        except ExportFailed as error:
            raise CommandError(str(error)) from error
        self.stdout.write(address)
