"""What a job needs and leaves, where machines share a storage instead of a disk (docs/scaling.md)."""

import logging

from django.db import transaction

from common import artefacts
from training.actions import runner
from training.models import Job, TunedModel
from training.states import JobState

logger = logging.getLogger(__name__)

INPUTS = ("train.jsonl", "valid.jsonl", "replay.jsonl", "config.json")
MANIFEST = "inputs.json"


def keep_inputs(job: Job) -> None:
    """Put what the run directory begins with into the storage, for the machine that will train."""
    if not artefacts.is_remote():
        return
    paths = [path for path in (job.run_dir / name for name in INPUTS) if path.is_file()]
    runner.write_json(job.run_dir / MANIFEST, {path.name: runner.sha256_of(path) for path in paths})
    for path in [*paths, job.run_dir / MANIFEST]:
        artefacts.keep(path)


def fetch_inputs(job: Job) -> None:
    """Have the run directory and the model that the job goes on from on this machine. Raises OSError.

    What an earlier attempt wrote on another machine is not there: the run begins anew, and so does the reading of its log.
    """
    if not artefacts.is_remote():
        return
    if not (job.run_dir / "train.jsonl").is_file():
        job.run_dir.mkdir(parents=True, exist_ok=True)
        with artefacts.storage().open(f"runs/{job.key}/{MANIFEST}") as file:
            (job.run_dir / MANIFEST).write_bytes(file.read())
        artefacts.fetch_folder(job.run_dir, runner.read_json(job.run_dir / MANIFEST))
    if job.n_events_read and not (job.run_dir / "events.jsonl").is_file():
        Job.objects.filter(pk=job.pk).update(n_events_read=0)
        job.n_events_read = 0
    if job.parent is not None:
        fetch_model(model=job.parent)


def keep_model(*, model: TunedModel) -> None:
    """Put weights, tokenizer and card into the storage, and their hashes beside the result of the job."""
    if not artefacts.is_remote():
        return
    hashes = artefacts.keep_folder(model.folder)
    with transaction.atomic():  # a job may have made several models
        job = Job.objects.select_for_update().get(pk=model.job_id)
        kept = {**job.result.get("kept", {}), model.location: hashes}
        Job.objects.filter(pk=job.pk).update(result={**job.result, "kept": kept})


def keep_model_or_later(*, model: TunedModel) -> None:
    """As `keep_model`; a storage that cannot be reached is tried again by the sweep of this machine."""
    try:
        keep_model(model=model)
    except Exception:  # each storage has errors of its own, and the model is safe on this disk
        logger.exception("%s: it cannot be put into the storage now", model)


def keep_forgotten_models() -> None:
    """Put models into the storage that are on this machine only."""
    if not artefacts.is_remote():
        return
    for model in TunedModel.objects.filter(job__state=JobState.SUCCEEDED).select_related("job"):
        if not model.kept_files and model.is_here:
            keep_model_or_later(model=model)


def fetch_model(*, model: TunedModel) -> bool:
    """Have a model's weights on this machine; False where they are nowhere. Raises OSError."""
    hashes = model.kept_files
    if model.is_here and all((model.folder / name).is_file() for name in hashes):
        return True
    names = sorted(hashes, key=lambda name: name == "config.json")  # the last one says that it is whole
    return bool(names) and artefacts.fetch_folder(model.folder, {name: hashes[name] for name in names})


def forget_model(*, model: TunedModel) -> None:
    """Delete a model's files from the storage."""
    for name in model.kept_files:
        artefacts.forget(model.folder / name)
