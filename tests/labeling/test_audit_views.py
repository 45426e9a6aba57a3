import csv
import importlib
import json
from datetime import timedelta
from io import StringIO

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.translation import gettext_lazy

from common.models import HistoryIsFixed, Transition
from common.states import record
from labeling.actions.api_key import create_key, revoke_key
from labeling.actions.instructions import publish_instructions
from labeling.actions.people import change_role, invite, pause_member, remove_member, resume_member, revoke_invitation
from labeling.actions.project import update_project
from labeling.audit_words import THINGS, VALUES, reason_said, value_said
from labeling.queries import audit
from labeling.states import Role
from tests.factories import ProjectFactory, SubmissionFactory
from tests.streams import download

AUDIT = "/p/kitchen/audit/"


def after(client, **query) -> list[str]:
    return [line["row"].after for line in client.get(AUDIT, query).context["rows"]]


@pytest.fixture
def rows(project, bob, rita) -> list[Transition]:
    submission = SubmissionFactory(project=project, author=bob)
    record(submission, before="submitted", after="accepted", by=rita)
    record(project, what="settings", before="60", after="30", by=bob, project_pk=project.pk)
    record(submission, before="accepted", after="retracted", by=None, reason="The Door was 17 years old")
    record(ProjectFactory(), what="settings", after="elsewhere", by=bob, project_pk=-1)
    return list(Transition.objects.filter(project_pk=project.pk).order_by("pk"))


def test_the_newest_comes_first_with_a_link_to_its_subject(sign_in, alice, rows) -> None:
    response = sign_in(alice).get(AUDIT)
    assert [line["row"].after for line in response.context["rows"]] == ["retracted", "30", "accepted"]
    assert f'href="/p/kitchen/review/{rows[0].subject_pk}/"' in response.text
    assert "The Door was 17 years old" in response.text


def test_filters_narrow_one_by_one_and_together(sign_in, alice, rita, bob, rows) -> None:
    client = sign_in(alice)
    assert after(client, person=rita.pk) == ["accepted"]
    assert after(client, person="system") == ["retracted"]
    assert after(client, kind="labeling.submission") == ["retracted", "accepted"]
    assert after(client, what="settings") == ["30"]
    assert after(client, what="state") == ["retracted", "accepted"]
    assert after(client, q="door") == ["retracted"]
    assert after(client, person=bob.pk, kind="labeling.submission") == []
    assert len(after(client, person="nonsense", since="nonsense")) == 3


def test_a_range_of_days_includes_both_ends(sign_in, alice, rows) -> None:
    client, today = sign_in(alice), timezone.localdate()
    assert len(after(client, since=today, until=today)) == 3
    assert after(client, until=today - timedelta(days=1)) == []
    assert after(client, since=today + timedelta(days=1)) == []


def test_nothing_fits_is_said(sign_in, alice, rows) -> None:
    assert "No decision fits" in sign_in(alice).get(AUDIT, {"q": "unheard"}).text


def test_htmx_gets_the_rows_alone(sign_in, alice, rows) -> None:
    response = sign_in(alice).get(AUDIT, headers={"HX-Request": "true"})
    assert response.text.startswith('<div class="stack" id="audit">')


@pytest.mark.parametrize("same_moment", [False, True])
def test_pages_go_on_from_a_row_and_back(sign_in, alice, project, monkeypatch, same_moment) -> None:
    monkeypatch.setattr(audit, "PAGE_SIZE", 2)
    moment = timezone.now()
    if same_moment:
        monkeypatch.setattr("django.utils.timezone.now", lambda: moment)
    for n in range(5):
        record(project, what="settings", after=n, project_pk=project.pk)
    client = sign_in(alice)
    first = client.get(AUDIT).context["page"]
    second = client.get(AUDIT, {"before": first.older}).context["page"]
    third = client.get(AUDIT, {"before": second.older}).context["page"]
    back = client.get(AUDIT, {"after": third.newer}).context["page"]
    pages = [[row.after for row in page.rows] for page in (first, second, third, back)]
    assert pages == [["4", "3"], ["2", "1"], ["0"], ["2", "1"]]
    assert (first.newer, third.older) == (None, None)
    assert client.get(AUDIT, {"before": "nonsense"}).context["page"].rows == first.rows


def test_the_query_count_does_not_grow(sign_in, alice, project) -> None:
    client = sign_in(alice)
    record(project, what="settings", after=1, project_pk=project.pk)
    with CaptureQueriesContext(connection) as one:
        client.get(AUDIT)
    for n in range(2):
        record(project, what="settings", after=n, project_pk=project.pk)
    with CaptureQueriesContext(connection) as three:
        client.get(AUDIT)
    assert len(one) == len(three)


def test_only_admins_look(sign_in, rita, charlie, project) -> None:
    for url in (AUDIT, f"{AUDIT}decisions.csv", f"{AUDIT}decisions.jsonl"):
        assert sign_in(rita).get(url).status_code == 403
        assert sign_in(charlie).get(url).status_code == 404
        assert sign_in(rita).post(url).status_code == 405


@pytest.mark.django_db(transaction=True)
def test_exports_have_every_row_in_order_and_no_formula(alice, project, monkeypatch) -> None:
    monkeypatch.setattr(audit, "BATCH", 2)
    for n in range(5):
        record(project, what="settings", after=n, reason="=HYPERLINK(1)", by=alice, project_pk=project.pk)
    lines = list(csv.DictReader(StringIO(download(alice, f"{AUDIT}decisions.csv?what=settings"))))
    assert [line["after"] for line in lines] == list("01234")
    assert {line["reason"] for line in lines} == {"'=HYPERLINK(1)"}
    rows = [json.loads(line) for line in download(alice, f"{AUDIT}decisions.jsonl?what=settings").splitlines()]
    assert [(row["after"], row["reason"], row["by_id"]) for row in rows] == [
        (str(n), "=HYPERLINK(1)", alice.pk) for n in range(5)
    ]


def test_a_row_is_never_changed_or_removed(rows) -> None:
    for attempt in (
        lambda: Transition.objects.update(reason="x"),
        lambda: Transition.objects.filter(pk=rows[0].pk).delete(),
        rows[0].delete,
        rows[0].save,
    ):
        with pytest.raises(HistoryIsFixed):
            attempt()
    assert len(rows) == 3


def test_the_database_refuses_too(rows) -> None:
    guard = importlib.import_module("common.migrations.0003_audit_filters_and_guard")
    editor = connection.schema_editor()
    guard.protect(apps, editor)
    for statement in ("UPDATE common_transition SET reason = 'x'", "DELETE FROM common_transition"):
        with pytest.raises(DatabaseError, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    guard.unprotect(apps, editor)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM common_transition")
        assert cursor.rowcount == 4


def test_decisions_about_people_and_settings_are_recorded(project, alice, bob, member_of) -> None:
    member = member_of(bob, project)
    change_role(membership=member, role=Role.REVIEWER, by=alice)
    change_role(membership=member, role=Role.REVIEWER, by=alice)
    pause_member(membership=member, by=alice, reason="Holiday.")
    resume_member(membership=member, by=alice)
    remove_member(membership=member, by=alice, reason="left")
    invitation, _token = invite(project=project, role=Role.ADMIN, by=alice, email="nora@example.org")
    revoke_invitation(invitation=invitation, by=alice)
    update_project(project=project, name=project.name, lease_minutes=30, by=alice)
    key, _text = create_key(project=project, name="Shop", user=alice, scopes=["files"])
    revoke_key(key=key, by=alice)
    revoke_key(key=key, by=alice)
    publish_instructions(project=project, text="Be brief.", by=alice, based_on=0)
    found = Transition.objects.filter(project_pk=project.pk).order_by("pk")
    assert [(row.what, row.before, row.after) for row in found] == [
        ("role", "contractor", "reviewer"),
        ("standing", "active", "paused"),
        ("standing", "paused", "active"),
        ("standing", "active", "removed"),
        ("invitation", "", "admin nora@example.org"),
        ("invitation", "open", "withdrawn"),
        ("setting lease_minutes", "60", "30"),
        ("API key", "", "Shop: files"),
        ("API key", "Shop", "revoked"),
        ("instructions", "", "v1"),
    ]
    assert {row.by_name for row in found} == {"Alice"}


def test_the_log_speaks_the_readers_language_and_keeps_english(sign_in, alice, bob, project, member_of) -> None:
    change_role(membership=member_of(bob, project), role=Role.REVIEWER, by=alice)
    update_project(project=project, by=alice, lease_minutes=30)
    record(project, what="something new", before="x", after="y", by=alice, project_pk=project.pk)
    page = sign_in(alice).get(AUDIT).text
    assert 'Minutes a task is held: <span class="muted">60</span>' in page
    assert 'Role: <span class="muted">Contractor</span> → <span class="strong">Reviewer</span>' in page
    assert 'Something new: <span class="muted">x</span>' in page
    words = [*THINGS.values(), *(word for words in VALUES.values() for word in words.values())]
    assert {type(word) for word in words} == {type(gettext_lazy("role"))}  # translated when they are shown


def test_a_change_of_state_is_said_in_the_words_of_its_kind(project, bob) -> None:
    submission = SubmissionFactory(project=project, author=bob)
    record(submission, before="submitted", after="returned", reason="gold")
    record(submission.task, before="leased", after="aside", reason="lease ran out")
    record(project, before="x", after="y")
    by_kind = {row.subject_type: row for row in Transition.objects.all()}
    returned, aside = by_kind["labeling.submission"], by_kind["labeling.task"]
    assert (value_said(returned, "submitted"), value_said(returned, "returned")) == ("Waiting for review", "Sent back")
    assert (value_said(aside, "aside"), reason_said(aside)) == ("Needs a look", "the time ran out")
    assert reason_said(returned) == "gold"  # a person's own words
    assert value_said(by_kind["labeling.project"], "y") == "y"
    assert value_said(Transition(subject_type="gone.model"), "open") == "open"


def test_lines_outlive_their_project(rows) -> None:
    guard = importlib.import_module("common.migrations.0003_audit_filters_and_guard")
    project = ProjectFactory()
    record(project, what="project", after=project.slug, project_pk=project.pk)
    guard.protect(apps, connection.schema_editor())
    key = project.pk
    project.delete()
    assert Transition.objects.get(project_pk=key).after == project.slug
    guard.unprotect(apps, connection.schema_editor())
