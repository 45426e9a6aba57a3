"""Files of the API: uploads, measurements of jobs, and the dataset versions that uploads become."""

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from datetime import timedelta
from itertools import islice

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from common import artefacts
from common.conversations import digest
from common.states import record
from common.wire import new_id
from labeling.models import Project, User
from training.actions.errors import EmptyFile, FileRefused, FileTooLarge
from training.actions.file_rows import inspect_file, read_rows
from training.actions.leaks import LeakGuard
from training.actions.splits import opening
from training.models import DatasetRow, DatasetVersion, File
from training.models.file import files_dir
from training.states import FilePurpose, Split

_BATCH_SIZE = 500
MAX_BYTES = 512 * 1024 * 1024
QUOTED = {"%22": '"', "%0D": "", "%0A": "", "\r": "", "\n": ""}


def create_file(
    *,
    project: Project,
    name: str,
    purpose: FilePurpose,
    chunks: Iterable[bytes],
    by: User | None = None,
    expires_after: timedelta | None = None,
) -> File:
    """Store a file under its last name part. Rows to train on are checked, unless the same bytes were before.

    The same bytes lie on the disk once, however often they are uploaded. Raises EmptyFile, FileTooLarge or BadLine.
    """
    key = new_id("file-")
    files_dir().mkdir(parents=True, exist_ok=True)
    arriving = files_dir() / f".{key}.{secrets.token_hex(4)}"
    try:
        sha256, size_bytes = _write(arriving, chunks)
        known = _find_known(sha256, purpose)
        if known is None:
            file_format, n_rows = inspect_file(arriving, purpose=purpose)
        else:
            file_format, n_rows = known.format, known.n_rows
            _share(known, arriving)
        now = timezone.now()
        file = File(
            project=project,
            key=key,
            name=clean_name(name),
            purpose=purpose,
            sha256=sha256,
            size_bytes=size_bytes,
            format=file_format,
            n_rows=n_rows,
            created_by=by,
            expires_at=now + expires_after if expires_after else None,
        )
        arriving.replace(file.path)
        artefacts.keep(file.path)
        file.save()
    finally:
        arriving.unlink(missing_ok=True)
    return file


def delete_file(*, file: File) -> None:
    """Remove the bytes; the row stays for the jobs that name it. Versions made of it keep their rows."""
    File.objects.filter(pk=file.pk, deleted_at__isnull=True).update(deleted_at=timezone.now())
    file.refresh_from_db()
    artefacts.forget(file.path)


def delete_expired_files() -> None:
    """Delete the files whose time is over."""
    for file in File.objects.filter(expires_at__lte=timezone.now(), deleted_at__isnull=True):
        delete_file(file=file)


def freeze_files(*, training_file: File, validation_file: File | None = None, by: User | None = None) -> DatasetVersion:
    """Return the project's dataset version of the files' rows, in the files' order; the existing one of the same bytes.

    Raises FileRefused when the two differ in format, BadLine, or LeakedProbe.
    """
    if validation_file and validation_file.format != training_file.format:
        raise FileRefused("The validation file has another format than the training file.", field="validation_file")
    project = training_file.project
    content_hash = digest(["files", training_file.sha256, validation_file.sha256 if validation_file else None])
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        existing = DatasetVersion.objects.filter(project=project, content_hash=content_hash).first()
        if existing:
            return existing
        number = DatasetVersion.objects.filter(project=project).aggregate(last=Max("number"))["last"] or 0
        version = DatasetVersion.objects.create(
            project=project,
            number=number + 1,
            content_hash=content_hash,
            training_file=training_file,
            validation_file=validation_file,
            n_train=training_file.n_rows,
            n_valid=validation_file.n_rows if validation_file else 0,
            note=", ".join(file.name for file in (training_file, validation_file) if file)[:500],
            created_by=by,
        )
        _add_rows(version, training_file, Split.TRAIN, start=0)
        if validation_file:
            _add_rows(version, validation_file, Split.VALID, start=training_file.n_rows)
        record(version, what="dataset version", after=f"v{version.number}", by=by, reason=version.note)
    return version


def clean_name(name: str) -> str:
    """Return the last part of a path as it was typed, fit to be shown and stored."""
    for quoted, plain in QUOTED.items():
        name = name.replace(quoted, plain)
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(char for char in name if char.isprintable()).encode("utf-8", "replace").decode()
    return name[-255:] or "upload"


def _write(path: os.PathLike[str], chunks: Iterable[bytes]) -> tuple[str, int]:
    hashed, size_bytes = hashlib.sha256(), 0
    with open(path, "wb") as file:  # noqa: PTH123
        for chunk in chunks:
            size_bytes += len(chunk)
            if size_bytes > MAX_BYTES:
                raise FileTooLarge
            hashed.update(chunk)
            file.write(chunk)
    if not size_bytes:
        raise EmptyFile
    return hashed.hexdigest(), size_bytes


def _find_known(sha256: str, purpose: FilePurpose) -> File | None:
    files = File.objects.live().filter(sha256=sha256, purpose=purpose)
    return next((file for file in files[:10] if file.path.is_file()), None)


def _share(known: File, arriving: os.PathLike[str]) -> None:
    """Let the new name point to the bytes that are there; where the file system cannot, both copies stay."""
    linked = f"{os.fspath(arriving)}.link"
    with contextlib.suppress(OSError):
        os.link(known.path, linked)
        os.replace(linked, arriving)  # noqa: PTH105


def _add_rows(version: DatasetVersion, file: File, split: Split, *, start: int) -> None:
    artefacts.fetch(file.path, sha256=file.sha256)
    rows = read_rows(file.path, file.format, split=split)
    guard, position = LeakGuard(version.project), start
    while batch := list(islice(rows, _BATCH_SIZE)):
        if split == Split.TRAIN:
            for row in batch:
                guard.look_at(row.row_hash, row.messages, opening(row.messages))
            guard.refuse()
        DatasetRow.objects.bulk_create(
            DatasetRow(
                version=version,
                position=position + index,
                split=split,
                kind=row.kind,
                row_hash=row.row_hash,
                messages=row.messages,
                rejected=row.rejected,
            )
            for index, row in enumerate(batch)
        )
        position += len(batch)
