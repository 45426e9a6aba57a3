"""Reads of training that several callers share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.db.models import Count, F, Q, QuerySet

from common.conversations import canonical_json
from labeling.models import Example, Membership, Project
from training.models import (
    BaseModel,
    DatasetRow,
    DatasetVersion,
    Evaluation,
    EvaluationResult,
    Job,
    ProjectBaseModel,
    TunedModel,
)
from training.states import EvaluationState, Split, Suite

# Names that old clients ask for; all of them mean the catalog's default base model.
ALIASES = ("ada", "babbage", "curie", "davinci")
MEASURES = ("efficacy", "generalisation", "stop_rate", "held_out_loss")


def find_base_model(name: str) -> BaseModel | None:
    """Return the base model of this slug or alias, or the default one for an old name; None where there is none."""
    base_models = list(BaseModel.objects.order_by("-is_default", "pk"))
    found = [base_model for base_model in base_models if name == base_model.slug or name in base_model.aliases]
    if not found and name in ALIASES:
        found = base_models
    return found[0] if found else None


def default_base_model(project: Project) -> BaseModel | None:
    """Return what the project's jobs begin with: its own choice, else the catalog's default."""
    chosen = ProjectBaseModel.objects.filter(project=project).select_related("base_model").first()
    return chosen.base_model if chosen else BaseModel.objects.filter(is_default=True).first()


def previous_version(version: DatasetVersion) -> DatasetVersion | None:
    """Return the version frozen before this one."""
    return (
        DatasetVersion.objects.own()
        .filter(project_id=version.project_id, number__lt=version.number)
        .order_by("-number")
        .first()
    )


def new_rows(version: DatasetVersion, since: DatasetVersion | None) -> "QuerySet[DatasetRow]":
    """Return the rows whose text is not in the earlier version; all of them where there is none."""
    rows = version.rows.all()
    return rows.exclude(row_hash__in=since.rows.values("row_hash")) if since else rows


def gone_rows(version: DatasetVersion, since: DatasetVersion | None) -> "QuerySet[DatasetRow]":
    """Return the earlier version's rows whose text is no longer there."""
    return new_rows(since, version) if since else DatasetRow.objects.none()


def count_pairs(version: DatasetVersion) -> int:
    """Return how many training rows have a rejected answer beside the right one."""
    return version.rows.filter(split=Split.TRAIN, rejected__isnull=False).count()


def continuations(job: Job) -> "QuerySet[Job]":
    """Return the jobs that go on from the model that this one has made, oldest first."""
    return Job.objects.filter(parent__job=job).order_by("pk")


def baseline_model(model: TunedModel) -> TunedModel | None:
    """Return the model that this one is to be compared with: its parent while that has weights; None: its base model."""
    parent = model.job.parent
    return parent if parent is not None and parent.deleted_at is None and parent.is_ready else None


def sources(version: DatasetVersion) -> dict[str, list[dict[str, Any]]]:
    """Return where the rows come from: lists of {label, n} by kind, author and version of the instructions."""
    rows = version.rows.order_by()

    def count(**label: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in rows.values(**label).annotate(n=Count("pk")).order_by("-n", *label)]

    return {
        "kinds": count(split_name=F("split"), kind_name=F("kind")),
        "authors": count(
            author_pk=F("example__author_id"), name=F("example__author__name"), email=F("example__author__email")
        ),
        "instructions": count(number=F("example__instruction_version__number")),
    }


def export_chunks(version: DatasetVersion, *, split: str = "", n_rows: int = 200) -> Iterator[str]:
    """Yield the version as OpenAI chat JSONL, some rows at a time. The same version always gives the same bytes."""
    rows = version.rows.order_by("position")
    if split:
        rows = rows.filter(split=split)
    messages = rows.values_list("messages", flat=True).iterator(chunk_size=n_rows)
    while chunk := "".join(canonical_json({"messages": each}) + "\n" for each in islice(messages, n_rows)):
        yield chunk


def unfrozen_examples(project: Project) -> "QuerySet[Example]":
    """Return the trainable examples that are not in the newest dataset version."""
    latest = project.dataset_versions.own().order_by("-number").first()
    examples = Example.objects.filter(project=project).trainable()
    return examples.exclude(pk__in=latest.rows.values("example_id")) if latest else examples


def newest_model(project: Project) -> TunedModel | None:
    """Return the model that was trained last; one of a checkpoint is none that the next starts from by itself."""
    ended_with = TunedModel.objects.filter(project=project, checkpoint__isnull=True)
    return ended_with.select_related("job__dataset_version").order_by("-pk").first()


def loss_points(job: Job) -> list[dict[str, Any]]:
    """Return the data of the job's `metrics` events, oldest first; a resumed run's repeated steps count once."""
    by_step = {data["step"]: data for data in job.events.filter(code="metrics").values_list("data", flat=True)}
    return [by_step[step] for step in sorted(by_step)]


def checkpoints(job: Job) -> list[dict[str, Any]]:
    """Return step, moment and figures of each checkpoint, oldest first, and whether its files are still there."""
    figures = {point["step"]: point for point in loss_points(job)}
    rows = job.events.filter(code="checkpoint").order_by("number").values_list("data__step", "at")
    kept = {row.step: row for row in job.checkpoints.select_related("model")}
    return [
        {
            "step": step,
            "at": at,
            "values": figures.get(step, {}),
            "is_kept": (job.run_dir / "checkpoints" / f"checkpoint-{step}" / "complete").is_file(),
            "size_bytes": kept[step].size_bytes if step in kept else None,
            "state": kept[step].state if step in kept else None,
            "model": kept[step].model.name if step in kept and kept[step].model else None,  # type: ignore[union-attr]
        }
        for step, at in dict(rows).items()
    ]


def files_of_model(model: TunedModel) -> list[tuple[str, int]]:
    """Return names and sizes of what lies in the model's folder, nothing where it is not on this machine."""
    if not model.is_here:
        return []
    return sorted((path.name, path.stat().st_size) for path in model.folder.iterdir() if path.is_file())


def measures(evaluation: Evaluation) -> dict[str, Any]:
    """Return the measures of a candidate beside its baseline's.

    Keys: `<measure>_before` and `<measure>_after` for efficacy, generalisation, stop_rate and held_out_loss;
    `specificity_drift` and `base_drift` (relative change of the loss on unrelated answers, against the baseline and
    against the base model as it was last measured); `n_cases`, `n_probes`, `n_held_out`, `n_unrelated`. A value is None where it was not measured.
    """
    after = evaluation.metrics
    before = evaluation.baseline.metrics if evaluation.baseline else {}
    found: dict[str, Any] = {}
    for name in MEASURES:
        found[f"{name}_before"], found[f"{name}_after"] = before.get(name), after.get(name)
    new = after.get("unrelated_loss")
    for name, old in (("specificity_drift", before.get("unrelated_loss")), ("base_drift", _base_loss(evaluation))):
        found[name] = (new - old) / old if old and new is not None else None
    for name in ("n_cases", "n_probes", "n_held_out", "n_unrelated"):
        found[name] = after.get(name) or 0
    return found


def _base_loss(evaluation: Evaluation) -> float | None:
    """Return the base model's loss on as many unrelated prompts, the same for every project, as last measured anywhere."""
    if evaluation.tuned_model_id is None:
        return None
    measured = Evaluation.objects.filter(
        base_model=evaluation.base_model_id,
        tuned_model=None,
        state=EvaluationState.SUCCEEDED,
        metrics__n_unrelated=evaluation.metrics.get("n_unrelated"),
    )
    return measured.order_by("-pk").values_list("metrics__unrelated_loss", flat=True).first()


def passes(evaluation: Evaluation) -> bool:
    """Whether the gate has judged this evaluation and every rule holds."""
    return (
        evaluation.state == EvaluationState.SUCCEEDED
        and bool(evaluation.gate)
        and all(rule["passed"] for rule in evaluation.gate)
    )


def case_results(evaluation: Evaluation) -> dict[str, EvaluationResult]:
    """Return the outcomes of suite `regression` by row id."""
    return {
        result.row_id: result
        for result in evaluation.results.filter(suite=Suite.REGRESSION).select_related("test").order_by("pk")
    }


def probe_counts(evaluation: Evaluation) -> dict[str, tuple[int, int]]:
    """Return, by row id, how many of a case's probes are right, and how many there are."""
    rows = evaluation.results.filter(suite=Suite.PROBE).order_by().values("row_id")
    counted = rows.annotate(n_right=Count("pk", filter=Q(is_right=True)), n=Count("pk"))
    return {row["row_id"]: (row["n_right"], row["n"]) for row in counted}


@dataclass
class SubmissionUse:
    """What became of an accepted text: the numbers of the dataset versions that it is in, the models that learnt it."""

    submission_pk: int
    is_retracted: bool
    versions: list[int] = field(default_factory=list)
    models: list[str] = field(default_factory=list)


def submission_uses(membership: Membership, submission_pks: Sequence[int]) -> list[SubmissionUse]:
    """Return a line for each of these texts that is the person's own and was accepted; versions and models newest first."""
    own = Example.objects.filter(
        project_id=membership.project_id,
        submission__in=submission_pks,
        submission__author_id=membership.user_id,
    ).order_by("-submission_id")
    found: dict[int, SubmissionUse] = {}
    for pk, submission_pk, retracted_at in own.values_list("pk", "submission_id", "retracted_at"):
        found[pk] = SubmissionUse(submission_pk or 0, retracted_at is not None)
    rows = DatasetRow.objects.filter(example__in=list(found)).order_by("-version__number")
    taught: dict[int, list[SubmissionUse]] = {}
    for example_pk, version_pk, number in rows.values_list("example_id", "version_id", "version__number"):
        use = found[example_pk]
        use.versions.append(number)
        taught.setdefault(version_pk, []).append(use)
    models = TunedModel.objects.filter(job__dataset_version__in=list(taught)).order_by("-pk")
    for version_pk, name in models.values_list("job__dataset_version_id", "name"):
        for use in taught[version_pk]:
            use.models.append(name)
    return list(found.values())
