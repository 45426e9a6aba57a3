"""What is found: words by their beginning, Chinese words of two characters, each filter, each kind; and for whom."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from labeling.actions.example import create_example
from labeling.models import Example, Task
from labeling.queries.search import Criteria, capped_count, excerpt, key_page, narrow
from labeling.search_index import keep_word_tables
from labeling.search_text import searchable, wanted_words
from labeling.states import TaskState
from tests.factories import CaseFactory, ExampleFactory, InstructionVersionFactory, SubmissionFactory, TaskFactory

SEARCH = "/p/kitchen/search/"


def asks(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    ("text", "query", "is_found"),
    [
        ("How do I bake bread?", "bre", True),
        ("How do I bake bread?", "BREAD how", True),
        ("How do I bake bread?", "read", False),
        ("How do I bake bread?", "bread oven", False),
        ("如何煮鸡蛋？", "鸡蛋", True),
        ("如何煮鸡蛋？", "煮", True),
        ("如何煮鸡蛋？", "蛋", True),
        ("如何煮鸡蛋？", "蛋鸡", False),
        ("用Python写代码", "python代码", True),
        ("Un café crème", "CAFÉ", True),
        ("ＦＵＬＬ　width", "full", True),
        ("snake_case and 100%", "case 100", True),
        ("100 percent", "%", False),
        ("हिन्दी में", "हिन्दी", True),
    ],
)
def test_words_are_found_by_their_beginning(project, text, query, is_found) -> None:
    TaskFactory(project=project, messages=asks(text))
    assert narrow(Task.objects.all(), "tasks", Criteria(words=query)).exists() == is_found


def test_words_are_kept_once_and_also_of_rows_made_in_bulk(project) -> None:
    assert searchable(asks("Tea, tea and TEA"), "面包店") == " tea and 面包 包店 店 "
    assert searchable([]) == ""
    assert wanted_words("面包店") == ["面包", "包店"]
    Task.objects.bulk_create([Task(project=project, messages=asks("Tea?"), prompt_hash="1")])
    assert Task.objects.get().search_text == " tea "


def test_each_filter_narrows(project, alice, bob, rita) -> None:
    version = InstructionVersionFactory(project=project, number=3)
    other = ExampleFactory(project=project)
    example = ExampleFactory(project=project, author=bob, instruction_version=version)
    example.tags.add(project.tags.create(name="oven"))
    day = example.accepted_at.date()
    for criteria in (Criteria(person=bob.pk), Criteria(tag="oven"), Criteria(version=3)):
        assert list(narrow(Example.objects.all(), "examples", criteria)) == [example]
    assert set(narrow(Example.objects.all(), "examples", Criteria(state="demonstration"))) == {example, other}
    for criteria in (Criteria(state="retracted"), Criteria(model="gpt"), Criteria(until=day.replace(year=2001))):
        assert not narrow(Example.objects.all(), "examples", criteria).exists()
    case = CaseFactory(project=project, model_name="smol-2", assignee=rita)
    for criteria in (Criteria(model="smol"), Criteria(person=rita.pk), Criteria(words="nobody")):
        assert list(narrow(project.cases.all(), "cases", criteria)) == [case]
    assert not narrow(project.cases.all(), "cases", Criteria(tag="oven")).exists()
    written = SubmissionFactory(project=project, instruction_version=version)
    assert list(narrow(project.tasks.all(), "tasks", Criteria(version=3))) == [written.task]


def test_an_example_has_the_tags_of_its_task(project, bob) -> None:
    submission = SubmissionFactory(project=project)
    submission.task.tags.add(project.tags.create(name="oven"))
    row = create_example(
        project=project,
        messages=submission.messages,
        origin=submission,
        author=bob,
        accepted_by=None,
        instruction_version=None,
    )
    assert [tag.name for tag in row.tags.all()] == ["oven"]


def test_pages_go_on_from_a_key_and_counts_end(project, monkeypatch) -> None:
    keys = sorted((task.pk for task in TaskFactory.create_batch(5, project=project)), reverse=True)
    rows = project.tasks.all()
    first = key_page(rows, size=2)
    second = key_page(rows, before=first.older or 0, size=2)
    back = key_page(rows, after=second.newer or 0, size=2)
    assert [[row.pk for row in page] for page in (first, second, back)] == [keys[:2], keys[2:4], keys[:2]]
    assert first.newer is None
    assert back.newer is None
    assert key_page(rows, before=keys[3], size=2).older is None
    assert capped_count(rows) == 5
    monkeypatch.setattr("labeling.queries.search.COUNT_LIMIT", 3)
    assert capped_count(rows) == 4


def test_an_excerpt_shows_the_words_where_they_are() -> None:
    pieces = excerpt("x" * 500 + " the Oven and the oven", "oven")
    assert [piece.text for piece in pieces if piece.is_hit] == ["Oven", "oven"]
    assert pieces[0].text == "…"
    assert [piece.text for piece in excerpt("short", "")] == ["short"]


def test_the_page_has_four_tabs_and_finds(sign_in, rita, project) -> None:
    task = TaskFactory(project=project, messages=asks("Is <b>bread</b> done?"))
    TaskFactory(project=project, state=TaskState.DONE)
    TaskFactory(messages=asks("Bread elsewhere"))
    case = CaseFactory(project=project, wrong_output="No bread.")
    client = sign_in(rita)
    response = client.get(SEARCH, {"q": "bread"})
    assert list(response.context["page"]) == [task]
    assert "&lt;b&gt;<mark>bread</mark>" in response.text
    counts = client.get(f"{SEARCH}counts/", {"q": "bread"}).context["tabs"]
    assert [tab["n"] for tab in counts] == ["1", "0", "1", "0"]
    assert list(client.get(SEARCH, {"q": "bread", "kind": "cases"}).context["page"]) == [case]
    fragment = client.get(SEARCH, {"q": "??", "kind": "examples"}, HTTP_HX_REQUEST="true").text
    assert "<html" not in fragment
    assert "Nothing found" in fragment
    for kind in ("tasks", "submissions", "examples", "nonsense"):
        nonsense = {"kind": kind, "person": "x", "since": "x", "version": "x", "before": "9" * 30}
        assert client.get(SEARCH, nonsense).status_code == 200


def test_search_is_for_reviewers_and_measures_nobody_openly(sign_in, client, bob, charlie, rita, project) -> None:
    SubmissionFactory(project=project, is_gold=True)
    for address in (SEARCH, f"{SEARCH}counts/"):
        assert sign_in(charlie).get(address).status_code == 404
        assert sign_in(bob).get(address).status_code == 403
        assert sign_in(rita).post(address).status_code == 405
    assert not list(client.get(SEARCH, {"kind": "submissions"}).context["page"])


@pytest.mark.parametrize("kind", ["tasks", "submissions", "cases", "examples"])
def test_as_many_queries_for_three_rows_as_for_one(sign_in, rita, project, kind) -> None:
    def make() -> None:
        ExampleFactory(project=project)
        CaseFactory(project=project, assignee=rita)

    client = sign_in(rita)
    make()
    with CaptureQueriesContext(connection) as one:
        client.get(SEARCH, {"kind": kind})
    make()
    make()
    with CaptureQueriesContext(connection) as three:
        client.get(SEARCH, {"kind": kind})
    assert len(one) == len(three)


def test_lists_have_the_filters_too(sign_in, alice, project) -> None:
    tagged, other = TaskFactory.create_batch(2, project=project)
    tagged.tags.add(project.tags.create(name="oven"))
    client = sign_in(alice)
    assert list(client.get("/p/kitchen/tasks/").context["page"]) == [other, tagged]
    response = client.get("/p/kitchen/tasks/", {"tag": "oven", "state": "open"})
    assert list(response.context["page"]) == [tagged]
    assert "oven" in response.text
    example = ExampleFactory(project=project)
    example.tags.add(project.tags.get())
    ExampleFactory(project=project)
    assert list(client.get("/p/kitchen/examples/", {"tag": "oven"}).context["page"]) == [example]


def test_a_change_and_a_deletion_are_known_to_the_search_however_they_are_made(project) -> None:
    def found(word: str) -> list[int]:
        return list(narrow(Task.objects.all(), "tasks", Criteria(words=word)).values_list("pk", flat=True))

    first, second = (TaskFactory(project=project, messages=asks(text)) for text in ("Bake bread", "Boil eggs"))
    first.messages = asks("Bake a cake")
    first.save()
    assert (found("bread"), found("cake"), found("bake"), found("eggs")) == ([], [first.pk], [first.pk], [second.pk])
    Task.objects.filter(pk=second.pk).update(search_text=" waffles ")
    assert (found("eggs"), found("waff")) == ([], [second.pk])
    Task.objects.filter(pk=first.pk).delete()
    assert found("cake") == []
    Task.objects.bulk_create([Task(project=project, messages=asks("Brew tea"), prompt_hash="2")])
    assert len(found("tea")) == 1


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has an index on the column itself")
def test_a_table_that_was_made_anew_gets_its_words_back(project) -> None:
    with connection.cursor() as cursor:
        for name in ("insert", "update", "delete"):  # as they are gone when a migration has made the table anew
            cursor.execute(f"DROP TRIGGER labeling_task_words_{name}")
    task = TaskFactory(project=project, messages=asks("Bake bread"))
    rows = narrow(Task.objects.all(), "tasks", Criteria(words="bread"))
    assert not rows.exists()
    keep_word_tables()
    assert rows.get() == task
    task.delete()
    assert not rows.exists()
