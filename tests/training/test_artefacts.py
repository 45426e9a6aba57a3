"""Machines that share a storage and no disk: what one makes, another one has, whole or not at all."""

import contextlib
import shutil

import boto3
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from moto import mock_aws

from common import artefacts
from tests.factories import DatasetVersionFactory, JobFactory, TunedModelFactory
from training.actions.artefacts import fetch_inputs, fetch_model, keep_forgotten_models, keep_model
from training.actions.file import create_file, delete_file
from training.actions.job import prepare_job
from training.actions.registry import delete_model
from training.models import DatasetExport, Job, TunedModel
from training.states import FilePurpose, JobState

ROWS = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n'


@pytest.fixture(params=["another folder", "S3"])
def machine(request, settings, tmp_path, monkeypatch):
    """Return a function that wipes this machine's disk."""
    settings.VAR_DIR, settings.RUNS_DIR = tmp_path / "var", tmp_path / "var/runs"
    with contextlib.ExitStack() as stack:
        entry = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "s3"}}
        if request.param == "S3":
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                monkeypatch.setenv(name, "testing")
            options = {"bucket_name": "emend", "region_name": "us-east-1", "location": "one"}
            entry = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
            stack.enter_context(mock_aws())
            boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="emend")
        settings.STORAGES = {**settings.STORAGES, "artefacts": entry}
        yield lambda: shutil.rmtree(settings.VAR_DIR)


def damage(name: str) -> None:
    storage = storages["artefacts"]
    with storage.open(name) as file:
        content = file.read()
    storage.delete(name)
    storage.save(name, ContentFile(content[:-1] + b"?"))


def test_an_uploaded_file_is_fetched_checked_and_deleted_everywhere(machine, project) -> None:
    file = create_file(project=project, name="rows.jsonl", purpose=FilePurpose.FINE_TUNE, chunks=[ROWS])
    machine()
    assert file.is_there
    assert file.path.read_bytes() == ROWS
    machine()
    damage(f"files/{file.key}")
    with pytest.raises(artefacts.ArtefactDamaged, match="SHA-256"):
        assert file.is_there
    assert list(file.path.parent.iterdir()) == []
    delete_file(file=file)
    assert not storages["artefacts"].exists(f"files/{file.key}")
    assert not file.is_there


def test_a_model_made_on_one_machine_is_used_on_another_and_deleted(machine, project) -> None:
    model = TunedModelFactory(project=project, job=JobFactory(project=project, state=JobState.SUCCEEDED))
    files = {"config.json": b"{}", "model.safetensors": bytes(range(256))}
    model.folder.mkdir(parents=True)
    for name, content in files.items():
        (model.folder / name).write_bytes(content)
    keep_forgotten_models()  # as the sweep does where the storage could not be reached
    model = TunedModel.objects.get()
    machine()
    assert (model.is_here, model.is_ready) == (False, True)
    assert fetch_model(model=model)
    assert {path.name: path.read_bytes() for path in model.folder.iterdir()} == files
    delete_model(model=model)
    machine()
    assert not fetch_model(model=model)


def test_a_run_directory_is_fetched_by_the_machine_that_trains(machine, project) -> None:
    version = DatasetVersionFactory(project=project, n_train=1)
    messages = [{"role": "user", "content": "Salt?"}, {"role": "assistant", "content": "A pinch."}]
    version.rows.create(position=0, split="train", kind="demonstration", row_hash="0", messages=messages)
    job = JobFactory(project=project, dataset_version=version)
    prepare_job(job=job)
    Job.objects.update(n_events_read=7)  # of a log that lay on the first machine
    machine()
    job = Job.objects.get()
    fetch_inputs(job)
    assert "A pinch." in (job.run_dir / "train.jsonl").read_text()
    assert (job.run_dir / "config.json").is_file()
    assert Job.objects.get().n_events_read == job.n_events_read == 0
    machine()
    damage(f"runs/{job.key}/train.jsonl")
    with pytest.raises(artefacts.ArtefactDamaged):
        fetch_inputs(job)


def test_an_export_that_is_in_the_storage_is_not_made_again(machine, project) -> None:
    row = DatasetExport.objects.create(
        project=project,
        version=DatasetVersionFactory(project=project),
        format="parquet",
        state="done",
        sha256="2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    )
    row.path.parent.mkdir(parents=True)
    row.path.write_bytes(b"foo")
    artefacts.keep(row.path)
    machine()
    assert row.is_there
    machine()
    storages["artefacts"].delete(f"exports/{row.pk}")
    assert not row.is_there


def test_without_a_storage_beside_the_disk_nothing_is_copied(project, settings, tmp_path) -> None:
    settings.VAR_DIR = tmp_path
    model = TunedModelFactory(project=project)
    model.folder.mkdir(parents=True)
    (model.folder / "config.json").write_text("{}")
    keep_model(model=model)
    assert model.job.result == {}
    assert [path.name for path in model.folder.iterdir()] == ["config.json"]
