"""The OpenAPI document is whole, and the interface keeps to it whatever it is sent."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from deployment.models import Alert, Cycle
from labeling.actions.api_key import create_key
from labeling.actions.people import invite
from labeling.actions.webhook import add_webhook, send_test
from labeling.models import BulkAction, Draft, GoldTask, PromptImport, Retraction, SecondReview
from labeling.states import TaskState
from tests.factories import (
    CaseFactory,
    ComparisonFactory,
    ExampleFactory,
    JobFactory,
    MembershipFactory,
    SecondReviewFactory,
    SubmissionFactory,
    TaskFactory,
    TunedModelFactory,
)
from training.actions.job import append_event
from training.models import Evaluation, JobPreflight, Preset

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


def test_the_document_is_made_without_a_warning(tmp_path) -> None:
    said = StringIO()
    with redirect_stderr(said):
        call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))
    assert "Warning" not in said.getvalue()


@contextmanager
def one_connection() -> Iterator[None]:
    """Let requests leave the test's own connection open, as Django's test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def keys_in_addresses(project, bob) -> dict[str, int | str]:
    job = JobFactory(project=project, state="failed", error_kind="data", error="A row has no answer.")
    JobPreflight.objects.create(job=job, report={"n_steps": 3})
    append_event(job, "checkpoint", {"step": 2})
    task = TaskFactory(project=project, state=TaskState.DONE)
    Draft.objects.create(task=task, user=bob, content={"messages": task.messages}, revision=1)
    gold = GoldTask.objects.create(task=TaskFactory(project=project), reference="Two.")
    copy = TaskFactory(project=project, is_gold_copy=True, state=TaskState.DONE)
    gold.copies.create(task=copy, membership=MembershipFactory(project=project))
    seconds = [SecondReviewFactory(review__submission__project=project) for _each in range(2)]
    SecondReview.objects.filter(pk=seconds[1].pk).update(is_accepted=False, reviewer=bob, judged_at=timezone.now())
    Cycle.objects.create(project=project, number=1, state="stopped")
    hook, _secret = add_webhook(project=project, url="https://example.org/", events=["case.opened"], by=bob)
    return {
        "people": MembershipFactory(project=project).pk,
        "tasks": task.pk,
        "submissions": SubmissionFactory(project=project, author=bob).pk,
        "cases": CaseFactory(project=project).pk,
        "examples": ExampleFactory(project=project).pk,
        "comparisons": ComparisonFactory(project=project).pk,
        "jobs": job.key,
        "base-models": job.base_model.slug,
        "models": TunedModelFactory(project=project, job=JobFactory(project=project, base_model=job.base_model)).pk,
        "evaluations": Evaluation.objects.create(project=project, key="eval-1", base_model=job.base_model).key,
        "alerts": Alert.objects.create(
            project=project, measure="bad", threshold=10, n=9, n_bad=3, began_at=timezone.now(), seen_at=timezone.now()
        ).pk,
        "presets": Preset.objects.create(project=project, name="Bold").pk,
        "bulk": BulkAction.objects.create(project=project, kind="cases", what="severity", by=bob).pk,
        "imports": PromptImport.objects.create(project=project, name="a.csv", file_key=uuid4(), size_bytes=1).pk,
        "gold": gold.pk,
        "grades": SubmissionFactory(project=project, author=bob, task=copy, is_gold=True).pk,
        "second-reviews": seconds[0].pk,
        "disagreements": seconds[1].pk,
        "webhooks": hook.pk,
        "deliveries": send_test(webhook=hook).pk,
        "reasons": "other",
        "invitations": invite(project=project, role="contractor", by=bob)[0].pk,
        "retractions": Retraction.objects.create(project=project, reason="Asked for.").pk,
    }


def test_the_interface_keeps_to_its_document(client, project, alice, bob, rita, keys_in_addresses) -> None:
    """Everything is asked twice by an admin, with the least and with something else, and that by every role."""
    keys = [create_key(project=project, user=user, name="any", requests_per_minute=0)[1] for user in (bob, rita, alice)]
    document = client.get("/api/v1/schema/").json()
    schema: Any = schemathesis.openapi.from_dict(document)
    schema.app = get_wsgi_application()
    wrong, n_asked, n_right = [], Counter[str](), Counter[str]()
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.endswith(
            ("/export/", "/download/", "/gguf/", "/tensorboard/")
        ):  # streamed asynchronously, which WSGI does not do
            continue

        @given(case=operation.as_strategy())
        @settings(
            max_examples=2,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: Any) -> None:
            parts = case.path_parameters
            known: dict[str, int | str] = {"slug": "kitchen", "number": 1}
            if "measure" in parts:
                known["measure"] = "slow"
            for name in {"id", "key"} & set(parts):
                known[name] = keys_in_addresses[case.path.split("/")[5]]
            parts.update({name: value for name, value in known.items() if name in parts})
            n_asked[case.operation.label] += 1
            for key in keys if n_asked[case.operation.label] > 1 else keys[-1:]:
                with transaction.atomic():
                    response = case.call(headers={"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"})
                    transaction.set_rollback(True)
                n_right[key] += response.status_code < 300
                case.validate_response(response, checks=CHECKS)

        try:
            with one_connection():
                ask()
        except (FailureGroup, Failure) as error:
            parts = error.exceptions if isinstance(error, FailureGroup) else [error]
            wrong.append("\n".join([operation.label, *(f"{part.title}: {part.message}" for part in parts)]))
    assert not wrong, "\n\n".join(wrong)
    assert min(n_right[key] for key in keys) > 15
