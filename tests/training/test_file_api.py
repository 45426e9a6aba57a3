"""/v1/files, and the dataset versions that uploads become."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from labeling.actions.api_key import create_key
from labeling.models import Project
from labeling.states import Scope
from tests.training.api import as_jsonl, chat_rows, completion_rows, error_of, read_stream, upload
from tests.training.conftest import make_demonstration
from training.actions import file as files
from training.actions.dataset import freeze_dataset
from training.actions.file import create_file, delete_expired_files, freeze_files
from training.actions.recovery import recover
from training.models import DatasetRow, File
from training.states import FilePurpose, Split

pytestmark = pytest.mark.django_db
DATA = as_jsonl(chat_rows(12))


def test_an_upload_is_a_file_of_the_project(api: Client, project: Project) -> None:
    shape = upload(api, DATA, name="train chat.jsonl").json()
    file = File.objects.get()
    assert shape == {
        "id": file.key,
        "object": "file",
        "bytes": len(DATA),
        "created_at": int(file.created_at.timestamp()),
        "expires_at": None,
        "filename": "train chat.jsonl",
        "purpose": "fine-tune",
        "status": "processed",
        "status_details": None,
    }
    assert (file.project, file.format, file.n_rows) == (project, "chat", 12)
    assert api.get(f"/v1/files/{file.key}").json() == shape


def test_the_content_comes_back_as_it_was(api: Client) -> None:
    key = upload(api, DATA).json()["id"]
    response = api.get(f"/v1/files/{key}/content")
    assert read_stream(response) == DATA
    assert response["Content-Length"] == str(len(DATA))


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("/data/train.jsonl", "train.jsonl"),
        ("..\\..\\x.jsonl", "x.jsonl"),
        ("say %22hi%22.jsonl", 'say "hi".jsonl'),
        ("训练.jsonl", "训练.jsonl"),
        ("a\x00b\nc", "abc"),
        ("x" * 400 + ".jsonl", "x" * 249 + ".jsonl"),
        ("..", ".."),
        ("", "upload"),
    ],
)
def test_of_a_name_the_last_part_is_kept(typed: str, kept: str) -> None:
    assert files.clean_name(typed) == kept


def test_the_same_bytes_are_checked_and_stored_once(project: Project, monkeypatch) -> None:
    def create() -> File:
        return create_file(project=project, name="a.jsonl", purpose=FilePurpose.FINE_TUNE, chunks=[DATA])

    first = create()
    monkeypatch.setattr(files, "inspect_file", lambda *args, **kwargs: pytest.fail("checked twice"))
    second = create()
    assert first.key != second.key
    assert second.n_rows == 12
    assert first.path.samefile(second.path)
    files.delete_file(file=first)
    assert second.path.read_bytes() == DATA
    assert sorted(path.name for path in files.files_dir().iterdir()) == [second.key]


def test_a_refused_upload_leaves_nothing(api: Client) -> None:
    response = upload(
        api, DATA + b'{"messages": [{"role": "user", "content": "x"}, {"role": "bot", "content": "y"}]}\n'
    )
    assert response.status_code == 400
    error = error_of(response)
    assert "Line 13, field messages[1].role" in error["message"]
    assert (error["param"], error["code"]) == ("file", "invalid_file_format")
    assert not File.objects.exists()
    assert list(files.files_dir().iterdir()) == []


def test_what_is_no_jsonl_is_refused_in_the_known_words(api: Client) -> None:
    error = error_of(upload(api, b"this is not json\n"))
    assert error["message"].startswith(
        "Expected file to have JSONL format, where every line is a valid JSON dictionary."
    )
    assert (error["param"], error["code"]) == (None, None)


def test_a_file_that_is_too_large_is_refused(api: Client, monkeypatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    assert "512 MB" in error_of(upload(api, DATA))["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "assistants"}, "purpose"),
        ({"purpose": "fine-tune-results"}, "purpose"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "60"}, "expires_after.seconds"),
        ({"expires_after[anchor]": "now", "expires_after[seconds]": "7200"}, "expires_after.anchor"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "²"}, "expires_after.seconds"),
    ],
)
def test_bad_fields_are_named(api: Client, fields: dict[str, str], param: str) -> None:
    response = upload(api, DATA, **fields)
    assert (response.status_code, error_of(response)["param"]) == (400, param)


@pytest.mark.parametrize("body", [b"", b"--x\r\nrubbish", b"\x1f\x8b\x08\x00" * 50])
def test_a_broken_form_is_refused(api: Client, body: bytes) -> None:
    for content_type in ("multipart/form-data; boundary=x", "multipart/form-data", "application/json"):
        response = api.post("/v1/files", body, content_type=content_type)
        assert response.status_code == 400
        error_of(response)


def test_a_file_expires(api: Client) -> None:
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "7200"}
    shape = upload(api, DATA, **fields).json()
    assert shape["expires_at"] - shape["created_at"] == pytest.approx(7200, abs=1)
    File.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert api.get(f"/v1/files/{shape['id']}").status_code == 404
    file = File.objects.get()
    assert file.path.exists()
    recover()
    assert not file.path.exists()
    delete_expired_files()


def test_lists_have_pages_purposes_and_an_order(api: Client) -> None:
    keys = [upload(api, DATA, name=f"{n}.jsonl").json()["id"] for n in range(3)]
    batch = upload(api, b'{"custom_id": "a"}\n', purpose="batch").json()["id"]
    page = api.get("/v1/files").json()
    assert [file["id"] for file in page["data"]] == [batch, *keys[::-1]]
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, batch, keys[0])
    page = api.get("/v1/files", {"purpose": "fine-tune", "limit": 2, "order": "asc"}).json()
    assert ([file["id"] for file in page["data"]], page["has_more"]) == (keys[:2], True)
    page = api.get("/v1/files", {"purpose": "fine-tune", "limit": 2, "order": "asc", "after": keys[1]}).json()
    assert ([file["id"] for file in page["data"]], page["has_more"]) == (keys[2:], False)
    assert api.get("/v1/files", {"purpose": "nonsense"}).json()["data"] == []


def test_a_deleted_file_is_gone(api: Client) -> None:
    key = upload(api, DATA).json()["id"]
    assert api.delete(f"/v1/files/{key}").json() == {"id": key, "object": "file", "deleted": True}
    for path in (f"/v1/files/{key}", f"/v1/files/{key}/content"):
        response = api.get(path)
        assert response.status_code == 404
        assert error_of(response)["message"] == f"No such File object: {key}"
    assert api.get("/v1/files").json()["data"] == []


@pytest.mark.parametrize("name", ["file-nope", "%2Fdata%2Ftrain.jsonl", "..%2Fx.jsonl", "train+data.jsonl", "a%00b"])
def test_unknown_names_get_404(api: Client, name: str) -> None:
    response = api.get(f"/v1/files/{name}")
    assert response.status_code == 404
    error_of(response)


def test_strangers_find_nothing(api: Client, stranger: Client) -> None:
    key = upload(api, DATA).json()["id"]
    for response in (stranger.get(f"/v1/files/{key}"), stranger.delete(f"/v1/files/{key}")):
        assert response.status_code == 404
    assert stranger.get("/v1/files").json()["data"] == []


def test_a_key_needs_the_scope(api: Client, project: Project) -> None:
    text = create_key(project=project, name="chat only", scopes=[Scope.INFERENCE])[1]
    assert upload(Client(HTTP_AUTHORIZATION=f"Bearer {text}"), DATA).status_code == 403


def test_files_become_a_version_that_stays_apart(project: Project) -> None:
    make_demonstration(project, "What is salt?")
    train = create_file(project=project, name="t.jsonl", purpose=FilePurpose.FINE_TUNE, chunks=[DATA])
    valid_data = as_jsonl(chat_rows(2))
    valid = create_file(project=project, name="v.jsonl", purpose=FilePurpose.FINE_TUNE, chunks=[valid_data])
    version = freeze_files(training_file=train, validation_file=valid)
    assert (version.n_train, version.n_valid, version.note) == (12, 2, "t.jsonl, v.jsonl")
    rows = list(version.rows.order_by("position"))
    assert [row.messages[0]["content"] for row in rows[:3]] == ["Question 0", "Question 1", "Question 2"]
    assert [row.split for row in rows] == [Split.TRAIN] * 12 + [Split.VALID] * 2
    assert not DatasetRow.objects.filter(example__isnull=False).exists()
    assert freeze_files(training_file=train, validation_file=valid) == version
    own = freeze_dataset(project=project)
    assert own.rows.count() == 1
    assert list(project.dataset_versions.own()) == [own]


def test_two_formats_do_not_go_together(project: Project) -> None:
    train = create_file(project=project, name="t.jsonl", purpose=FilePurpose.FINE_TUNE, chunks=[DATA])
    data = as_jsonl(completion_rows(2))
    valid = create_file(project=project, name="v.jsonl", purpose=FilePurpose.FINE_TUNE, chunks=[data])
    with pytest.raises(files.FileRefused) as caught:
        freeze_files(training_file=train, validation_file=valid)
    assert caught.value.field == "validation_file"
