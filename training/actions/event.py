"""Our own lines in a job's log; the trainer's are recorded by the worker that follows it."""

from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from training.models import Event, Job
from training.states import JobState

PLACE = "queue"


def append_event(job: Job, code: str, data: dict[str, Any] | None = None) -> None:
    """Append one event of our own to the job's log."""
    with transaction.atomic():
        Job.objects.select_for_update().get(pk=job.pk)  # numbers are given out one at a time
        last = Event.objects.filter(job_id=job.pk).aggregate(last=Max("number"))["last"] or 0
        Event.objects.create(job=job, number=last + 1, code=str(code), data=data or {}, at=timezone.now())


def queue_number(job: Job) -> int:
    """Return how many jobs will come before this queued one."""
    waiting = list(Job.objects.waiting().values_list("pk", flat=True))
    return waiting.index(job.pk) + Job.objects.filter(state=JobState.RUNNING).count()


def tell_places() -> None:
    """Tell those who wait over the legacy API when their place in the queue has changed: its users watch the number go down.

    To be called when nothing is locked: each job is told in a transaction of its own.
    """
    n_running = Job.objects.filter(state=JobState.RUNNING).count()
    for number, job in enumerate(Job.objects.waiting(), n_running):
        if job.is_legacy:
            _tell_place(job, number)


def _tell_place(job: Job, number: int) -> None:
    with transaction.atomic():
        row = Job.objects.select_for_update().get(pk=job.pk)
        said = Event.objects.filter(job=job, code__in=(PLACE, JobState.QUEUED)).order_by("-number").first()
        if row.state == JobState.QUEUED and said and said.data.get("queue_number") != number:
            append_event(row, PLACE, {"queue_number": number})
