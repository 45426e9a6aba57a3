"""Pushing a dataset version to a Hub."""

import os
import subprocess
import tempfile
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from common.states import record
from labeling.models import User
from training.actions.errors import PushFailed
from training.actions.export import write_folder
from training.models import DatasetVersion


def push_dataset(
    *,
    version: DatasetVersion,
    repo: str,
    is_private: bool = True,
    split: str = "",
    licence: str = "",
    by: User | None = None,
) -> str:
    """Upload the version's folder, card and Parquet files, to `repo` (OWNER/NAME) and return the address of the upload.

    Raises PushFailed with a sentence, also where no token is set; what was on the Hub before stays as it was. What is
    public there can be read by anybody.
    """
    if not settings.HUB_TOKEN:
        raise PushFailed(_("No token for the Hub is set (EMEND_HUB_TOKEN)."))
    with tempfile.TemporaryDirectory(prefix="emend-push-") as name:
        folder = Path(name) / "dataset"
        write_folder(folder=folder, version=version, split=split, licence=licence)
        command = [*settings.ML_COMMAND, "push", str(folder), repo, *(["--private"] if is_private else [])]
        hub = {"HF_TOKEN": settings.HUB_TOKEN, "HF_ENDPOINT": settings.HUB_URL, "HF_HUB_OFFLINE": "0"}
        done = subprocess.run(
            command,
            cwd=settings.BASE_DIR,
            env={**os.environ, **hub, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HOME": name},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise PushFailed(_sentence(done.stderr))
    address = done.stdout.strip().splitlines()[-1]
    record(version, what="dataset pushed", after=f"{repo}{' (private)' if is_private else ' (public)'}", by=by)
    return address


def _sentence(text: str) -> str:
    line = (text.strip().splitlines() or [""])[-1]
    why, _space, detail = line.partition(" ")
    sentences = {
        "refused": _("The Hub refuses it: the token may not write there, or has run out. It says: %(detail)s"),
        "invalid": _("The Hub has no such names: %(detail)s"),
        "unreachable": _(
            "The Hub cannot be reached, or cannot take it now; try again later. What happened: %(detail)s"
        ),
    }
    return sentences.get(why, "%(detail)s") % {"detail": detail or line}
