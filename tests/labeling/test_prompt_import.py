"""Files of prompts: every strange file ends in a clear sentence, nothing is imported twice, and a worker that dies loses nothing."""

import json
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from common.states import IllegalMove
from labeling.actions import prompt_import_run
from labeling.actions.errors import FileRefused
from labeling.actions.prompt_import import (
    cancel_import,
    read_again,
    resume_imports,
    start_import,
    undo_import,
    upload_prompts,
)
from labeling.actions.prompt_import_run import work_on
from labeling.models import PromptImport, Tag, Task
from tests.factories import SubmissionFactory, TaskFactory

LIST = "/p/kitchen/imports/"


@pytest.fixture(autouse=True)
def _files(settings, tmp_path) -> None:
    settings.VAR_DIR = tmp_path


@pytest.fixture
def upload(project, alice):
    """Upload a file, have it read, and return the row."""

    def send(content: bytes | str, **fields) -> PromptImport:
        data = content.encode() if isinstance(content, str) else content
        row = upload_prompts(project=project, name="prompts.csv", chunks=[data], by=alice, **fields)
        return worked(row)

    return send


def worked(row: PromptImport) -> PromptImport:
    work_on(import_pk=row.pk)
    row.refresh_from_db()
    return row


def test_a_csv_goes_in_with_all_its_columns(upload, project, alice) -> None:
    TaskFactory(project=project, messages=[{"role": "user", "content": "Tea?"}])
    row = upload(
        "\ufeffQuestion;System;tags;n_people;position;colour\r\n"
        "How do I bake bread?;Be brief.;oven, dough;2;-5;red\r\n"
        '"Two\nlines";;;;;\r\n'
        "Tea?;;;;;\r\n"
        "Tea?;;;;;\r\n"
        ";;;;;blue\r\n"
        "Salt?;;;no;;\r\n",
        tags=["monday"],
    )
    assert (row.state, row.format, row.n_rows, row.n_bad) == ("ready", "csv", 6, 2)
    assert row.columns["prompt"] == "Question"
    assert row.unknown_columns == ["colour"]
    assert [line for line, _why, _text in row.bad_lines] == [7, 8]
    assert row.preview[0]["tags"] == ["oven", "dough"]
    assert Task.objects.count() == 1
    start_import(prompt_import=row, by=alice)
    row = worked(row)
    assert (row.state, row.n_added, row.n_duplicates) == ("done", 2, 2)
    task = Task.objects.get(position=-5)
    assert task.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How do I bake bread?"},
    ]
    assert (task.n_people, task.created_by, task.search_text) == (2, alice, " be brief how do i bake bread ")
    assert {tag.name for tag in task.tags.all()} == {"oven", "dough", "monday"}
    assert not row.path.exists()


def test_jsonl_goes_in(upload, alice) -> None:
    conversation = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    lines = [
        {"prompt": "如何煮鸡蛋？", "tags": ["egg"]},
        {"messages": [*conversation, {"role": "user", "content": "Bye"}]},
        {"messages": conversation},
        {"text": 3},
    ]
    row = upload("\n".join(map(json.dumps, lines)) + '\n{"prompt"\n\n"text"\n')
    assert (row.state, row.format, row.n_rows, row.n_bad) == ("ready", "jsonl", 6, 4)
    assert [line for line, _why, _text in row.bad_lines] == [3, 4, 5, 7]
    start_import(prompt_import=row, by=alice)
    assert worked(row).n_added == 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("\n \n", "The file is empty"),
        ("prompt,tags\n", "nothing below it"),
        ("a,b\n1,2\n", "No column is called prompt or messages"),
        ('prompt\n"never closed\nand on\n', "quotation marks"),
        ('prompt\n"closed" and on\n', "quotation marks"),
        ('[{"prompt": "x"}]', "one JSON list"),
        ('{"prompt": ""}\n', "No row of the file can be used"),
        (b"PK\x03\x04\x00\x00prompt", "not a text file"),
        ("prompt\n" + "如何" * 5000, ""),
        ("prompt,tags\n如何".encode("gb18030"), "GB18030"),
        ("prompt\n" + "x" * 6_000_000, "quotation marks"),
    ],
)
def test_strange_files_end_in_a_sentence(upload, content, sentence) -> None:
    row = upload(content)
    assert row.state == ("failed" if sentence else "ready")
    assert sentence in row.problem


def test_a_file_in_gb18030_is_read_again(upload, alice) -> None:
    row = upload("prompt\n如何煮鸡蛋？\n".encode("gb18030"))
    assert row.needs_encoding
    with pytest.raises(FileRefused):
        read_again(prompt_import=row, encoding="klingon", by=alice)
    read_again(prompt_import=row, encoding="gb18030", by=alice)
    row = worked(row)
    assert (row.state, row.problem) == ("ready", "")
    assert row.preview[0]["messages"][0]["content"] == "如何煮鸡蛋？"


def test_utf_16_is_recognised(upload) -> None:
    assert upload("prompt\n如何煮鸡蛋？\n".encode("utf-16")).state == "ready"


def test_empty_and_too_large_files_are_refused_at_once(upload, project, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("labeling.actions.import_work.MAX_BYTES", 5)
    for content in ("", "too large"):
        with pytest.raises(FileRefused):
            upload(content)
    assert not PromptImport.objects.exists()
    assert not list((tmp_path / "imports").iterdir())


def test_an_import_that_broke_off_goes_on_behind_the_last_batch(upload, alice, monkeypatch) -> None:
    monkeypatch.setattr(prompt_import_run, "BATCH", 2)
    row = upload("prompt\n" + "".join(f"Question {n}\n" for n in range(7)))
    start_import(prompt_import=row, by=alice)
    add, calls = prompt_import_run._add, []

    def dies(*args) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        add(*args)

    monkeypatch.setattr(prompt_import_run, "_add", dies)
    with pytest.raises(KeyboardInterrupt):
        work_on(import_pk=row.pk)
    row.refresh_from_db()
    assert (row.state, row.n_handled, Task.objects.count()) == ("importing", 4, 4)
    monkeypatch.setattr(prompt_import_run, "_add", add)
    work_on(import_pk=row.pk)  # the dead worker may still be alive
    assert Task.objects.count() == 4
    PromptImport.objects.update(seen_at=timezone.now() - timedelta(minutes=1))
    row = worked(row)
    assert (row.state, row.n_added, row.n_duplicates) == ("done", 7, 0)
    assert [task.messages[0]["content"] for task in Task.objects.order_by("pk")] == [f"Question {n}" for n in range(7)]


def test_the_sweep_takes_up_what_no_worker_is_at(upload, project, monkeypatch) -> None:
    nudged: list[int] = []
    monkeypatch.setattr("labeling.actions.prompt_import.work_on_import.delay", nudged.append)
    upload("prompt\nReady\n")
    lost = upload_prompts(project=project, name="lost.csv", chunks=[b"prompt\nTea?\n"])
    assert resume_imports() == 1
    assert nudged == [lost.pk]
    PromptImport.objects.update(seen_at=timezone.now())
    assert resume_imports() == 0


def test_cancelling_in_the_middle_keeps_what_is_in_and_it_can_be_undone(upload, alice, bob, monkeypatch) -> None:
    monkeypatch.setattr(prompt_import_run, "BATCH", 2)
    row = upload("prompt,tags\n" + "".join(f"Question {n},a\n" for n in range(6)))
    start_import(prompt_import=row, by=alice)
    add = prompt_import_run._add

    def cancels(*args) -> None:
        add(*args)
        cancel_import(prompt_import=PromptImport.objects.get(pk=row.pk), by=alice)

    monkeypatch.setattr(prompt_import_run, "_add", cancels)
    row = worked(row)
    assert (row.state, row.n_added, Task.objects.count()) == ("cancelled", 2, 2)
    kept, _gone = Task.objects.order_by("pk")
    SubmissionFactory(task=kept, project=kept.project, author=bob)
    undo_import(prompt_import=row, by=alice)
    row = worked(row)
    assert (row.state, row.n_kept) == ("undone", 1)
    assert list(Task.objects.all()) == [kept]
    assert Tag.objects.exists()
    with pytest.raises(IllegalMove):
        undo_import(prompt_import=row, by=alice)


def test_the_pages_lead_through_an_import(sign_in, alice, project) -> None:
    client = sign_in(alice)
    assert LIST in client.get("/p/kitchen/tasks/").text
    assert client.post(LIST, {}).status_code == 422
    assert "The file is empty" in client.post(LIST, {"file": SimpleUploadedFile("a.csv", b"")}).text
    file = SimpleUploadedFile("a.csv", b"prompt\nHow <b>?\n,\n")
    page = client.post(LIST, {"file": file, "tags": "one, two"}).headers["Location"]
    row = PromptImport.objects.get()
    assert row.tags == ["one", "two"]
    assert 'hx-trigger="every 1s"' in client.get(page).text
    assert client.get(page, HTTP_HX_REQUEST="true").status_code == 200
    worked(row)
    assert client.get(page, HTTP_HX_REQUEST="true").status_code == 286
    shown = client.get(page).text
    assert "How &lt;b&gt;?" in shown
    assert "Import 1 row" in shown
    assert client.post(f"{page}change/", {"change": "nonsense"}).status_code == 400
    client.post(f"{page}change/", {"change": "start"})
    assert "moved on meanwhile" in client.post(f"{page}change/", {"change": "start"}, follow=True).text
    worked(row)
    assert "Undo this import" in client.get(page).text
    client.post(f"{page}change/", {"change": "undo"})
    worked(row)
    assert "out of the queue" in client.get(page).text
    assert not Task.objects.exists()
    assert "a.csv" in client.get(LIST).text


def test_imports_are_for_admins(sign_in, client, upload, rita, charlie, alice) -> None:
    row = upload("prompt\nTea?\n")
    pages = (LIST, f"{LIST}{row.pk}/")
    for person, status in ((charlie, 404), (rita, 403)):
        sign_in(person)
        assert [client.get(page).status_code for page in pages] == [status, status]
        assert client.post(f"{LIST}{row.pk}/change/", {"change": "start"}).status_code == status
    sign_in(alice)
    assert client.get(f"{LIST}{row.pk}/change/").status_code == 405
    assert client.get(f"{LIST}{row.pk + 1}/").status_code == 404
