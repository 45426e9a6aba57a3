"""A web process for the clients of /v1: stand-ins answer and train, threads look at jobs and run them as the workers do.

usage: python -m tests.journeys.openai_server PORT, with the environment of a web process. Prints a key.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

import uvicorn  # noqa: E402 - the settings come first
from django.conf import settings  # noqa: E402

from deployment.actions.batch_run import run_batches  # noqa: E402
from labeling.actions.api_key import create_key  # noqa: E402
from labeling.models import Project  # noqa: E402
from training.actions.job import execute_next_job  # noqa: E402
from training.actions.preflight import preflight_job  # noqa: E402
from training.models import BaseModel, Job  # noqa: E402
from training.states import JobState  # noqa: E402

TRAINER = Path(__file__).with_name("openai_trainer.py")
LOOK_S = 0.05


def look_at_jobs() -> None:
    for job in Job.objects.filter(state=JobState.VALIDATING_FILES).select_related("dataset_version", "base_model"):
        preflight_job(job=job)


def keep_doing(work: Callable[[], None]) -> None:
    def go_on() -> None:
        while True:
            work()
            time.sleep(LOOK_S)

    threading.Thread(target=go_on, daemon=True).start()


def main(port: int) -> None:
    settings.ML_COMMAND = [sys.executable, str(TRAINER)]
    base_model = BaseModel.objects.create(
        slug="smollm2-135m-instruct", name="SmolLM2", location="smollm2-135m-instruct", is_default=True
    )
    base_model.folder.mkdir(parents=True)
    (base_model.folder / "config.json").write_text("{}")
    project = Project.objects.create(slug="kitchen", name="Kitchen")
    sys.stdout.write(create_key(project=project, name="the clients")[1] + "\n")
    sys.stdout.flush()
    keep_doing(look_at_jobs)
    keep_doing(execute_next_job)
    keep_doing(run_batches)
    uvicorn.run("config.asgi:application", port=port, log_level="error")


if __name__ == "__main__":
    main(int(sys.argv[1]))
