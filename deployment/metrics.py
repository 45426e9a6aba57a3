"""What a Prometheus server is told: gauges that are counted in the database when it asks.

Counted there, they are right whatever number of processes serve and however often these restart. Traffic is that of the
last five minutes, so that a scrape costs the same on the first day and after a million answers. No label names a person,
and there are no more of them than projects, models and states.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from django.db.models import Avg, Count, Max, Q, Sum
from django.utils import timezone
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from deployment.models import Alert, Completion, Cycle, Deployment
from deployment.states import CYCLE_ENDED, CompletionState
from labeling.models import Case, Submission, Task
from labeling.states import CASE_CORRECTABLE, SubmissionState, TaskState
from training.models import Job
from training.states import JOB_ENDED

WINDOW = timedelta(minutes=5)
PROJECT = {"project": "project__slug"}


def expose() -> bytes:
    """Return all metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Counts())
    return generate_latest(registry)


class _Counts(Collector):
    def collect(self) -> Iterator[Metric]:
        yield from _traffic()
        yield from _live()
        yield from _work()


def _gauge(name: str, text: str, labels: Mapping[str, str], rows: Iterable[Mapping[str, Any]], value: str) -> Metric:
    """Return a gauge with a value for each row; `labels` says which field of a row each label is."""
    family = GaugeMetricFamily(name, text, labels=list(labels))
    for row in rows:
        if row[value] is not None:
            family.add_metric([str(row[field]) for field in labels.values()], float(row[value]))
    return family


def _traffic() -> Iterator[Metric]:
    model = {**PROJECT, "model": "model_name"}
    rows = Completion.objects.filter(created_at__gt=timezone.now() - WINDOW).order_by()
    states = rows.values(*model.values(), "state").annotate(n=Count("pk"))
    yield _gauge(
        "emend_answers", "Answers that began in the last five minutes.", {**model, "state": "state"}, states, "n"
    )
    figures = list(
        rows.exclude(state=CompletionState.STREAMING)
        .values(*model.values())
        .annotate(
            n_down=Count("pk", filter=Q(rating=-1)),
            n_read=Sum("n_prompt_tokens"),
            n_written=Sum("n_completion_tokens"),
            first_mean=Avg("time_to_first_token_s"),
            first_most=Max("time_to_first_token_s"),
            whole_mean=Avg("duration_s"),
            whole_most=Max("duration_s"),
        )
    )
    for name, text, value in (
        ("emend_answers_rated_down", "Answers of the last five minutes with a thumbs-down.", "n_down"),
        ("emend_prompt_tokens", "Tokens read in the last five minutes.", "n_read"),
        ("emend_completion_tokens", "Tokens written in the last five minutes.", "n_written"),
        ("emend_first_token_seconds_mean", "Mean time to the first token, last five minutes.", "first_mean"),
        ("emend_first_token_seconds_max", "Longest time to the first token, last five minutes.", "first_most"),
        ("emend_answer_seconds_mean", "Mean time of a whole answer, last five minutes.", "whole_mean"),
        ("emend_answer_seconds_max", "Longest time of a whole answer, last five minutes.", "whole_most"),
    ):
        yield _gauge(name, text, model, figures, value)


def _live() -> Iterator[Metric]:
    rows = Deployment.objects.select_related("project", "live_model", "base_model", "candidate_model")
    family = GaugeMetricFamily(
        "emend_deployment", "1 for each model of a deployment.", labels=["project", "deployment", "model", "stage"]
    )
    share = GaugeMetricFamily("emend_canary_percent", "Share of the canary.", labels=["project", "deployment"])
    for row in rows:
        family.add_metric([row.project.slug, row.name, row.live_name, "live"], 1)
        if row.candidate_model:
            family.add_metric([row.project.slug, row.name, row.candidate_model.name, row.stage], 1)
        share.add_metric([row.project.slug, row.name], row.canary_percent)
    yield family
    yield share
    alerts = Alert.objects.open().order_by().values("project__slug", "measure").annotate(n=Count("pk"))
    yield _gauge("emend_alerts_open", "Alerts that are open.", {**PROJECT, "measure": "measure"}, alerts, "n")


def _work() -> Iterator[Metric]:
    slug = PROJECT["project"]
    jobs = Job.objects.exclude(state__in=JOB_ENDED).order_by().values(slug, "state").annotate(n=Count("pk"))
    yield _gauge("emend_jobs", "Jobs that have not ended, by state.", {**PROJECT, "state": "state"}, jobs, "n")
    for name, text, rows in (
        ("emend_cycles_at_work", "Cycles that have not ended.", Cycle.objects.exclude(state__in=CYCLE_ENDED)),
        ("emend_cases_to_correct", "Cases for a reviewer.", Case.objects.filter(state__in=CASE_CORRECTABLE)),
        ("emend_tasks_open", "Tasks that can be taken.", Task.objects.filter(state=TaskState.OPEN)),
        (
            "emend_submissions_to_review",
            "Submissions for a reviewer.",
            Submission.objects.filter(state=SubmissionState.SUBMITTED),
        ),
    ):
        yield _gauge(name, text, PROJECT, rows.order_by().values(slug).annotate(n=Count("pk")), "n")
