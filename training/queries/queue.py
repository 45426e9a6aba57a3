"""The queue: how many jobs come first, and when a waiting one will begin."""

import heapq
from dataclasses import dataclass

from training.models import Job
from training.states import JobState


@dataclass(frozen=True)
class Place:
    """`n_before` jobs come first, running or waiting; `starts_in_s` is None where one of them cannot be told."""

    n_before: int
    starts_in_s: float | None


def find_place(job: Job) -> Place | None:
    """Return where a queued job stands, None where it does not wait.

    Each running job is taken for a slot that the waiting ones get in turn; their durations are those of their preflights.
    """
    if job.state != JobState.QUEUED:
        return None
    running = list(Job.objects.filter(state=JobState.RUNNING).values_list("remaining_s", flat=True))
    waiting = list(Job.objects.waiting().values_list("pk", "preflight__estimate"))
    before = waiting[: [pk for pk, _estimate in waiting].index(job.pk)]
    n_before = len(running) + len(before)
    durations = [(estimate or {}).get("seconds") for _pk, estimate in before]
    if None in running or None in durations:
        return Place(n_before, None)
    slots = [seconds or 0.0 for seconds in running] or [0.0]
    heapq.heapify(slots)
    for duration in durations:
        heapq.heapreplace(slots, slots[0] + (duration or 0.0))
    return Place(n_before, slots[0])
