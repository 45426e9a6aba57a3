"""Exports: the same bytes for ever, nothing half made, nothing lost in silence."""

import asyncio
import hashlib
import io
import json
import sys
import zipfile

import pytest
from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import AsyncClient
from django.urls import reverse
from django.utils import timezone

from common.models import Transition
from tests.factories import DatasetVersionFactory
from tests.streams import download
from tests.training.hub import Hub, serve_hub
from training.actions import export
from training.actions.errors import ExportFailed
from training.actions.export import export_to_path, make_export, recover_exports, request_export
from training.formats import FORMATS, find_format
from training.models import DatasetExport, DatasetRow
from training.queries.exporting import export_text, find_losses, read_shapes

A, B = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because, „so“\n=1"}
SYSTEM = {"role": "system", "content": "Be brief. 如何\x1f"}
ROWS = [
    ("train", "demonstration", [A, B], None),
    ("train", "correction", [SYSTEM, A, B], "No."),
    ("valid", "demonstration", [A, B, A, B], None),
    ("train", "correction", [SYSTEM, A, B, A, B], "-"),
]
# Of the four rows above. A change here means that a version exported before looks otherwise now: old files no longer match.
DIGESTS = {
    "parquet": "c6ca25ada3d6fc1b",
    "huggingface": "f52c5ea74ff88c3b",
    "csv": "71c5bc9ae9a49c85",
    "openai-chat": "fbafeb5fc66bdbe6",
    "openai-preference": "fccb61cc72088902",
    "sharegpt": "7c9734defd22e3c7",
    "alpaca": "a135621b2d22e0c8",
    "oasst": "ddbe8d31c8450dac",
    "trl-preference": "1a06e7e505d52e53",
    "trl-sft": "58a60021ae728433",
    "completion": "156eed6e93d9d203",
}


@pytest.fixture(autouse=True)
def _no_counts_of_other_tests() -> None:
    cache.clear()


@pytest.fixture
def version(project):
    version = DatasetVersionFactory(project=project, number=1, n_train=3, n_valid=1, content_hash="c0ffee")
    DatasetRow.objects.bulk_create(
        DatasetRow(
            version=version, position=n, split=split, kind=kind, messages=messages, rejected=rejected, row_hash=str(n)
        )
        for n, (split, kind, messages, rejected) in enumerate(ROWS)
    )
    return version


def url(name: str, query: str = "") -> str:
    return reverse(f"training-export-{name}", args=["kitchen", 1]) + query


@pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.key)
def test_a_version_always_gives_these_bytes(version, tmp_path, each) -> None:
    export_to_path(version=version, wanted=each, path=tmp_path / "file")
    assert hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()[:16] == DIGESTS[each.key]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_pieces_and_splits_make_no_difference(version) -> None:
    chat = find_format("openai-chat")
    whole = "".join(export_text(version, chat))
    assert "".join(export_text(version, chat, n_rows=1)) == whole
    assert [json.loads(line)["messages"] for line in whole.splitlines()] == [row[2] for row in ROWS]
    assert "".join(export_text(version, chat, split="valid")) == whole.splitlines(keepends=True)[2]


def test_losses_are_counted_in_the_database(version) -> None:
    shapes = read_shapes(version)
    alpaca = find_losses(shapes, find_format("alpaca"))
    assert (alpaca.n_written, alpaca.n_long, alpaca.n_systems, alpaca.n_rejected) == (2, 2, 1, 1)
    pairs = find_losses(shapes, find_format("openai-preference"))
    assert (pairs.n_written, pairs.n_single, pairs.n_systems) == (2, 2, 0)
    assert find_losses(read_shapes(version, split="valid"), find_format("sharegpt")).is_any is False
    for each in FORMATS:
        if not each.is_made_ahead:
            n_lines = "".join(export_text(version, each)).count("\n" if each.suffix == "jsonl" else "\r\n")
            assert n_lines - (each.suffix == "csv") == find_losses(shapes, each).n_written


def test_weights_of_uploaded_rows_are_counted(project) -> None:
    version = DatasetVersionFactory(project=project)
    texts = [[A, B | {"weight": 0}, A, B], [A, B | {"content": 'A "weight": 0'}]]
    for n, messages in enumerate(texts):
        DatasetRow(
            version=version, position=n, split="train", kind="demonstration", messages=messages, row_hash=""
        ).save()
    shapes = read_shapes(version)
    assert find_losses(shapes, find_format("trl-sft")).n_weights == 1
    assert find_losses(shapes, find_format("openai-chat")).n_weights == 0
    assert "weight" not in "".join(export_text(version, find_format("oasst"))).replace('\\"weight', "")


@pytest.mark.django_db(transaction=True)
def test_the_page_says_what_is_lost_and_sends_the_file(sign_in, alice, version) -> None:
    page = sign_in(alice).get(url("list")).content.decode()
    assert "2 rows with several exchanges are left out" in page
    assert "2 rows without a rejected answer are left out" in page
    text = download(alice, url("file", "?format=sharegpt&split=train"), name="kitchen-v1-train-sharegpt.jsonl")
    assert text.count("\n") == 3
    assert sign_in(alice).get(url("file", "?format=word")).status_code == 400


def test_a_worker_makes_parquet_and_the_page_follows(
    sign_in, alice, version, django_capture_on_commit_callbacks
) -> None:
    client, form = sign_in(alice), {"format": "parquet", "split": ""}
    assert client.get(url("file", "?format=parquet"))["Location"] == url("list")
    assert client.post(url("file"), form)["Location"] == url("list")
    client.post(url("file"), form)
    row = DatasetExport.objects.get()
    assert 'hx-trigger="every 2s"' in client.get(url("list")).content.decode()
    make_export(export_pk=row.pk)
    row.refresh_from_db()
    assert (row.state, row.n_done, row.size_bytes) == ("done", 4, row.path.stat().st_size)
    assert row.sha256 == hashlib.sha256(row.path.read_bytes()).hexdigest()
    page = client.get(url("list")).content.decode()
    assert row.sha256[:12] in page
    assert "every 2s" not in page
    row.path.unlink()  # somebody cleaned up: it is made again
    assert request_export(version=version, wanted=find_format("parquet")).pk != row.pk


def test_a_file_whose_worker_died_is_taken_up(version, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(export.make_export_task, "delay", asked.append)
    row = request_export(version=version, wanted=find_format("parquet"))
    assert recover_exports() == 0
    long_ago = timezone.now() - 2 * export.SILENT
    DatasetExport.objects.update(state="making", seen_at=long_ago, n_done=3)
    assert recover_exports() == 1
    row.refresh_from_db()
    assert (row.state, row.n_done, asked) == ("queued", 0, [row.pk])


def test_what_cannot_be_made_says_why_and_leaves_nothing(version, settings, tmp_path) -> None:
    settings.ML_COMMAND = [sys.executable, "-c", "import sys; sys.exit('No room left')"]
    row = request_export(version=version, wanted=find_format("huggingface"))
    make_export(export_pk=row.pk)
    row.refresh_from_db()
    assert (row.state, row.problem) == ("failed", "Parquet could not be written: No room left")
    assert list(row.path.parent.iterdir()) == []
    with pytest.raises(ExportFailed):
        export_to_path(version=version, wanted=find_format("parquet"), path=tmp_path / "file")
    assert not (tmp_path / "file").exists()
    assert request_export(version=version, wanted=find_format("huggingface")).state == "queued"


def test_a_folder_for_the_hub_has_a_card(version, tmp_path) -> None:
    export_to_path(version=version, wanted=find_format("huggingface"), path=tmp_path / "file.zip")
    with zipfile.ZipFile(tmp_path / "file.zip") as archive:
        names = archive.namelist()
        card = archive.read("README.md").decode()
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert names == ["README.md", "data/train-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet"]
    assert "  - split: validation\n    path: data/validation-*.parquet" in card
    assert "| train | 2 | 1 | 3 |" in card
    assert "c0ffee" in card


def test_the_command_says_first_what_is_lost(version, tmp_path, capsys) -> None:
    path = tmp_path / "rows.jsonl"
    arguments = {"project": "kitchen", "number": 1, "output": path}
    call_command("export_dataset", format="completion", **arguments)
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "2 rows with several exchanges are left out.",
        "1 rows are written without their system message.",
        "1 rows are written without their rejected answer.",
    ]
    assert out == f"2 rows in {path}.\n"
    assert len(path.read_text().splitlines()) == 2
    with pytest.raises(CommandError, match="no version 9"):
        call_command("export_dataset", format="csv", **{**arguments, "number": 9})
    with pytest.raises(CommandError, match="could not be written"):
        call_command("export_dataset", format="csv", **{**arguments, "output": tmp_path / "no" / "where"})


@pytest.mark.django_db(transaction=True)
def test_the_interface_lists_makes_and_sends(version, alice) -> None:
    base = "/api/v1/p/kitchen/datasets/1/"

    async def ask() -> tuple:
        client = AsyncClient()
        await client.aforce_login(alice)
        listed = (await client.get(f"{base}exports/")).json()["items"]
        refused = await client.get(f"{base}export/?kind=parquet")
        made = await client.post(f"{base}export/", {"kind": "parquet"}, content_type="application/json")
        await sync_to_async(make_export)(export_pk=(await DatasetExport.objects.aget()).pk)
        file = await client.get(f"{base}export/?kind=parquet")
        content = b"".join([chunk async for chunk in file.streaming_content])
        wrong = await client.post(f"{base}export/", {"kind": "csv"}, content_type="application/json")
        await sync_to_async(connections.close_all)()
        return listed, refused, made, content, wrong

    listed, refused, made, content, wrong = asyncio.run(ask())
    by_key = {each["format"]: each for each in listed}
    assert by_key["alpaca"]["losses"]["n_long"] == 2
    assert by_key["parquet"]["is_made_ahead"]
    assert (refused.status_code, made.status_code, wrong.status_code) == (409, 200, 422)
    assert made.json()["state"] == "queued"
    assert content[:4] == b"PAR1"
    assert io.BytesIO(content).getbuffer().nbytes == DatasetExport.objects.get().size_bytes


def test_a_version_goes_to_a_hub_or_it_is_said_why_not(version, settings, capsys) -> None:
    arguments = {"project": "kitchen", "number": 1, "repo": "us/rows", "licence": "cc-by-4.0"}
    settings.HUB_TOKEN = ""
    with pytest.raises(CommandError, match="EMEND_HUB_TOKEN"):
        call_command("push_dataset", **arguments)
    with serve_hub() as address:
        settings.HUB_URL, settings.HUB_TOKEN = address, "bad"
        with pytest.raises(CommandError, match="The Hub refuses it"):
            call_command("push_dataset", **arguments)
        settings.HUB_TOKEN = "good"
        call_command("push_dataset", **arguments)
    assert capsys.readouterr().out == f"{settings.HUB_URL}/datasets/us/rows/commit/1\n"
    assert set(Hub.uploads) == {
        "README.md",
        "data/train-00000-of-00001.parquet",
        "data/validation-00000-of-00001.parquet",
    }
    assert b'license: "cc-by-4.0"' in Hub.uploads["README.md"]
    assert Transition.objects.get(what="dataset pushed").after == "us/rows (private)"
    with pytest.raises(CommandError, match="cannot be reached"):
        call_command("push_dataset", **arguments)
