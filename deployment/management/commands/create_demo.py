from typing import Any

from django.core.management.base import BaseCommand

from deployment.actions.demo import create_demo


class Command(BaseCommand):
    help = "Makes the demo project and an account for each role; prints their passwords once. Does nothing when it is there."

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = create_demo()
        if not accounts:
            return
        self.stdout.write("\nThe demo project is ready. Its accounts (also in var/demo-accounts.txt, for you only):\n")
        for account in accounts:
            self.stdout.write(f"  {account.role:<11} {account.email:<28} {account.password}")
