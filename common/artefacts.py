"""Files that outlive the machine that made them: the storage `artefacts`, with the disk below `var/` as its cache.

A file has one name, its path below `var/`, on the disk and in the storage. Where the storage is that disk (the default),
nothing here does anything but look. Where it is another one (S3, a folder elsewhere), what is made is also kept there, and
what is needed and not on this machine is fetched, and refused where its hash is not the one that it was kept with.
"""

import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages

BLOCK_BYTES = 1024 * 1024


class ArtefactDamaged(OSError):
    """What the storage gave is not what was kept there."""


class VarStorage(FileSystemStorage):
    """The disk below `var/` itself."""

    @property
    def base_location(self) -> str:  # type: ignore[override]
        return str(settings.VAR_DIR)


def storage() -> Storage:
    return storages["artefacts"]


def is_remote() -> bool:
    """Whether there is a storage beside the disk below `var/`."""
    return not isinstance(storage(), VarStorage)


def keep(path: Path) -> None:
    """Put a file into the storage, in the place of what has its name there. Raises what the storage raises."""
    if not is_remote():
        return
    kept, name = storage(), _name(path)
    if kept.exists(name):
        kept.delete(name)
    with path.open("rb") as file:
        kept.save(name, File(file))


def keep_folder(folder: Path) -> dict[str, str]:
    """Put the files of a folder into the storage; return the SHA-256 of each by its name, to fetch them by."""
    hashes = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            hashes[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
        keep(path)
    return hashes


def fetch(path: Path, *, sha256: str) -> bool:
    """Have a file on this machine; False where it is neither here nor in the storage. Raises ArtefactDamaged."""
    if path.is_file():
        return True
    if not is_remote() or not storage().exists(_name(path)):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    arriving = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    hashed = hashlib.sha256()
    try:
        with storage().open(_name(path)) as kept, arriving.open("wb") as file:
            while block := kept.read(BLOCK_BYTES):
                hashed.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        if hashed.hexdigest() != sha256:
            raise ArtefactDamaged(f"{_name(path)} is not what was kept: its SHA-256 is {hashed.hexdigest()}.")
        arriving.replace(path)
    finally:
        arriving.unlink(missing_ok=True)
    return True


def fetch_folder(folder: Path, hashes: Mapping[str, str]) -> bool:
    """Have all files of a folder on this machine; False where one is missing. Raises ArtefactDamaged."""
    return all(fetch(folder / name, sha256=sha256) for name, sha256 in hashes.items())


def forget(path: Path) -> None:
    """Delete a file from the disk and the storage."""
    path.unlink(missing_ok=True)
    if is_remote():
        storage().delete(_name(path))


def _name(path: Path) -> str:
    return path.relative_to(settings.VAR_DIR).as_posix()
