from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email, validate_slug
from django.db import transaction

from labeling.actions.people import create_person
from labeling.actions.project import create_project
from labeling.models import Project, User


class Command(BaseCommand):
    help = "Make a project. --admin gives it its first admin; a new address gets an account, whose password is printed once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="the short name in addresses: small letters, digits, hyphens")
        parser.add_argument("--name", required=True)
        parser.add_argument("--description", default="")
        parser.add_argument("--admin", metavar="EMAIL")

    @transaction.atomic
    def handle(self, *, slug: str, name: str, description: str, admin: str | None, **options: Any) -> None:
        try:
            validate_slug(slug)
        except ValidationError:
            raise CommandError(f"{slug!r} cannot be a slug: letters, digits and hyphens only.") from None
        if Project.objects.filter(slug=slug).exists():
            raise CommandError(f"There is a project with the slug {slug!r} already.")
        person = self._person(admin) if admin else None
        create_project(slug=slug, name=name, description=description, admin=person)
        self.stdout.write(f"The project is at /p/{slug}/")

    def _person(self, email: str) -> User:
        try:
            validate_email(email)
        except ValidationError:
            raise CommandError(f"{email!r} is not a mail address.") from None
        person = User.objects.filter(email=email.lower()).first()
        if person is None:
            person, password = create_person(email=email)
            self.stdout.write(f"New account: {person.email}, password: {password}")
        return person
