"""A job's log in the words that the users of the API know: the present form and the legacy one.

Our events and theirs are not one to one. An event gives none, one or two of theirs, always the same ones: whoever reads
the log again meets what he has read before.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from training.api.shapes import Shape, model_name, seconds
from training.models import Event, Job
from training.states import JobState

SILENT = ("started", "merging", "stopped", "finished", "queue")
FIRST_QUEUED = 2  # the number of the event that says a job has entered the queue for the first time


def job_events(job: Job, *, after: tuple[int, int] | None, limit: int) -> list[Shape]:
    """Return events of the present form, newest first, from before `after` (an event's number and place)."""
    rows = job.events.exclude(code__in=SILENT).order_by("-number")
    if after:
        rows = rows.filter(number__lte=after[0])

    def found() -> Iterator[Shape]:
        for row in rows.iterator(chunk_size=200):
            shapes = list(enumerate(_shapes(job, row)))
            for place, shape in reversed(shapes):
                if after is None or (row.number, place) < after:
                    yield {"object": "fine_tuning.job.event", "id": f"{_prefix(job)}{row.number:06d}{place}", **shape}

    return list(islice(found(), limit))


def parse_event_id(job: Job, text: str) -> tuple[int, int] | None:
    """Return number and place of an event of this job, None where the text names none."""
    match = re.fullmatch(rf"{re.escape(_prefix(job))}([0-9]{{6,9}})([0-9])", text)
    return (int(match[1]), int(match[2])) if match else None


def _prefix(job: Job) -> str:
    return f"ftevent-{job.key.rpartition('-')[2]}"


def _shapes(job: Job, event: Event) -> Iterator[Shape]:
    data = event.data
    if event.code == "metrics":
        yield _metrics(event)
        return
    level = {JobState.FAILED: "error", "repeated": "warn", "integrations": "warn", "not_served": "warn"}.get(
        event.code, "info"
    )
    for message in _messages(job, event.code, data, event.number):
        yield {
            "created_at": seconds(event.at),
            "level": level,
            "message": message,
            "type": "message",
            "data": None,
        }


def _metrics(event: Event) -> Shape:
    data = event.data
    found = {
        "step": data.get("step"),
        "total_steps": data.get("n_steps"),
        "train_loss": data.get("loss"),
        "train_mean_token_accuracy": data.get("token_accuracy"),
        "valid_loss": data.get("valid_loss"),
    }
    message = f"Step {data.get('step')}/{data.get('n_steps')}: training loss={data.get('loss') or 0:.2f}"
    if data.get("valid_loss") is not None:
        message += f", validation loss={data['valid_loss']:.2f}"
    return {
        "created_at": seconds(event.at),
        "level": "info",
        "message": message,
        "type": "metrics",
        "data": {name: value for name, value in found.items() if value is not None},
    }


def _messages(job: Job, code: str, data: dict[str, Any], number: int) -> list[str]:
    files = f"training file: {job.training_file.key if job.training_file else ''}"
    if job.validation_file:
        files += f" and validation file: {job.validation_file.key}"
    is_new = number <= FIRST_QUEUED
    words: dict[str, list[str]] = {
        JobState.VALIDATING_FILES: [f"Created fine-tuning job: {job.key}", f"Validating {files}"],
        JobState.QUEUED: ["Files validated, moving job to queued state" if is_new else "The job is in the queue again"],
        JobState.RUNNING: ["Fine-tuning job started"],
        JobState.PAUSED: ["The job was paused"],
        JobState.CANCELLED: ["The job was cancelled"],
        JobState.FAILED: [str(data.get("message") or "The job failed.")],
        JobState.SUCCEEDED: [
            f"New fine-tuned model created: {model_name(job)}",
            "The job has successfully completed",
        ],
        "resumed": [f"Fine-tuning went on from step {data.get('step')}"],
        "checkpoint": [f"Progress saved at step {data.get('step')}"],
        "best_kept": [f"The weights of step {data.get('best_step')} have the lowest validation loss and are kept"],
        "smoke_test": [f"{data.get('n_sound')} of {data.get('n')} first answers of the model are sound"],
        "repeated": [f"{data.get('n')} row(s) of the training file repeat others; they are trained on as they are."],
        "integrations": ["Integrations are kept with the job, but this server sends nothing to them."],
        "not_served": [_not_served(data)],
        "failed": [str(data.get("message") or "The job failed.")],
    }
    return words.get(code, [])


def _not_served(data: dict[str, Any]) -> str:
    return f"Kept with the job, but without effect on this server: {', '.join(data.get('names', []))}."


class LegacyLog:
    """The legacy form, oldest first. It counts epochs, so it has to be fed every event from the first."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.n_epochs = 0
        self.n_completed = 0
        self.has_started = False

    def feed(self, events: Iterable[Event]) -> list[Shape]:
        return [
            {"object": "fine-tune-event", "level": level, "message": message, "created_at": seconds(event.at)}
            for event in events
            for level, message in self._lines(event.code, event.data)
        ]

    def _lines(self, code: str, data: dict[str, Any]) -> list[tuple[str, str]]:
        if code == "started":
            self.n_epochs = int((data.get("hyperparameters") or {}).get("n_epochs") or 0)
        if code == "metrics":
            return [("info", line) for line in self._epochs(float(data.get("epoch") or 0))]
        if code == JobState.FAILED:
            reason = str(data.get("message") or "The job failed.").rstrip(".")
            return [("error", f"{reason}. Fine-tune failed. (Fine-tune ID: {self.job.key})")]
        if code == "not_served":
            return [("warn", _not_served(data))]
        if code == "repeated":
            return [("warn", f"{data.get('n')} row(s) of the training file repeat others.")]
        return [("info", line) for line in self._infos(code, data)]

    def _infos(self, code: str, data: dict[str, Any]) -> list[str]:
        number = data.get("queue_number", 0)
        if code == JobState.VALIDATING_FILES:
            return [f"Created fine-tune: {self.job.key}", "Fine-tune costs $0.00"]
        if code == JobState.QUEUED and not self.has_started and not data.get("reason"):
            return [f"Fine-tune enqueued. Queue number: {number}"]
        if code in (JobState.QUEUED, "queue"):
            return [f"Fine-tune is in the queue. Queue number: {number}"]
        if code == JobState.RUNNING:
            again, self.has_started = self.has_started, True
            return ["Fine-tune went on" if again else "Fine-tune started"]
        if code == JobState.SUCCEEDED:
            result = self.job.result_file
            uploaded = [f"Uploaded result file: {result.key}"] if result else []
            return [f"Uploaded model: {model_name(self.job)}", *uploaded, "Fine-tune succeeded"]
        return {JobState.CANCELLED: ["Fine-tune cancelled"], JobState.PAUSED: ["Fine-tune paused"]}.get(code, [])  # type: ignore[call-overload]

    def _epochs(self, epoch: float) -> Iterator[str]:
        while self.n_completed < self.n_epochs and epoch >= self.n_completed + 1:
            self.n_completed += 1
            yield f"Completed epoch {self.n_completed}/{self.n_epochs}"
