"""Results of public benchmarks: taking them in, and taking them out."""

from collections.abc import Sequence

from django.db import transaction
from django.utils.translation import gettext as _

from common.states import record
from labeling.models import Project, User
from training.actions.errors import FileRefused
from training.benchmark_files import Measured, UnreadableBenchmark, read_benchmark
from training.models import BaseModel, BenchmarkResult, TunedModel

ASSISTANT = "assistant"


def add_benchmark(
    *, project: Project, content: bytes, model_name: str = "", by: User | None = None
) -> list[BenchmarkResult]:
    """Keep what a result file says; a file that was taken in before adds nothing and returns [].

    `model_name`: the model that was asked, where the file does not tell it or tells the deployment's name. Raises FileRefused.
    """
    try:
        found = read_benchmark(content)
    except UnreadableBenchmark as error:
        raise FileRefused(_sentence(error.code)) from error
    name = model_name or found[0].model
    if not _is_known(project, name):
        raise FileRefused(
            _("There is no model with the name “%(name)s” in this project.") % {"name": name}, field="model"
        )
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        rows = [row for row in _rows(project, found, name, by) if not _is_there(row)]
        BenchmarkResult.objects.bulk_create(rows)
        if rows:
            tasks = sorted({row.task for row in rows})
            after = f"{', '.join(tasks)}: {name}"[:200]
            record(rows[0], what="benchmark", after=after, by=by, project_pk=project.pk)
    return rows


def remove_benchmark(*, result: BenchmarkResult, by: User | None = None) -> None:
    """Take out all that the same run measured of the same task."""
    with transaction.atomic():
        record(result, what="benchmark", before=f"{result.task}: {result.model_name}"[:200], by=by)
        same = {name: getattr(result, name) for name in ("project_id", "model_name", "tool", "task", "ran_at")}
        BenchmarkResult.objects.filter(**same).delete()


def _rows(project: Project, found: Sequence[Measured], name: str, by: User | None) -> list[BenchmarkResult]:
    return [
        BenchmarkResult(
            project=project,
            model_name=name,
            tool=each.tool,
            task=each.task[:200],
            metric=each.metric[:100],
            value=each.value,
            stderr=each.stderr,
            n=each.n,
            settings=each.settings,
            ran_at=each.ran_at,
            created_by=by,
        )
        for each in found
    ]


def _is_there(row: BenchmarkResult) -> bool:
    names = ("project_id", "model_name", "tool", "task", "metric", "ran_at")
    return BenchmarkResult.objects.filter(**{name: getattr(row, name) for name in names}).exists()


def _is_known(project: Project, name: str) -> bool:
    """Whether somebody of that name can be asked. The deployment's own name says nothing of the model: it changes."""
    if not name or name == ASSISTANT:
        return False
    return (
        TunedModel.objects.filter(project=project).named(name).exists() or BaseModel.objects.filter(slug=name).exists()
    )


def _sentence(code: str) -> str:
    return {
        "not_json": _("The file is neither JSON nor a log of Inspect."),
        "unfinished": _("The run did not come to its end, so it has no result."),
        "no_result": _("There is no figure in it."),
        "too_large": _("The file is larger than 50 MB."),
    }.get(code, _("This is neither a result of lm-evaluation-harness nor a log of Inspect."))
