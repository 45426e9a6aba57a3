"""Where rows come from, and where they went: versions, jobs and models that hold them. Marks are counted, never copied."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db.models import Count, Q, QuerySet

from labeling.models import (
    Case,
    Correction,
    Example,
    InstructionVersion,
    PreferencePair,
    Project,
    Retraction,
    Review,
    User,
)
from labeling.queries.retraction import pairs_judged_by, work_of
from training.models import DatasetRow, DatasetVersion, Job, TunedModel

# A row whose text was taken back after it had been frozen. One that a later correction replaced is not meant.
RETRACTED = Q(example__retracted_at__isnull=False, example__retraction__isnull=False) | Q(
    pair__retracted_at__isnull=False, pair__retraction__isnull=False
)


@dataclass(frozen=True)
class VersionUse:
    """A version, and how many of the rows in question it holds."""

    version: DatasetVersion
    n_rows: int


@dataclass(frozen=True)
class ModelUse:
    """A model that learnt from the rows: from its own version's, and from those of the model that it goes on from."""

    model: TunedModel
    n_rows: int
    n_inherited: int = 0

    @property
    def n(self) -> int:
        return self.n_rows + self.n_inherited


@dataclass
class Uses:
    """Where rows are, each list newest first."""

    versions: list[VersionUse] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    models: list[ModelUse] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.versions or self.models)


@dataclass(frozen=True)
class Texts:
    """What rows are made of: examples, and the pairs of comparisons. Asked for apart, since each has its own index."""

    examples: "QuerySet[Example]"
    pairs: "QuerySet[PreferencePair]"

    def counts(self, project: Project) -> dict[int, int]:
        """Return how many rows of these texts each version of the project holds, by its key."""
        rows = DatasetRow.objects.filter(version__project=project).order_by()
        found: Counter[int] = Counter()
        for some in (
            rows.filter(example__in=self.examples.values("pk")),
            rows.filter(pair__in=self.pairs.values("pk")),
        ):
            found.update(dict(some.values_list("version_id").annotate(n=Count("pk"))))
        return dict(found)


def texts_of_examples(examples: "QuerySet[Example]") -> Texts:
    """Return these examples, and the pairs of comparisons in which their submissions were one of the answers."""
    answers = Q(comparison__submission_a__example__in=examples) | Q(comparison__submission_b__example__in=examples)
    return Texts(examples, PreferencePair.objects.filter(answers))


def texts_of_retraction(retraction: Retraction) -> Texts:
    return Texts(Example.objects.filter(retraction=retraction), PreferencePair.objects.filter(retraction=retraction))


def texts_of_person(project: Project, person: User) -> Texts:
    """Return what a retraction of the person would take out, and what one has taken out."""
    judged = pairs_judged_by(project, person, in_use=False)
    pairs = PreferencePair.objects.filter(Q(pk__in=judged) | Q(retraction__person=person), project=project)
    return Texts(work_of(project, person), pairs)


def uses_of(project: Project, texts: Texts) -> Uses:
    """Return the versions that hold the texts, the jobs on them, and the models that learnt from them."""
    counts = texts.counts(project)
    if not counts:
        return Uses()
    versions = DatasetVersion.objects.filter(pk__in=counts).order_by("-number")
    models = models_with(project, counts)
    continued = Q(parent__in=[use.model.pk for use in models])
    jobs = Job.objects.filter(Q(dataset_version__in=counts) | continued, project=project)
    return Uses(
        versions=[VersionUse(version, counts[version.pk]) for version in versions],
        jobs=list(jobs.select_related("dataset_version", "base_model", "tuned_model").order_by("-pk")),
        models=models,
    )


def models_with(project: Project, counts: Mapping[int, int]) -> list[ModelUse]:
    """Return the models that learnt from versions of which `counts` tells how many rows each holds.

    A model that goes on from another one has learnt what that one learnt. Deleted models are among them.
    """
    rows = TunedModel.everything.filter(project=project).select_related("job__dataset_version", "base_model")
    totals: dict[int | None, int] = {}
    found = []
    for model in rows.order_by("pk"):  # a parent is older than what goes on from it
        n_rows = counts.get(model.job.dataset_version_id, 0)
        n_inherited = totals.get(model.job.parent_id, 0) if model.job.parent_id else 0
        if n_rows or n_inherited:
            totals[model.pk] = n_rows + n_inherited
            found.append(ModelUse(model, n_rows, n_inherited))
    return found[::-1]


def retracted_counts(project: Project) -> dict[int, int]:
    """Return how many retracted rows each version of the project holds, by its key; none that holds none."""
    pairs = PreferencePair.objects.filter(project=project, retracted_at__isnull=False, retraction__isnull=False)
    return Texts(Example.objects.filter(project=project).retracted(), pairs).counts(project)


def retracted_counts_of_models(project: Project) -> dict[int, int]:
    """Return how many retracted rows each model has learnt from, by its key; none that learnt from none."""
    counts = retracted_counts(project)
    return {use.model.pk: use.n for use in models_with(project, counts)} if counts else {}


@dataclass(frozen=True)
class Origin:
    """How a row came about. What does not apply is None: a file's row has nothing of all this."""

    example: Example
    review: Review | None = None
    correction: Correction | None = None
    case: Case | None = None
    completion_key: str = ""

    @property
    def author(self) -> User | None:
        return self.example.author

    @property
    def reviewer(self) -> User | None:
        return self.review.reviewer if self.review else self.example.accepted_by

    @property
    def instruction_version(self) -> InstructionVersion | None:
        return self.example.instruction_version

    @property
    def model_name(self) -> str:
        """The model that gave the wrong output."""
        return self.case.model_name if self.case else ""


def origins_of(rows: Iterable[DatasetRow]) -> dict[int, Origin]:
    """Return the origins of rows by their keys, in three queries."""
    by_example = {row.example_id: row.pk for row in rows if row.example_id is not None}
    examples = Example.objects.filter(pk__in=by_example).select_related(
        *("author", "accepted_by", "instruction_version", "submission", "correction__case", "correction__author"),
        *("submission__review__reviewer", "retraction"),
    )
    found = {}
    for example in examples.prefetch_related("correction__case__reports"):
        correction = example.correction
        case = correction.case if correction else None
        keys = [report.completion_key for report in case.reports.all()] if case else []
        found[by_example[example.pk]] = Origin(
            example=example,
            review=getattr(example.submission, "review", None) if example.submission else None,
            correction=correction,
            case=case,
            completion_key=next((key for key in keys if key), ""),
        )
    return found


def ancestors_of(model: TunedModel) -> list[TunedModel]:
    """Return the models that this one goes on from, the nearest first."""
    found, parent = [], model.job.parent
    while parent is not None:
        found.append(parent)
        parent = parent.job.parent
    return found


def mark_retracted(project: Project, versions: Iterable[DatasetVersion]) -> None:
    """Write into each version, as `n_retracted`, how many retracted rows it holds."""
    counts = retracted_counts(project)
    for version in versions:
        version.n_retracted = counts.get(version.pk, 0)  # type: ignore[attr-defined]


def versions_with(row: DatasetRow) -> list[DatasetVersion]:
    """Return the versions that hold the same text of the same example or pair, newest first; of a file's row, its own."""
    if row.example_id is None and row.pair_id is None:
        return [row.version]
    made_of = {"example": row.example_id} if row.example_id else {"pair": row.pair_id}
    held = DatasetRow.objects.filter(**made_of, row_hash=row.row_hash).values("version")
    return list(DatasetVersion.objects.filter(pk__in=held).order_by("-number"))
