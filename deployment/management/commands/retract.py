"""Take back an example or all work of a person, and say which versions, models and deployments hold it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from deployment.queries.lineage import deployments_with
from labeling.actions.errors import LabelingError
from labeling.actions.retraction import retract_example, retract_person
from labeling.models import Example, Project, User
from labeling.queries.retraction import pairs_judged_by, work_of
from training.actions.errors import TrainingError
from training.actions.retraining import retrain_without_retracted
from training.queries.lineage import Uses, texts_of_examples, texts_of_person, uses_of


class Command(BaseCommand):
    help = (
        "Takes an example, or all work of a person, out of all later dataset versions. Lists the versions, models and "
        "deployments that hold it; with --retrain the newest model among them is trained anew without it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--person", metavar="EMAIL")
        what.add_argument("--example", type=int, metavar="ID")
        parser.add_argument("--reason", default="retracted on the command line", help="it is kept in the audit log")
        parser.add_argument("--by", metavar="EMAIL", help="who decided it; the system where it is left out")
        parser.add_argument("--dry-run", action="store_true", help="only list what is concerned")
        parser.add_argument(
            "--retrain", action="store_true", help="start a job without it for the newest model concerned"
        )

    def handle(
        self,
        *,
        project: str,
        person: str | None,
        example: int | None,
        reason: str,
        by: str | None,
        dry_run: bool,
        retrain: bool,
        **options: Any,
    ) -> None:
        row = Project.objects.filter(slug=project).first()
        if row is None:
            raise CommandError(f"There is no project with the slug {project!r}.")
        decider = self._user(by) if by else None
        whose = self._user(person) if person else None
        examples = work_of(row, whose) if whose else Example.objects.filter(project=row, pk=example or 0)
        if whose is None and not examples.exists():
            raise CommandError(f"The project {project} has no example {example}.")
        uses = uses_of(row, texts_of_person(row, whose) if whose else texts_of_examples(examples))
        n_pairs = len(pairs_judged_by(row, whose)) if whose else 0
        n_in_use = examples.trainable().count()
        self.stdout.write(f"Examples in use: {n_in_use}. Pairs of comparisons: {n_pairs}.")
        self._list(uses)
        if dry_run:
            self.stdout.write("Nothing was changed.")
            return
        if n_in_use or n_pairs:
            try:
                if whose is not None:
                    done = retract_person(project=row, person=whose, by=decider, reason=reason)
                else:
                    done = retract_example(example=examples.get(), by=decider, reason=reason)
            except LabelingError as error:
                raise CommandError(str(error)) from error
            self.stdout.write(f"Retracted: {done}, {done.examples.count()} examples.")
        else:
            self.stdout.write("All of it is out already.")
        if retrain:
            self._retrain(uses, decider)

    def _user(self, email: str) -> User:
        user = User.objects.filter(email__iexact=email).first()
        if user is None:
            raise CommandError(f"Nobody has the address {email}.")
        return user

    def _list(self, uses: Uses) -> None:
        for version in uses.versions:
            self.stdout.write(f"version {version.version}: {version.n_rows} rows")
        for model in uses.models:
            how = f"{model.n_rows} rows" + (f", {model.n_inherited} from its parent" if model.n_inherited else "")
            self.stdout.write(f"model {model.model.name}: {how}")
        for use in deployments_with(uses.models):
            when = "live" if use.is_live else "formerly"
            self.stdout.write(f"deployment {use.deployment.name}: {use.model.name}, {when}, {use.n} rows")
        if not uses:
            self.stdout.write("No dataset version, model or deployment holds any of it.")

    def _retrain(self, uses: Uses, by: User | None) -> None:
        model = next((use.model for use in uses.models if use.model.deleted_at is None), None)
        if model is None:
            self.stdout.write("No model learnt from it, so there is nothing to train anew.")
            return
        try:
            job = retrain_without_retracted(model=model, by=by)
        except TrainingError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"job {job.key}: trains {model.name} anew on {job.dataset_version}")
