from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from labeling.actions.api_key import create_key
from labeling.models import Project
from labeling.states import Scope


class Command(BaseCommand):
    help = "Make an API key of a project. The last line is the key, and it is shown nowhere else."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--name", default="command line", help="to tell it from other keys on the page")
        parser.add_argument(
            "--scopes", nargs="+", metavar="SCOPE", help=f"of {', '.join(Scope.values)}; all where it is left out"
        )
        parser.add_argument("--days", type=int, help="how long the key works; for ever where it is left out")
        parser.add_argument("--requests-per-minute", type=int, help="its own limit; 0 for none")
        parser.add_argument("--email", help="the person whose key it is; it ends when they leave the project")

    def handle(
        self,
        *,
        project: str,
        name: str,
        scopes: list[str] | None,
        days: int | None,
        requests_per_minute: int | None,
        email: str | None,
        **options: Any,
    ) -> None:
        row = Project.objects.filter(slug=project).first()
        if row is None:
            raise CommandError(f"There is no project with the slug {project!r}.")
        wanted = [part for each in scopes or Scope.values for part in each.replace(",", " ").split()]
        if unknown := set(wanted) - set(Scope.values):
            raise CommandError(f"Unknown scope: {', '.join(sorted(unknown))}. There are {', '.join(Scope.values)}.")
        if days is not None and not 0 < days < 36500:
            raise CommandError("--days has to be from 1 to 36499.")
        if requests_per_minute is not None and not 0 <= requests_per_minute < 2**31:
            raise CommandError("--requests-per-minute has to be 0 or more.")
        person = None
        if email:
            membership = row.memberships.filter(user__email=email.lower(), is_active=True).first()
            if membership is None:
                raise CommandError(f"{email} does not work in the project {project}.")
            person = membership.user
        _key, text = create_key(
            project=row,
            name=name,
            user=person,
            scopes=list(dict.fromkeys(wanted)),
            expires_at=timezone.now() + timedelta(days=days) if days else None,
            requests_per_minute=requests_per_minute,
        )
        self.stdout.write(f"The key of {row.name}. Keep it: it is shown only now.")
        self.stdout.write(text)
