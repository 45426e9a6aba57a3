"""One thing done to many rows: what could not be done is said, and undoing gives exactly those rows their former values."""

import pytest

from common.models import Transition
from labeling.actions.bulk import _next_batch, resume_bulk_actions, run_bulk, undo_bulk, work_on
from labeling.actions.errors import NotAllowed
from labeling.models import BulkAction, Case, Example, Task
from labeling.states import TaskState
from tests.factories import CaseFactory, ExampleFactory, InstructionVersionFactory, TaskFactory

BULK = "/p/kitchen/bulk/"


@pytest.fixture
def run(project, alice):
    def act(kind: str, what: str, rows, value: str = "") -> BulkAction:
        keys = [row.pk for row in rows]
        return run_bulk(project=project, kind=kind, what=what, value=value, keys=keys, by=alice)

    return act


def states() -> list[str]:
    return list(Task.objects.order_by("pk").values_list("state", flat=True))


def test_retiring_says_what_it_could_not_do_and_is_undone(run, project, alice) -> None:
    rows = [TaskFactory(project=project, state=state) for state in ("open", "done", "open", "retired")]
    bulk = run("tasks", "retire", rows)
    assert states() == ["retired", "done", "retired", "retired"]
    assert [pk for pk, _former in bulk.batches.get().done] == [rows[0].pk, rows[2].pk]
    assert bulk.problems == [["Its state does not allow it.", 2]]
    assert Transition.objects.of(rows[0]).get().by_name == str(alice)
    Task.objects.filter(pk=rows[2].pk).update(state=TaskState.OPEN)
    undo_bulk(bulk=bulk, by=alice)
    assert states() == ["open", "done", "open", "retired"]
    assert (bulk.n_undone, bulk.undo_problems) == (1, [["It was changed since.", 1]])
    with pytest.raises(NotAllowed):
        undo_bulk(bulk=bulk, by=alice)


def test_many_rows_are_done_by_a_worker_that_may_die_and_be_stopped(
    run, project, alice, monkeypatch, sign_in, django_capture_on_commit_callbacks
) -> None:
    monkeypatch.setattr("labeling.actions.bulk.LIMIT", 3)
    monkeypatch.setattr("labeling.actions.bulk.BATCH", 2)
    rows = [TaskFactory(project=project) for _each in range(5)]
    asked: list[int] = []
    monkeypatch.setattr("labeling.actions.bulk.work_on_bulk.delay", asked.append)
    with django_capture_on_commit_callbacks(execute=True):
        bulk = run("tasks", "retire", rows)
    assert (asked, states()) == ([bulk.pk], ["open"] * 5)
    place, client = f"{BULK}{bulk.pk}/", sign_in(alice)
    assert "0 of 5 rows" in client.get(place).text

    with monkeypatch.context() as dying:
        dying.setattr("labeling.actions.bulk._count", _die)
        with pytest.raises(MemoryError):
            work_on(bulk_pk=bulk.pk)
    assert states() == ["open"] * 5  # nothing half done
    assert resume_bulk_actions() == 1
    assert _next_batch(bulk.pk)
    polled = client.get(place, headers={"HX-Request": "true"})
    assert (polled.status_code, "2 of 5 rows" in polled.text) == (200, True)
    client.post(f"{place}stop/")
    work_on(bulk_pk=bulk.pk)
    assert states() == ["retired"] * 2 + ["open"] * 3
    polled = client.get(place, headers={"HX-Request": "true"})
    assert (polled.status_code, "2 rows are done" in polled.text) == (286, True)
    assert "It was over already" in client.post(f"{place}stop/", follow=True).text

    with django_capture_on_commit_callbacks(execute=True):
        client.post(f"{place}undo/")
    assert asked == [bulk.pk] * 3
    work_on(bulk_pk=bulk.pk)
    work_on(bulk_pk=bulk.pk)  # a second nudge finds nothing to do
    bulk.refresh_from_db()
    assert (states(), bulk.state, bulk.n_undone, bulk.percent) == (["open"] * 5, "undone", 2, 40)
    assert [row.after for row in Transition.objects.of(bulk).order_by("pk")] == ["stopped", "undoing", "undone"]


def _die(*_args: object, **_more: object) -> None:
    raise MemoryError


def test_returning_and_putting_first_are_undone(run, project, alice) -> None:
    aside, retired, opened = (TaskFactory(project=project, state=state) for state in ("aside", "retired", "open"))
    bulk = run("tasks", "return", [aside, retired, opened])
    assert states() == ["open"] * 3
    undo_bulk(bulk=bulk, by=alice)
    assert states() == ["open", "retired", "open"]
    opened.refresh_from_db()
    aside.refresh_from_db()
    bulk = run("tasks", "first", [aside, opened])
    assert [task.pk for task in Task.objects.filter(state="open").order_by("position")] == [opened.pk, aside.pk]
    undo_bulk(bulk=bulk, by=alice)
    assert set(Task.objects.values_list("position", flat=True)) == {0}


def test_a_tag_is_taken_from_those_only_that_got_it(run, project, alice) -> None:
    had, other = ExampleFactory(project=project), ExampleFactory(project=project)
    had.tags.add(project.tags.create(name="oven"))
    bulk = run("examples", "tag", [had, other], " oven ")
    assert Example.objects.filter(tags__name="oven").count() == 2
    undo_bulk(bulk=bulk, by=alice)
    assert list(Example.objects.filter(tags__name="oven")) == [had]
    assert not run("examples", "tag", [had], "x" * 41).n_done


def test_cases_get_their_values_back(run, project, alice, rita, bob) -> None:
    case = CaseFactory(project=project, assignee=rita)
    for what, value in (("assign", str(alice.pk)), ("severity", "3"), ("dismiss", "fine")):
        before = Case.objects.values("assignee", "severity", "is_severity_set", "state").get()
        case.refresh_from_db()
        bulk = run("cases", what, [case], value)
        assert Case.objects.values("assignee", "severity", "is_severity_set", "state").get() != before
        undo_bulk(bulk=bulk, by=alice)
        assert Case.objects.values("assignee", "severity", "is_severity_set", "state").get() == before
    assert not run("cases", "assign", [case], str(bob.pk)).n_done
    assert not run("cases", "severity", [case], "9").n_done


def test_retracting_needs_a_reason_and_can_be_undone(run, project, alice) -> None:
    example = ExampleFactory(project=project)
    assert not run("examples", "retract", [example]).n_done
    bulk = run("examples", "retract", [example], "Old")
    assert not Example.objects.trainable().exists()
    undo_bulk(bulk=bulk, by=alice)
    assert list(Example.objects.trainable()) == [example]


def test_ticked_rows_or_all_that_match_and_back(sign_in, alice, project) -> None:
    ticked, other = TaskFactory.create_batch(2, project=project)
    elsewhere = TaskFactory()
    client = sign_in(alice)
    page = client.get("/p/kitchen/tasks/").text
    assert f'value="{ticked.pk}" form="bulk"' in page
    result = client.post(f"{BULK}tasks/", {"pk": [ticked.pk, elsewhere.pk, "x"], "what": "retire"}).headers["Location"]
    assert "1 row is done" in client.get(result).text
    assert states() == ["retired", "open", "open"]
    assert "Undone for 1 row" in client.post(f"{result}undo/", follow=True).text
    assert states() == ["open"] * 3
    other.tags.add(project.tags.create(name="oven"))
    client.post(f"{BULK}tasks/", {"all": "1", "query": "state=open&tag=oven", "what": "retire"})
    assert states() == ["open", "retired", "open"]
    case, _other = CaseFactory(project=project, severity=1), CaseFactory(project=project, severity=2)
    data = {"all": "1", "query": "state=to-correct&severity=1", "what": "dismiss"}
    assert "1 row is done" in client.post(f"{BULK}cases/", data, follow=True).text
    assert list(Case.objects.filter(state="dismissed")) == [case]
    client.post(f"{BULK}tasks/", {"all": "1", "query": "state=open&person=nobody", "what": "retire"})
    assert states() == ["open", "retired", "open"]  # a filter that makes no sense chooses nothing
    assert "Tick the rows first" in client.post(f"{BULK}tasks/", {"what": "retire"}, follow=True).text
    assert "not possible" in client.post(f"{BULK}tasks/", {"pk": ticked.pk, "what": "eat"}, follow=True).text


def test_all_examples_that_follow_a_superseded_version(sign_in, alice, project) -> None:
    old, new = (InstructionVersionFactory(project=project, number=number) for number in (1, 2))
    example = ExampleFactory(project=project, instruction_version=old)
    ExampleFactory(project=project, instruction_version=new)
    query = "state=&version=superseded"
    sign_in(alice).post(f"{BULK}examples/", {"all": "1", "query": query, "what": "tag", "value_tag": "old"})
    assert list(Example.objects.filter(tags__name="old")) == [example]


def test_for_whom(sign_in, client, project, alice, rita, charlie, run) -> None:
    bulk = run("tasks", "retire", [TaskFactory(project=project)])
    for person, status in ((charlie, 404), (rita, 403)):
        sign_in(person)
        assert client.post(f"{BULK}tasks/", {"all": "1", "what": "retire"}).status_code == status
        assert client.get(f"{BULK}{bulk.pk}/").status_code == status
        assert client.post(f"{BULK}{bulk.pk}/undo/").status_code == status
    case = CaseFactory(project=project)
    sign_in(rita)
    assert client.post(f"{BULK}cases/", {"pk": case.pk, "what": "severity", "value_severity": "2"}).status_code == 302
    assert client.get("/p/kitchen/cases/").text.count('form="bulk"') == 1
    assert client.post(f"{BULK}nonsense/").status_code == 404
    assert client.get(f"{BULK}cases/").status_code == 405
