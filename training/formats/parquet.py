"""Reading Parquet through `python -m ml tables`: its library is never loaded here."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from labeling.actions.prompt_files import UnreadableFile


def read_parquet(path: Path) -> Iterator[str]:
    """Yield each row as JSON. Raises UnreadableFile with what the library says."""
    command = [*settings.ML_COMMAND, "tables", "read", str(path)]
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command, cwd=settings.BASE_DIR, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
        )
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if line.endswith("\n"):
                    yield line
        except GeneratorExit:
            child.kill()
            raise
        finally:
            child.stdout.close()
            code = child.wait()
        if code:
            errors.seek(0)
            lines = errors.read().decode("utf-8", "replace").strip().splitlines() or [str(code)]
            raise UnreadableFile(_("The Parquet file cannot be read: %(why)s") % {"why": lines[-1][:300]})
