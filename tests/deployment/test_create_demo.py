import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.core.management import call_command
from django.db import transaction
from django.test import override_settings

from common.checks import passes
from common.conversations import clean, digest
from deployment.actions import demo
from labeling.models import Case, Example, Membership, Probe, Project, RegressionTest, Report, Submission, Task, User
from labeling.states import CaseState, ExampleKind, SubmissionState, TaskState

pytestmark = pytest.mark.django_db

MODELS = (Project, User, Membership, Task, Submission, Case, Example, RegressionTest, Probe)


@pytest.fixture
def folder(var_dir, short_demo):
    return var_dir


def test_a_second_run_changes_nothing(folder, capsys) -> None:
    call_command("create_demo")
    assert "admin@demo.emend.local" in capsys.readouterr().out
    before = {model: set(model.objects.values_list("pk", flat=True)) for model in MODELS}
    kept = (folder / demo.ACCOUNTS_FILE).read_text()
    call_command("create_demo")
    assert capsys.readouterr().out == ""
    assert {model: set(model.objects.values_list("pk", flat=True)) for model in MODELS} == before
    assert (folder / demo.ACCOUNTS_FILE).read_text() == kept


def test_a_renamed_project_is_not_made_again(folder) -> None:
    demo.create_demo()
    Project.objects.update(slug="our-library")
    assert demo.create_demo() == []
    assert Project.objects.count() == 1


def test_a_run_that_breaks_off_leaves_nothing(folder, monkeypatch) -> None:
    def full(accounts):
        raise OSError("the disk is full")

    monkeypatch.setattr(demo, "_write_accounts", full)
    with pytest.raises(OSError, match="full"):
        demo.create_demo()
    assert not Project.objects.exists()
    monkeypatch.undo()
    assert len(demo.create_demo()) == len(demo.CAST)


@pytest.fixture(scope="module")
def made(django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[tuple[list[demo.DemoAccount], Path]]:
    """The accounts of the whole demo project and the folder that it was made in, made once for the tests that only read it."""
    folder = tmp_path_factory.mktemp("demo")
    with django_db_blocker.unblock(), override_settings(VAR_DIR=folder), transaction.atomic():
        yield demo.create_demo(), folder
        transaction.set_rollback(True)


def test_the_accounts_work_and_only_their_owner_can_read_them(made) -> None:
    accounts, folder = made
    path = folder / demo.ACCOUNTS_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len({account.password for account in accounts}) == len(demo.CAST) == len(path.read_text().splitlines())
    for account in accounts:
        assert authenticate(username=account.email, password=account.password)


def test_only_the_admin_may_make_projects(made) -> None:
    assert [user.name for user in User.objects.filter(is_superuser=True)] == ["Ada Admin"]


def test_its_history_is_that_of_real_work(made) -> None:
    """Written by the contractor, accepted by the reviewer, reported by the tester, under the version in force."""
    rows = Example.objects.select_related("author", "accepted_by", "instruction_version")
    assert {(row.kind, row.author.name, row.accepted_by.name, row.instruction_version.number) for row in rows} == {
        (ExampleKind.DEMONSTRATION, "Cora Contractor", "Ren Reviewer", 2),
        (ExampleKind.CORRECTION, "Ren Reviewer", "Ren Reviewer", 2),
    }
    assert {report.reporter.name for report in Report.objects.all()} == {"Toni Tester"}
    assert Task.objects.filter(state=TaskState.OPEN).count() == 10


def test_its_data_is_what_good_data_looks_like(made) -> None:
    examples = Example.objects.all()
    assert examples.filter(kind=ExampleKind.DEMONSTRATION).count() >= 30
    assert examples.filter(kind=ExampleKind.CORRECTION).count() >= 20
    assert Case.objects.filter(state=CaseState.OPEN).count() == 6
    assert Submission.objects.filter(state=SubmissionState.SUBMITTED).count() == 4
    trained = set(examples.values_list("prompt_hash", flat=True))
    asked = [digest(probe.messages) for probe in Probe.objects.all()]
    assert len(asked) == len(set(asked))
    for example in examples:
        assert clean(example.messages, ends_with="assistant") == example.messages
        assert example.messages[-1]["content"].endswith((".", "!", "?", "。", "！", "？"))
    for test in RegressionTest.objects.prefetch_related("probes"):
        assert test.checks
        assert all(passes(check, test.chosen) for check in test.checks)
        assert not all(passes(check, test.rejected) for check in test.checks)
        probes = [digest(probe.messages) for probe in test.probes.all()]
        assert len(probes) == 2
        assert not trained & set(probes)
