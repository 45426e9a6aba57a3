"""The files inside of a zip or a folder, each opened as a stream. Sizes are bounded by what is read, not by what is promised."""

import io
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from django.utils.translation import gettext as _

from labeling.actions.prompt_files import UnreadableFile

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
NO_DATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
MAX_MEMBERS = 1000
MAX_UNPACKED = 2 * 1024**3
MAX_RATIO = 200
SMALL = 1024**2


class Member:
    """One file of data. `label` names it in an archive and is empty for the file itself; it is never a path on the disk."""

    def __init__(
        self, label: str, size_bytes: int, *, path: Path | None = None, archive: zipfile.ZipFile | None = None
    ) -> None:
        self.label, self.size_bytes = label, size_bytes
        self.path, self.archive = path, archive
        self.raw: Bounded | None = None
        self.temporary: list[Path] = []

    def open(self) -> "Bounded":
        stream: IO[bytes]
        if self.path is not None:
            stream = self.path.open("rb")
        else:
            assert self.archive is not None
            stream = self.archive.open(self.label)
        self.raw = Bounded(stream, MAX_UNPACKED if self.path is not None else self.size_bytes, self)
        return self.raw

    def tell(self) -> int:
        return self.raw.n_read if self.raw else 0

    def on_disk(self, stream: IO[bytes]) -> Path:
        """Return a path under which a child process can read the file; of a packed one, a copy that goes with the stream."""
        if self.path is not None:
            return self.path
        folder = Path(tempfile.mkdtemp(prefix="emend-import-"))
        self.temporary.append(folder)
        with (folder / "data").open("wb") as copy:
            shutil.copyfileobj(stream, copy)
        return folder / "data"


class Bounded(io.RawIOBase):
    """A stream that ends with UnreadableFile when it is longer than it said."""

    def __init__(self, stream: IO[bytes], limit: int, member: Member) -> None:
        self.stream, self.limit, self.member, self.n_read = stream, limit, member, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray") -> int:  # type: ignore[override]
        try:
            block = self.stream.read(len(buffer))
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError) as error:
            raise UnreadableFile(_("%(name)s is damaged.") % {"name": self.member.label or "zip"}) from error
        self.n_read += len(block)
        if self.n_read > self.limit:
            raise UnreadableFile(_("%(name)s is larger than it says.") % {"name": self.member.label})
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        if not self.closed:
            self.stream.close()
            for folder in self.member.temporary:
                shutil.rmtree(folder, ignore_errors=True)
        super().close()


def open_members(path: Path, name: str, ignored: list[str]) -> Iterator[Member]:
    """Yield the files of data: the file itself, or those of a zip or folder in the order of their names.

    What is no data is named in `ignored`. Raises UnreadableFile for an archive that cannot be trusted.
    """
    if path.is_dir():
        yield from _of_folder(path, ignored)
    elif zipfile.is_zipfile(path):
        with _opened(path, name) as archive:
            infos = _trusted(archive, name, ignored)
            for info in infos:
                yield Member(info.filename, info.file_size, archive=archive)
    else:
        yield Member("", path.stat().st_size, path=path)


def is_data(name: str) -> bool:
    """Whether a file of this name holds rows: by its ending, and not hidden or a description."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or any(part.startswith((".", "__MACOSX")) and part != ".." for part in parts):
        return False
    return parts[-1].lower().endswith(ENDINGS) and parts[-1].lower() not in NO_DATA


def _of_folder(path: Path, ignored: list[str]) -> Iterator[Member]:
    found = False
    for file in sorted(each for each in path.rglob("*") if each.is_file() and not each.is_symlink()):
        label = file.relative_to(path).as_posix()
        if not is_data(label):
            ignored.append(label[:100])
            continue
        found = True
        yield Member(label, file.stat().st_size, path=file)
    if not found:
        raise UnreadableFile(_("There is no file of rows in it: JSONL, JSON, CSV or Parquet."))


def _opened(path: Path, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise UnreadableFile(_("%(name)s is damaged.") % {"name": name}) from error


def _trusted(archive: zipfile.ZipFile, name: str, ignored: list[str]) -> list[zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_MEMBERS:
        raise UnreadableFile(_("%(name)s holds more than %(n)d files.") % {"name": name, "n": MAX_MEMBERS})
    data = sorted((info for info in infos if is_data(info.filename)), key=lambda info: info.filename)
    ignored += [info.filename[:100] for info in infos if not is_data(info.filename)][:20]
    if not data:
        raise UnreadableFile(_("There is no file of rows in it: JSONL, JSON, CSV or Parquet."))
    if len({info.filename for info in data}) < len(data):
        raise UnreadableFile(_("%(name)s holds two files of the same name.") % {"name": name})
    if any(info.flag_bits & 1 for info in data):
        raise UnreadableFile(_("%(name)s is encrypted. Unpack it first.") % {"name": name})
    if sum(info.file_size for info in data) > MAX_UNPACKED:
        raise UnreadableFile(
            _("%(name)s unpacks to more than %(n)d GB.") % {"name": name, "n": MAX_UNPACKED // 1024**3}
        )
    for info in data:
        if info.file_size > SMALL and info.file_size > MAX_RATIO * max(1, info.compress_size):
            raise UnreadableFile(
                _("%(member)s unpacks to more than %(n)d times its size, which no text does.")
                % {"member": info.filename[:100], "n": MAX_RATIO}
            )
    return data
