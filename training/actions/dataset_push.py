"""Pushing a dataset version to a Hub."""

import tempfile
from pathlib import Path

from common.states import record
from labeling.models import User
from training.actions.export import write_folder
from training.actions.hub import refuse_without_token, upload
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
    refuse_without_token()
    with tempfile.TemporaryDirectory(prefix="emend-push-") as name:
        folder = Path(name) / "dataset"
        write_folder(folder=folder, version=version, split=split, licence=licence)
        address = upload(folder=folder, repo=repo, is_private=is_private)
    record(version, what="dataset pushed", after=f"{repo}{' (private)' if is_private else ' (public)'}", by=by)
    return address
