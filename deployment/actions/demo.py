"""The demo project: a library's help desk, made through the same actions that people use, so that its history is true."""

import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from common.conversations import Message
from deployment.actions.release import ensure_deployment
from labeling.actions.case import correct_case, report_output
from labeling.actions.instructions import acknowledge, publish_instructions
from labeling.actions.people import create_person
from labeling.actions.project import create_project
from labeling.actions.review import review_submission
from labeling.actions.submission import submit
from labeling.actions.task import add_prompts
from labeling.models import Membership, Project, Submission, Task, User
from labeling.states import Reason, Role, Source, Verdict
from training.actions.catalog import ensure_bundled_base_model

SLUG = "demo"
FOLDER = Path(__file__).resolve().parent.parent / "demo"
ACCOUNTS_FILE = "demo-accounts.txt"
CAST = {
    "admin": ("Ada Admin", Role.ADMIN),
    "reviewer": ("Ren Reviewer", Role.REVIEWER),
    "contractor": ("Cora Contractor", Role.CONTRACTOR),
    "tester": ("Toni Tester", Role.CONTRACTOR),
}


@dataclass(frozen=True)
class DemoAccount:
    role: str
    email: str
    password: str


def create_demo() -> list[DemoAccount]:
    """Make the demo project and an account for each role; return the accounts, none when it was made before.

    What people did with it since is left alone, also when they renamed or removed the project: its accounts tell.

    All or nothing: one transaction. The passwords are also written to VAR_DIR/demo-accounts.txt, readable by its owner only.
    """
    with transaction.atomic():
        if Project.objects.filter(slug=SLUG).exists() or User.objects.filter(email=_email("admin")).exists():
            return []
        base_model = ensure_bundled_base_model()
        people, accounts = _create_people()
        project = create_project(
            slug=SLUG,
            name="Linden Library help desk",
            description="The assistant of a small public library answers visitors' questions.",
            admin=people["admin"],
        )
        for name, (_title, role) in CAST.items():
            if name != "admin":
                Membership.objects.create(project=project, user=people[name], role=role)
        ensure_deployment(project=project)
        _publish(project, people)
        contractor = Membership.objects.get(project=project, user=people["contractor"])
        for row in _rows("demonstrations"):
            submission = _write(contractor, row, by=people["admin"])
            review_submission(submission=submission, verdict=Verdict.ACCEPT, by=people["reviewer"])
        for row in _rows("cases"):
            case = _report(project, row, people["tester"], base_model.slug)
            correct_case(
                case=case, text=row["ideal_response"], by=people["reviewer"], checks=row["checks"], probes=row["probes"]
            )
        for row in _rows("open_cases"):
            _report(project, row, people["tester"], base_model.slug)
        for row in _rows("submissions"):
            _write(contractor, row, by=people["admin"])
        add_prompts(project=project, prompts=[_prompt(row) for row in _rows("prompts")], by=people["admin"])
        _write_accounts(accounts)
    return accounts


def _create_people() -> tuple[dict[str, User], list[DemoAccount]]:
    people, accounts = {}, []
    for name, (title, _role) in CAST.items():
        user, password = create_person(email=_email(name), name=title)
        people[name] = user
        accounts.append(DemoAccount(role=name, email=user.email, password=password))
    admin = people["admin"]
    admin.is_staff = admin.is_superuser = True  # may make further projects
    admin.save(update_fields=["is_staff", "is_superuser"])
    return people, accounts


def _email(name: str) -> str:
    return f"{name}@demo.emend.local"


def _publish(project: Project, people: dict[str, User]) -> None:
    first = publish_instructions(
        project=project, text=_text("instructions-1"), by=people["admin"], change_note="", based_on=0
    )
    second = publish_instructions(
        project=project,
        text=_text("instructions-2"),
        by=people["admin"],
        change_note="The book club has moved to the first Thursday of the month, 18:30.",
        based_on=first.number,
    )
    for name in ("reviewer", "contractor"):
        acknowledge(version=second, user=people[name])


def _write(contractor: Membership, row: dict[str, Any], *, by: User) -> Submission:
    """Queue the row's prompt as a task and hand in the row's answer to it."""
    prompt = _prompt(row)
    answer = row["ideal_response"] if "prompt" in row else row["messages"][-1]["content"]
    add_prompts(project=contractor.project, prompts=[prompt], by=by)
    task = Task.objects.filter(project=contractor.project).latest("pk")
    messages = [*prompt, {"role": "assistant", "content": answer}]
    return submit(task=task, membership=contractor, messages=messages, idempotency_key=uuid.uuid4())


def _report(project: Project, row: dict[str, Any], reporter: User, model_name: str) -> Any:
    return report_output(
        project=project,
        messages=_prompt(row),
        wrong_output=row["bad_response"],
        model_name=model_name,
        reason=row.get("reason", Reason.WRONG),
        comment=row.get("comment", ""),
        reporter=reporter,
        source=Source.CHAT,
    )


def _prompt(row: dict[str, Any]) -> list[Message]:
    return [{"role": "user", "content": row["prompt"]}] if "prompt" in row else row["messages"][:-1]


def _text(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def _rows(name: str) -> list[dict[str, Any]]:
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line]


def _write_accounts(accounts: list[DemoAccount]) -> None:
    path = settings.VAR_DIR / ACCOUNTS_FILE
    path.unlink(missing_ok=True)  # left by a run that broke off
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"{account.role:<11} {account.email:<28} {account.password}\n" for account in accounts)
