"""Uploading a folder to a Hub, in a child process."""

import os
import subprocess
import tempfile
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from training.actions.errors import PushFailed


def upload(*, folder: Path, repo: str, is_private: bool, is_model: bool = False) -> str:
    """Upload a folder to `repo` (OWNER/NAME) and return the address of the upload. Raises PushFailed with a sentence."""
    refuse_without_token()
    words = [*(["--private"] if is_private else []), *(["--model"] if is_model else [])]
    with tempfile.TemporaryDirectory(prefix="emend-push-") as home:
        hub = {"HF_TOKEN": settings.HUB_TOKEN, "HF_ENDPOINT": settings.HUB_URL, "HF_HUB_OFFLINE": "0", "HF_HOME": home}
        done = subprocess.run(
            [*settings.ML_COMMAND, "push", str(folder), repo, *words],
            cwd=settings.BASE_DIR,
            env={**os.environ, **hub, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise PushFailed(_sentence(done.stderr))
    return done.stdout.strip().splitlines()[-1]


def refuse_without_token() -> None:
    if not settings.HUB_TOKEN:
        raise PushFailed(_("No token for the Hub is set (EMEND_HUB_TOKEN)."))


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
