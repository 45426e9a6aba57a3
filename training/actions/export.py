"""Exports of dataset versions: to a path, and as files that a worker makes. A file has its name only when it is whole."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from common import artefacts
from common.conversations import canonical_json
from common.states import StaleState, move
from labeling.models import User
from training.actions.errors import ExportFailed
from training.formats import Format, carry, find_format
from training.formats.card import write_card
from training.models import DatasetExport, DatasetVersion
from training.queries.exporting import export_text, read_batches
from training.states import EXPORT_AT_WORK, EXPORT_MOVES, ExportState
from training.tasks import make_export as make_export_task

SILENT = timedelta(seconds=60)
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
OnRows = Callable[[int], None]


def request_export(
    *, version: DatasetVersion, wanted: Format, split: str = "", by: User | None = None
) -> DatasetExport:
    """Have a worker make the file, or return the row of the one that is made or being made. A failed one is tried again."""
    with transaction.atomic():
        row, is_new = DatasetExport.objects.get_or_create(
            version=version, format=wanted.key, split=split, defaults={"project": version.project, "created_by": by}
        )
        is_lost = row.state == ExportState.DONE and not row.is_there
        if is_lost:
            row.delete()
            return request_export(version=version, wanted=wanted, split=split, by=by)
        if row.state == ExportState.FAILED:
            move(row, ExportState.QUEUED, moves=EXPORT_MOVES, by=by, problem="", n_done=0, seen_at=None)
            is_new = True
        if is_new:
            transaction.on_commit(partial(make_export_task.delay, row.pk))
    return row


def make_export(*, export_pk: int) -> None:
    """Make the file of a waiting export. Does nothing when somebody is at it, or has been."""
    row = DatasetExport.objects.select_related("version").get(pk=export_pk)
    wanted = find_format(row.format)
    if row.state != ExportState.QUEUED or wanted is None:
        return
    n_rows = row.version.rows.filter(**({"split": row.split} if row.split else {})).count()
    try:
        move(row, ExportState.MAKING, moves=EXPORT_MOVES, seen_at=timezone.now(), n_rows=n_rows, n_done=0)
    except StaleState:
        return

    def on_rows(n_done: int) -> None:
        DatasetExport.objects.filter(pk=row.pk).update(n_done=n_done, seen_at=timezone.now())

    row.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        export_to_path(version=row.version, wanted=wanted, path=row.path, split=row.split, on_rows=on_rows)
    except (ExportFailed, OSError) as error:
        problem = (
            str(error)
            if isinstance(error, ExportFailed)
            else _("The file could not be written: %(why)s") % {"why": error.strerror or error}
        )
        move(row, ExportState.FAILED, moves=EXPORT_MOVES, reason=problem[:400], problem=problem, seen_at=None)
        return
    with row.path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    artefacts.keep(row.path)
    facts: dict[str, Any] = {"sha256": sha256, "size_bytes": row.path.stat().st_size, "n_done": n_rows, "seen_at": None}
    move(row, ExportState.DONE, moves=EXPORT_MOVES, reason=sha256, **facts)


def recover_exports() -> int:
    """Take up the exports that no worker is at; return how many."""
    silent = Q(seen_at__isnull=True, created_at__lt=timezone.now() - SILENT) | Q(seen_at__lt=timezone.now() - SILENT)
    rows = list(DatasetExport.objects.filter(silent, state__in=EXPORT_AT_WORK))
    for row in rows:
        if row.state == ExportState.MAKING:
            try:
                move(row, ExportState.QUEUED, moves=EXPORT_MOVES, reason="the worker is gone", n_done=0, seen_at=None)
            except StaleState:
                continue
        make_export_task.delay(row.pk)
    return len(rows)


def export_to_path(
    *, version: DatasetVersion, wanted: Format, path: Path, split: str = "", on_rows: OnRows = lambda n_done: None
) -> None:
    """Write the version to `path` under a name of its own, which becomes `path` when all is on the disk.

    Raises ExportFailed, and OSError where the disk refuses.
    """
    with _whole(path) as temporary:
        if wanted.key == "parquet":
            _run_tables("write", temporary, version, split, on_rows)
        elif wanted.key == "huggingface":
            _write_zip(temporary, version, split, on_rows)
        else:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                file.writelines(export_text(version, wanted, split=split))


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; what was written takes its place at the end, or goes when something fails."""
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        temporary = folder / path.name
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_zip(path: Path, version: DatasetVersion, split: str, on_rows: OnRows) -> None:
    """Pack the folder of `write_folder`. Parquet is packed already, so its files are stored as they are."""
    folder = path.with_suffix(".folder")
    write_folder(folder=folder, version=version, split=split, on_rows=on_rows)
    with zipfile.ZipFile(path, "w") as archive:
        for source in sorted(file for file in folder.rglob("*") if file.is_file()):
            info = zipfile.ZipInfo(source.relative_to(folder).as_posix(), ZIP_DATE)
            info.external_attr = 0o644 << 16
            info.file_size = source.stat().st_size
            with source.open("rb") as file, archive.open(info, "w") as packed:
                shutil.copyfileobj(file, packed)


def write_folder(
    *,
    folder: Path,
    version: DatasetVersion,
    split: str = "",
    licence: str = "",
    on_rows: OnRows = lambda n_done: None,
) -> None:
    """Write what the Hub and `datasets.load_dataset` read: a card and a Parquet file for each split."""
    (folder / "data").mkdir(parents=True)
    _run_tables("split", folder / "data", version, split, on_rows)
    card = write_card(version, split=split, licence=licence or "unknown")
    (folder / "README.md").write_text(card, encoding="utf-8")


def _run_tables(action: str, path: Path, version: DatasetVersion, split: str, on_rows: OnRows) -> None:
    """Feed the rows to `python -m ml tables`. The web and Celery processes never load Parquet's library."""
    table = find_format("parquet")
    assert table is not None
    command = [*settings.ML_COMMAND, "tables", action, str(path)]
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command, cwd=settings.BASE_DIR, stdin=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
        )
        assert child.stdin is not None
        n_done = 0
        try:
            with suppress(BrokenPipeError):  # it has ended, and says why
                for batch in read_batches(version, split=split):
                    rows = [row for row in (carry(row, table) for row in batch) if row is not None]
                    child.stdin.writelines(canonical_json(table.write(row)) + "\n" for row in rows)
                    n_done += len(batch)
                    on_rows(n_done)
                child.stdin.close()
        except BaseException:
            child.kill()  # what it has so far must not look whole
            raise
        finally:
            code = child.wait()
        if code:
            errors.seek(0)
            lines = errors.read().decode("utf-8", "replace").strip().splitlines() or [str(code)]
            raise ExportFailed(_("Parquet could not be written: %(why)s") % {"why": lines[-1][:300]})
