from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from labeling.actions.fingerprint import fill_in


class Command(BaseCommand):
    help = "Writes what near-duplicates are found by, where it is missing. Safe to break off and to run beside the product."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--anew", action="store_true", help="throw everything away first, after a change of the method"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        n_rows = 0

        def count(n: int) -> None:
            nonlocal n_rows
            n_rows += n
            if options["verbosity"]:
                self.stdout.write(f"{n_rows} texts")

        fill_in(count, anew=options["anew"])
