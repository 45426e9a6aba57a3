"""What can be made of a model's weights: a GGUF file, an upload to a Hub."""

import subprocess
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from common.states import record
from labeling.models import User
from training.actions.artefacts import fetch_model
from training.actions.errors import ExportFailed, PushFailed
from training.actions.hub import upload
from training.models import TunedModel

TIME_LIMIT_S = 1800.0


def make_gguf(*, model: TunedModel) -> Path:
    """Return the model's GGUF file, which is made where there is none and kept beside its weights.

    It takes about as long as copying the weights. Raises ExportFailed where they are not here, or cannot be written so.
    """
    path = model.folder.parent / "gguf" / f"{model.job.key}.gguf"
    if path.is_file():
        return path
    if not fetch_model(model=model):
        raise ExportFailed(_("The model's folder is not on this machine."))
    path.parent.mkdir(exist_ok=True)
    done = subprocess.run(
        [*settings.ML_COMMAND, "gguf", str(model.folder), str(path)],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [""])[-1]
        raise ExportFailed(_("This model cannot be written as GGUF: %(why)s.") % {"why": why})
    return path


def push_model(*, model: TunedModel, repo: str, is_private: bool = True, by: User | None = None) -> str:
    """Upload weights, tokenizer and card to `repo` (OWNER/NAME) and return the address of the upload.

    Raises PushFailed with a sentence, also where no token is set. What is public there can be read by anybody.
    """
    if not fetch_model(model=model):
        raise PushFailed(_("The model's folder is not on this machine."))
    address = upload(folder=model.folder, repo=repo, is_private=is_private, is_model=True)
    record(model, what="model pushed", after=f"{repo}{' (private)' if is_private else ' (public)'}", by=by)
    return address
