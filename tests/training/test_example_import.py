"""Files of conversations: recognised, shown, imported once, taken up after a crash, taken back."""

import io
import json
import time
import zipfile
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from common.conversations import digest
from labeling.actions.fingerprint import fill_in, find_similar
from labeling.models import Example, Fingerprint, FingerprintBand, Probe, RegressionTest
from tests.factories import CaseFactory, CorrectionFactory, DatasetVersionFactory, TaskFactory
from tests.training.conftest import make_demonstration
from training.actions import example_batches, example_import_run
from training.actions.dataset import freeze_dataset
from training.actions.example_import import read_again, resume_imports, start_import, undo_import, upload_examples
from training.actions.example_import_run import work_on
from training.actions.export import export_to_path
from training.formats import FORMATS, carry, json_lists, source
from training.formats.row import Row
from training.models import DatasetRow

A, B = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}
LONG = "the oven has to be hot before the bread goes in and it stays there for forty minutes at least"


def chat(question: str, answer: str = "Because.") -> dict:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def jsonl(*values: object) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def packed(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def upload(project, alice):
    """Upload a file, have it read, and return the row."""

    def send(content: bytes, name: str = "rows.jsonl", **fields):
        return worked(upload_examples(project=project, name=name, chunks=[content], by=alice, **fields))

    return send


def worked(row):
    work_on(import_pk=row.pk)
    row.refresh_from_db()
    return row


def imported(row):
    start_import(example_import=row, by=row.created_by)
    return worked(row)


def test_a_file_with_bad_rows_gives_the_good_ones(upload, project, alice) -> None:
    pair = {"messages": [A], "rejected": "x"}
    content = jsonl(chat("One?"), pair, {"messages": [A, {"role": "cat", "content": "x"}]}, chat("One?"), chat("Two?"))
    row = upload(
        content + b'{"messages"\n\n\xff\n"text"\n{"a": "\\ud800"}\n' + jsonl(chat("Three?")), tags=["imported", "old"]
    )
    assert (row.state, row.format, row.columns) == ("ready", "jsonl", {"formats": ["openai-chat"]})
    assert (row.n_rows, row.n_bad) == (10, 6)
    assert [place for place, _why, _text in row.bad_lines] == ["2", "3", "6", "8", "9", "10"]
    assert row.bad_lines[1][1].startswith("messages[1].role: ")
    assert row.preview[0]["messages"] == chat("One?")["messages"]
    assert not Example.objects.exists()
    row = imported(row)
    assert (row.state, row.n_added, row.n_duplicates, row.n_bad) == ("done", 3, 1, 6)
    assert not row.path.exists()
    example = Example.objects.get(import_place="5")
    assert example.messages == chat("Two?")["messages"]
    assert (example.kind, example.example_import, example.accepted_by, example.author) == (
        "demonstration",
        row,
        alice,
        None,
    )
    assert (example.content_hash, example.prompt_hash) == (digest(example.messages), digest(example.messages[:-1]))
    assert example.search_text == " two because "
    assert sorted(tag.name for tag in example.tags.all()) == ["imported", "old"]


def test_pairs_keep_their_rejected_answers(upload, project) -> None:
    def pair(rejected: str) -> dict:
        return {"prompt": [A], "chosen": [B], "rejected": [B | {"content": rejected}]}

    row = imported(upload(jsonl(pair("No."), pair("Never."), pair("No."), pair("Because."))))
    assert (row.n_added, row.n_duplicates, row.n_bad) == (2, 1, 1)
    rows = Example.objects.order_by("pk").values_list("kind", "rejected", "messages")
    assert list(rows) == [("correction", "No.", [A, B]), ("correction", "Never.", [A, B])]
    version = freeze_dataset(project=project)
    assert set(version.rows.values_list("kind", "rejected")) == {("correction", "No."), ("correction", "Never.")}


def test_near_duplicates_are_left_out_and_named(upload, project, alice) -> None:
    make_demonstration(project, "How long does bread bake?", LONG)
    there = Example.objects.get()
    fill_in()
    near = LONG + " or longer"
    content = jsonl(
        chat("How long does bread bake?", near),
        chat(
            "Something else altogether, which has a long question of its own and shares nothing with the first?", near
        ),
        chat("A cake?", "first " + LONG.replace("bread", "cake").replace("oven", "stove").replace("hot", "warm")),
        chat(
            "A cake?", "first " + LONG.replace("bread", "cake").replace("oven", "stove").replace("hot", "warm") + " now"
        ),
    )
    row = imported(upload(content))
    assert row.near_lines == [["1", f"#{there.pk}"], ["4", "3"]]
    assert (row.n_added, row.n_near) == (2, 2)
    assert imported(upload(content, skips_near=False)).n_added == 2


def test_near_duplicates_are_found_in_the_batches_before_which_another_process_reads(upload, monkeypatch) -> None:
    monkeypatch.setattr(example_import_run, "BATCH", 1)
    cake = LONG.replace("bread", "cake").replace("oven", "stove").replace("hot", "warm")
    rows = [
        ("A loaf?", LONG),
        ("A cake?", cake),
        ("A loaf?", LONG + " or longer"),
        ("A cake?", cake),
        ("A bun?", "No."),
    ]
    row = imported(upload(jsonl(*(chat(*each) for each in rows))))
    first = Example.objects.order_by("pk")[0]
    assert (row.state, row.n_added, row.n_near, row.n_duplicates) == ("done", 3, 1, 1)
    assert row.near_lines == [["3", f"#{first.pk}"]]


@pytest.mark.django_db(transaction=True)
def test_batches_that_are_written_at_once_know_of_each_other(upload, monkeypatch) -> None:
    """On PostgreSQL two are: the third is compared with the first while that is not there yet."""
    monkeypatch.setattr(example_import_run, "BATCH", 2)
    add, numbers = example_import_run._add, []

    def add_slowly(*args) -> int:
        numbers.append(args)
        time.sleep(0.3 if len(numbers) == 1 else 0)
        return add(*args)

    monkeypatch.setattr(example_import_run, "_add", add_slowly)
    cake = LONG.replace("bread", "cake").replace("oven", "stove").replace("hot", "warm")
    rows = [
        *(("A loaf?", LONG), ("A bun?", "No.")),
        *(("A cake?", cake), ("A bun?", "No.")),
        *(("A loaf?", LONG + " or longer"), ("A cake?", cake)),
        *(("A loaf?", LONG + " or so"), ("Tea?", "Yes.")),
    ]
    row = imported(upload(jsonl(*(chat(*each) for each in rows)), tags=["old"]))
    assert (row.state, row.n_handled, row.n_added, row.n_duplicates, row.n_near) == ("done", 8, 4, 2, 2)
    assert [place for place, _other in row.near_lines] == ["5", "7"]
    assert sorted(example.messages[0]["content"] for example in Example.objects.all()) == [
        *("A bun?", "A cake?", "A loaf?", "Tea?")
    ]
    assert Example.objects.filter(tags__name="old").count() == 4


def test_what_others_hand_in_meanwhile_is_compared_with_too(upload, project, monkeypatch) -> None:
    monkeypatch.setattr(example_import_run, "BATCH", 1)
    row = upload(jsonl(chat("A cake?"), chat("How long does bread bake?", LONG + " or longer")))
    add, calls = example_import_run._add, []

    def add_late(*args) -> int:
        n_added = add(*args)
        if not calls:
            make_demonstration(project, "How long does bread bake?", LONG)
            fill_in()
        calls.append(args)
        return n_added

    monkeypatch.setattr(example_import_run, "_add", add_late)
    row = imported(row)
    assert (len(calls), row.n_added, row.n_near) == (2, 1, 1)


def test_a_file_that_is_gone_or_other_than_it_was_fails_with_a_sentence(upload, monkeypatch) -> None:
    monkeypatch.setattr(example_import_run, "BATCH", 1)
    row = upload(jsonl(chat("One?"), chat("Two?")))
    row.path.unlink()
    row = imported(row)
    assert (row.state, "not on the server any more" in row.problem) == ("failed", True)
    row = upload(jsonl(chat("One?"), chat("Two?")))
    row.path.write_bytes(b"\x00\x01\x02")
    row = imported(row)
    assert (row.state, "not a text file" in row.problem) == ("failed", True)


def test_an_import_goes_on_when_the_process_that_reads_has_died(upload, monkeypatch) -> None:
    monkeypatch.setattr(example_import_run, "BATCH", 1)
    row = upload(jsonl(chat("One?"), chat("Two?")))
    with monkeypatch.context() as patch:
        patch.setattr(example_batches, "_READER", "import os; os._exit(1)")
        with pytest.raises(RuntimeError, match="has died"):
            imported(row)
    row.refresh_from_db()
    assert (row.state, row.n_handled) == ("importing", 0)
    type(row).objects.update(seen_at=timezone.now() - timedelta(minutes=2))
    assert worked(row).n_added == 2


def test_what_was_imported_is_found_when_somebody_hands_it_in(upload, project, bob) -> None:
    imported(upload(jsonl(chat("How long does bread bake?", LONG))))
    task = TaskFactory(project=project)
    similar = find_similar(task=task, messages=[*task.messages, B | {"content": LONG}], by=bob)
    assert similar is not None
    assert similar.example == Example.objects.get()


def test_what_a_probe_asks_is_refused(upload, project) -> None:
    case = CaseFactory(project=project)
    test = RegressionTest.objects.create(
        project=project, case=case, correction=CorrectionFactory(case=case), messages=[A], chosen="a", rejected="b"
    )
    Probe.objects.create(test=test, messages=[A], prompt_hash=digest([A]))
    row = imported(upload(jsonl(chat("Why?"), chat("Else?"))))
    assert (row.n_added, row.n_bad, row.bad_lines[0][:2]) == (1, 1, ["1", "asks exactly what a held-out probe asks"])


def test_an_import_goes_on_behind_the_last_committed_batch(upload, monkeypatch) -> None:
    monkeypatch.setattr(example_import_run, "BATCH", 2)
    row = upload(jsonl(*(chat(f"{n}?") for n in range(5))))
    add, calls = example_import_run._add, []

    def dies(*args) -> int:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return add(*args)

    monkeypatch.setattr(example_import_run, "_add", dies)
    with pytest.raises(KeyboardInterrupt):
        imported(row)
    monkeypatch.setattr(example_import_run, "_add", add)
    row.refresh_from_db()
    assert (row.state, row.n_handled, Example.objects.count()) == ("importing", 2, 2)
    assert resume_imports() == 0
    type(row).objects.update(seen_at=timezone.now() - timedelta(minutes=2))
    assert resume_imports() == 1
    row = worked(row)
    assert (row.state, row.n_added, row.n_duplicates) == ("done", 5, 0)


def test_undo_deletes_what_no_version_holds(upload, project, alice) -> None:
    row = imported(upload(jsonl(chat("How long?", LONG), chat("Frozen?"))))
    frozen = Example.objects.get(import_place="2")
    version = DatasetVersionFactory(project=project)
    DatasetRow(
        version=version,
        position=0,
        split="train",
        kind="demonstration",
        messages=frozen.messages,
        row_hash="",
        example=frozen,
    ).save()
    assert FingerprintBand.objects.exists()
    undo_import(example_import=row, by=alice)
    row = worked(row)
    assert (row.state, row.n_kept) == ("undone", 1)
    left = Example.objects.get()
    assert (left, left.retracted_at is not None, left.retraction.by) == (frozen, True, alice)
    assert not FingerprintBand.objects.exists()
    assert not Fingerprint.objects.exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b" \n", "The file is empty"),
        (b"\x00\x01\x02", "not a text file"),
        (b"a,b\n1,2\n", "No row of the file can be used"),
        (b'{"a": 1}\n', "No row of the file can be used"),
        (b"[]", "The file has no row"),
        (b'[{"messages": 1},\n {"messages"', "cannot be read from line 2"),
        (b"[1 2]", "cannot be read from line 1"),
        (b"\x1f\x8bxxxx", "is packed"),
        ("prompt,response\n如何,煮".encode("gb18030"), "GB18030"),
        (b"PAR1xxxxPAR1", "The Parquet file cannot be read"),
        (packed(**{"README.md": b"x"}), "no file of rows"),
        (packed(**{"a.jsonl": packed(**{"b.jsonl": b"x"})}), "is packed"),
        (packed(**{"a.jsonl": b'{"x": "' + b"a" * 2_000_000 + b'"}'}), "200 times its size"),
    ],
    ids=range(13),
)
def test_strange_files_end_in_a_sentence(upload, content, sentence) -> None:
    row = upload(content, name="strange")
    assert row.state == "failed"
    assert sentence in row.problem


def test_a_table_in_gb18030_is_read_again(upload, alice) -> None:
    row = upload("prompt,response\n如何煮鸡蛋？,煮五分钟。\n".encode("gb18030"))
    assert row.needs_encoding
    read_again(example_import=row, encoding="gb18030", by=alice)
    assert worked(row).preview[0]["messages"][1]["content"] == "煮五分钟。"


def test_a_damaged_archive_is_refused(upload) -> None:
    content = bytearray(packed(**{"a.jsonl": jsonl(*(chat(f"{n}?") for n in range(50)))}))
    content[60] ^= 0xFF
    row = upload(bytes(content))
    assert (row.state, "a.jsonl is damaged" in row.problem) == ("failed", True)


def test_an_archive_gives_its_files_in_order_and_no_path_is_used(upload, tmp_path) -> None:
    table = b"Prompt;response;system\nThree?;Because.;Be brief.\n"
    content = packed(
        **{
            "../../b.csv": table,
            "a/rows.jsonl": jsonl(chat("One?"), {"x": 1}),
            "c.json": json.dumps([chat("Four?"), 5, chat("Five?")], indent=1).encode(),
            "README.md": b"# Rows",
            "__MACOSX/a.jsonl": b"x",
        }
    )
    row = imported(upload(content))
    places = Example.objects.order_by("pk").values_list("import_place", flat=True)
    assert list(places) == ["../../b.csv, 2", "a/rows.jsonl, 1", "c.json, 2", "c.json, 15"]
    assert [place for place, _why, _text in row.bad_lines] == ["a/rows.jsonl, 2", "c.json, 14"]
    assert (row.format, row.unknown_columns) == ("mixed", ["README.md", "__MACOSX/a.jsonl"])
    assert not list(tmp_path.parent.glob("b.csv"))


def test_a_list_is_read_in_pieces(monkeypatch) -> None:
    values = [{"text": "如何" * n, "n": [n, {"[": "]"}]} for n in range(40)]
    monkeypatch.setattr(json_lists, "BLOCK", 7)
    stream = io.BytesIO(json.dumps(values, ensure_ascii=False, indent=1).encode())
    assert [value for _line, value in json_lists.read_list(stream)] == values


def test_a_line_of_any_length_costs_that_line_alone(upload, monkeypatch) -> None:
    monkeypatch.setattr(source, "MAX_LINE", 200)
    row = upload(jsonl(chat("One?"), chat("Two?", "x" * 1000), chat("Three?")))
    assert (row.n_rows, row.n_bad, row.bad_lines[0][0]) == (3, 1, "2")


@pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.key)
def test_what_was_exported_is_imported_the_same(each, upload, project, tmp_path) -> None:
    system = {"role": "system", "content": "Be brief.\n\x1f\u2028“"}
    rows = [
        Row([A, B]),
        Row([system, A | {"content": "How?"}, B], "No,\r=1"),
        Row([A, B, A, B | {"content": "=1\n\"'\t,"}]),
        Row([A, B | {"content": "如何 \ufeff 🙂"}], "-"),
    ]
    version = DatasetVersionFactory(project=project)
    DatasetRow.objects.bulk_create(
        DatasetRow(
            version=version,
            position=n,
            split="train",
            kind="correction" if row.rejected else "demonstration",
            messages=row.messages,
            rejected=row.rejected,
            row_hash=str(n),
        )
        for n, row in enumerate(rows)
    )
    export_to_path(version=version, wanted=each, path=tmp_path / "file")
    result = imported(upload((tmp_path / "file").read_bytes(), name=f"file.{each.suffix}", skips_near=False))
    carried = [carried for carried in (carry(row, each) for row in rows) if carried]
    back = Example.objects.order_by("pk").values_list("messages", "rejected")
    assert list(back) == [(row.messages, row.rejected) for row in carried]
    assert result.n_bad == 0


def test_a_batch_asks_the_database_the_same_number_of_times(upload) -> None:
    counts = []
    for n in (2, 40):
        row = upload(jsonl(*(chat(f"{n} {m}?", f"{m} {LONG}") for m in range(n))), skips_near=False)
        start_import(example_import=row, by=row.created_by)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            work_on(import_pk=row.pk)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_command_imports_a_folder(project, tmp_path, capsys) -> None:
    folder = tmp_path / "rows"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train.jsonl").write_bytes(jsonl(chat("One?"), {"x": 1}))
    (folder / "README.md").write_text("# Rows")
    call_command("import_examples", folder, project="kitchen", tag=["imported"])
    out, err = capsys.readouterr()
    assert out == "1 added, 0 already there, 0 nearly the same, 1 bad.\n"
    assert err == "data/train.jsonl, 2: messages: is missing\n"
    (tmp_path / "empty").mkdir()
    with pytest.raises(CommandError, match="no file of rows"):
        call_command("import_examples", tmp_path / "empty", project="kitchen")


def test_pages_lead_from_the_file_to_its_examples(sign_in, alice, rita, project) -> None:
    client = sign_in(alice)
    address = reverse("training-example-import-list", args=["kitchen"])
    assert client.post(address, {"file": SimpleUploadedFile("x.jsonl", b"")}).status_code == 422
    answer = client.post(
        address,
        {
            "file": SimpleUploadedFile("rows.jsonl", jsonl(chat("One?"), {"x": 1})),
            "tags": "imported",
            "skips_near": "on",
        },
    )
    show = answer["Location"]
    row = worked(project.example_imports.get())
    page = client.get(show).content.decode()
    assert "OpenAI chat" in page
    assert "messages: is missing" in page
    assert client.post(f"{show}change/", {"change": "start"})["Location"] == show
    worked(row)
    assert "Undo this import" in client.get(show).content.decode()
    assert client.get(show, headers={"HX-Request": "true"}).status_code == 286
    assert "rows.jsonl" in client.get(reverse("labeling-example-list", args=["kitchen"])).content.decode()
    assert "rows.jsonl" in sign_in(rita).get(reverse("labeling-example-list", args=["kitchen"])).content.decode()
