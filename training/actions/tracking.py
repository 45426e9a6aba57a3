"""Telling MLflow or Weights & Biases about a job: a second child beside the trainer, which reads what that writes."""

import contextlib
import subprocess
from typing import Any

from django.conf import settings

from training.actions import runner
from training.models import Job

GRACE_S = 30.0


class TrackedChild(runner.Child):
    """The trainer of a job, with a tracker beside it where one is set (EMEND_TRACKER). They end together, the tracker last."""

    def __init__(self, command: str, job: Job) -> None:
        super().__init__(command, job.run_dir)
        self._tracker: subprocess.Popen[bytes] | None = None
        if settings.TRACKER:
            runner.write_json(job.run_dir / "tracker.json", _told(job))
            with (job.run_dir / "tracker.log").open("ab") as log:
                self._tracker = subprocess.Popen(
                    [*settings.ML_COMMAND, "track", str(job.run_dir)],
                    cwd=settings.BASE_DIR,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

    def end(self, *, grace_s: float = 0.0) -> None:
        super().end(grace_s=grace_s)
        if self._tracker is None:
            return
        self._tracker.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._tracker.wait(GRACE_S)
        self._tracker.kill()
        self._tracker.wait()


def _told(job: Job) -> dict[str, Any]:
    """What stands at the head of the run: no text of the rows, no name of a person."""
    return {
        "kind": settings.TRACKER,
        "url": settings.TRACKER_URL,
        "project": job.project.slug,
        "name": job.key,
        "params": {
            "base_model": job.base_model.slug,
            **({"parent": job.parent.name} if job.parent else {}),
            "dataset_version": job.dataset_version.number,
            "dataset_sha256": job.dataset_version.content_hash,
            "method": job.method,
            "tuning": job.tuning,
            "seed": job.seed,
            **job.setup,
            **job.hyperparameters,
        },
    }
