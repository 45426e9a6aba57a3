"""Reads about what is known of a job before it starts."""

from training.estimates import Run
from training.models import BaseModel, Job
from training.states import JobState

N_RUNS = 20


def former_runs(*, method: str, base_model: BaseModel | None = None, sized: bool = False) -> list[Run]:
    """Return the newest runs of the method that succeeded, of one base model or of all, in the tokens of their preflights.

    `sized`: in tokens times parameters of their base models, which makes runs of several base models comparable.
    Runs that were never looked at before count only where there are no others: their own count has other tokens in it.
    """
    jobs = Job.objects.filter(state=JobState.SUCCEEDED, method=method).select_related("base_model", "preflight")
    if base_model is not None:
        jobs = jobs.filter(base_model=base_model)
    looked_at, others = [], []
    for job in jobs.defer("preflight__report").order_by("-pk")[:N_RUNS]:
        size = (job.base_model.n_parameters or 0) if sized else 1
        seen = getattr(job, "preflight", None)
        duration_s, n_tokens = job.result.get("duration_s") or 0, job.result.get("n_tokens") or 0
        if seen is not None and seen.estimate.get("n_tokens"):
            looked_at.append(Run(seen.estimate["n_tokens"] * size, duration_s))
        else:
            others.append(Run(n_tokens * size, duration_s))
    looked_at = [run for run in looked_at if run.n_tokens and run.duration_s]
    return looked_at or [run for run in others if run.n_tokens and run.duration_s]
