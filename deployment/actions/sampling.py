"""A sample of the traffic for the reviewers: what the model was unsure of, and what is unlike all that it has learnt."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from math import ceil

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from common.conversations import ConversationError, clean, digest
from deployment.models import Completion, Deployment, Detection, DetectorSettings
from deployment.states import SAMPLERS, CompletionState, Detector
from labeling.actions.case import report_output
from labeling.actions.errors import LabelingError
from labeling.models import Case, Project
from labeling.queries.case import question_of
from labeling.states import Reason, Source
from training.models import DatasetRow
from training.nearest import similarities
from training.states import Split

logger = logging.getLogger(__name__)

WINDOW = timedelta(days=1)
AT_FIRST = 24  # of the first day's sample this part comes at once
N_LOOKED_AT = 500  # the newest answers of the window
N_CASES = 2000  # the newest, whose questions are known
FEWEST_TOKENS = 8  # of fewer the mean says little


def sample_answers() -> int:
    """Put before the reviewers what is due of each project's sample; return how many answers that were."""
    rows = DetectorSettings.objects.filter(samples_per_day__gt=0).select_related("project")
    return sum(_sample(row.project, row.samples_per_day) for row in rows)


def _sample(project: Project, per_day: int) -> int:
    due = _n_due(project, per_day)
    if not due:
        return 0
    picked = _pick(project, due)
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)  # two workers together keep to the number
        left = min(due, _n_due(project, per_day))
        return sum(_put(row, how, words) for row, how, words in picked[:left])


def _n_due(project: Project, per_day: int) -> int:
    """Return how many more are due: spread over the day, and never more than a day's in 24 hours."""
    now = timezone.now()
    times = Detection.objects.filter(project=project, detector__in=SAMPLERS, created_at__gt=now - WINDOW).order_by("pk")
    sampled = list(times.values_list("created_at", flat=True))
    due = int(per_day * ((now - sampled[-1]) / WINDOW)) if sampled else ceil(per_day / AT_FIRST)
    return max(0, min(per_day - len(sampled), due))


def _pick(project: Project, n: int) -> list[tuple[Completion, Detector, str]]:
    """Return up to `n` answers with why each was chosen: in turn the least sure and the least known."""
    rows = _without_cases(project, _eligible(project))
    unsure = [row for row in rows if row.mean_logprob is not None and (row.n_completion_tokens or 0) >= FEWEST_TOKENS]
    unsure.sort(key=lambda row: row.mean_logprob or 0.0)
    near = similarities([row.question for row in rows], _known(project)) if rows else []
    novel = sorted(zip(near, rows, strict=True), key=lambda pair: pair[0])
    lists = {
        Detector.UNCERTAIN: [(row, f"{row.mean_logprob:.2f}") for row in unsure],
        Detector.NOVEL: [(row, f"{similarity:.2f}") for similarity, row in novel],
    }
    n_former = Detection.objects.filter(project=project, detector__in=SAMPLERS).count()
    picked: list[tuple[Completion, Detector, str]] = []
    asked: set[str] = set()
    for number in range(n_former, n_former + 2 * n):
        how = SAMPLERS[number % 2]
        found = next(((row, words) for row, words in lists[how] if row.question not in asked), None)
        if found is not None and len(picked) < n:
            asked.add(found[0].question)
            picked.append((found[0], how, found[1]))
    return picked


def _eligible(project: Project) -> list[Completion]:
    """Return the newest answers of the deployment that nobody has said anything about."""
    rows = Completion.objects.filter(
        project=project,
        deployment__isnull=False,
        state=CompletionState.DONE,
        is_examined=True,
        rating=0,
        case=None,
        detections=None,
        created_at__gt=timezone.now() - WINDOW,
    ).exclude(response="")
    return [
        row for row in rows.select_related("project", "tuned_model__job").order_by("-pk")[:N_LOOKED_AT] if row.messages
    ]


def _without_cases(project: Project, rows: list[Completion]) -> list[Completion]:
    """Leave out what is a case already, also a dismissed one, word for word, and what could not be one."""
    by_hashes: dict[tuple[str, str], Completion] = {}
    for row in rows:
        try:
            *prompt, answer = clean(
                [*row.messages, {"role": "assistant", "content": row.response}], ends_with="assistant"
            )
        except ConversationError:
            continue
        by_hashes.setdefault((digest(prompt), digest(answer["content"])), row)
    outputs = [output for _prompt, output in by_hashes]
    cases = Case.objects.filter(project=project, output_hash__in=outputs)
    known = set(cases.values_list("prompt_hash", "output_hash"))
    return [row for hashes, row in by_hashes.items() if hashes not in known]


def _known(project: Project) -> Iterator[str]:
    """Yield the questions that the live model has learnt, and those of the cases."""
    for case in Case.objects.filter(project=project).order_by("-pk")[:N_CASES].iterator(chunk_size=500):
        yield question_of(case)
    live = Deployment.objects.filter(project=project, live_model__isnull=False).values(
        "live_model__job__dataset_version"
    )
    rows = DatasetRow.objects.filter(version__in=live, split=Split.TRAIN).order_by("version", "position")
    for messages in rows.values_list("messages", flat=True).iterator(chunk_size=1000):
        if len(messages) > 1:
            yield messages[-2]["content"]


def _put(row: Completion, how: Detector, words: str) -> bool:
    names = {
        Detector.UNCERTAIN: _("Sample: the model was unsure (mean log-probability %(figure)s)."),
        Detector.NOVEL: _("Sample: nothing that the model has learnt is nearer than %(figure)s."),
    }
    try:
        case = report_output(
            project=row.project,
            messages=row.messages,
            wrong_output=row.response,
            model_name=row.model_name,
            reason=Reason.OTHER,
            comment=names[how] % {"figure": words},
            source=Source.SAMPLE,
            completion_key=row.key,
        )
    except LabelingError as error:
        logger.info("%s cannot be sampled: %s", row.key, error)
        return False
    opened = case.source == Source.SAMPLE and case.n_reports == 1
    Detection.objects.create(project=row.project, completion=row, case=case, detector=how, has_opened=opened)
    Completion.objects.filter(pk=row.pk, case=None).update(case=case)
    return True
