"""Working out how far people agree, and keeping the figures. Only workers import this: it loads numpy."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from labeling.models import AgreementFigure, AgreementReport, Grade, Project, SecondReview, Vote
from labeling.models.qualification import HIGHEST, LOWEST
from labeling.reliability import Estimate, Level, Reliability, measure
from labeling.states import ComparisonOutcome, Measure, Verdict

PATIENCE = timedelta(minutes=2)  # so long the nudge itself may take

# item, person, version of the instructions (None without one), value
Judgement = tuple[int, int, int | None, str]
Items = dict[int, dict[int, str]]

YES, NO = "accept", "do not accept"
VOTE_VALUES = [str(each) for each in ComparisonOutcome if each != ComparisonOutcome.SPLIT]
SCORES = [str(score) for score in range(LOWEST, HIGHEST + 1)]


def accept_judgements(project: Project) -> Iterable[Judgement]:
    """Yield the first and the second verdict of each submission that has both, as accepted or not."""
    rows = SecondReview.objects.filter(submission__project=project, is_accepted__isnull=False)
    for pk, version, first, verdict, second, is_accepted in rows.values_list(
        "submission_id",
        "submission__instruction_version_id",
        "submission__review__reviewer_id",
        "submission__review__verdict",
        "reviewer_id",
        "is_accepted",
    ):
        yield pk, first, version, YES if verdict in (Verdict.ACCEPT, Verdict.EDIT) else NO
        yield pk, second, version, YES if is_accepted else NO


def vote_judgements(project: Project) -> Iterable[Judgement]:
    """Yield every vote as what it says about the answers; clearly and slightly are one value."""
    for row in Vote.objects.filter(comparison__project=project).iterator():
        yield row.comparison_id, row.person_id, row.instruction_version_id, str(row.outcome)


def grade_judgements(project: Project, name: Measure) -> Iterable[Judgement]:
    """Yield the scores that reviewers gave under one heading of the rubric."""
    rows = Grade.objects.filter(submission__project=project)
    fields = ("submission_id", "reviewer_id", "submission__instruction_version_id", str(name))
    for pk, reviewer, version, score in rows.values_list(*fields):
        yield pk, reviewer, version, str(score)


def compute_agreement(*, project: Project) -> AgreementReport:
    """Work out all figures of a project and put them in the place of the last ones."""
    started_at = timezone.now()
    report, _is_new = AgreementReport.objects.get_or_create(project=project, defaults={"requested_at": started_at})
    figures: list[AgreementFigure] = []
    figures += _figures(report, Measure.ACCEPT, accept_judgements(project), [YES, NO], "nominal")
    figures += _figures(report, Measure.COMPARISON, vote_judgements(project), VOTE_VALUES, "nominal")
    for name in (Measure.HELPFUL, Measure.TRUTHFUL, Measure.HARMLESS, Measure.FOLLOWS):
        figures += _figures(report, name, grade_judgements(project, name), SCORES, "ordinal")
    with transaction.atomic():
        AgreementReport.objects.select_for_update().get(pk=report.pk)  # one at a time puts its figures in
        AgreementFigure.objects.filter(report=report).delete()
        AgreementFigure.objects.bulk_create(figures, batch_size=500)
        AgreementReport.objects.filter(pk=report.pk).update(computed_at=started_at)
    report.refresh_from_db()
    return report


def _figures(
    report: AgreementReport, name: Measure, judgements: Iterable[Judgement], values: list[str], level: Level
) -> Iterable[AgreementFigure]:
    """Yield the figure of the whole project, of each person and of each version of the instructions."""
    items: Items = defaultdict(dict)
    by_version: dict[int, Items] = defaultdict(lambda: defaultdict(dict))
    for item, person, version, value in judgements:
        items[item][person] = value
        if version is not None:
            by_version[version][item][person] = value
    yield _figure(report, name, measure(items, values=values, level=level))
    people = {person for item in items.values() if len(item) > 1 for person in item}
    for pk in sorted(people):
        yield _figure(report, name, measure(items, values=values, level=level, person=pk), person_id=pk)
    for pk, part in sorted(by_version.items()):
        yield _figure(report, name, measure(part, values=values, level=level), instruction_version_id=pk)


def _figure(
    report: AgreementReport,
    name: Measure,
    found: Reliability,
    *,
    person_id: int | None = None,
    instruction_version_id: int | None = None,
) -> AgreementFigure:
    share_same, share_low, share_high = _parts(found.same)
    alpha, alpha_low, alpha_high = _parts(found.alpha)
    return AgreementFigure(
        report=report,
        measure=name,
        person_id=person_id,
        instruction_version_id=instruction_version_id,
        n_items=found.n_items,
        n_judgements=found.n_judgements,
        share_same=share_same,
        share_low=share_low,
        share_high=share_high,
        alpha=alpha,
        alpha_low=alpha_low,
        alpha_high=alpha_high,
        table={"values": found.values, "rows": found.table},
    )


def _parts(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)


def compute_due() -> int:
    """Work out what was asked for and not done, after a lost nudge or a killed worker; return for how many projects."""
    due = AgreementReport.objects.filter(Q(computed_at__isnull=True) | Q(requested_at__gt=F("computed_at")))
    reports = list(due.filter(requested_at__lt=timezone.now() - PATIENCE).select_related("project"))
    for report in reports:
        compute_agreement(project=report.project)
    return len(reports)


def compute_nightly() -> int:
    """Work out the figures of every project with a judgement since they were last worked out; return of how many."""
    n_done = 0
    for project in Project.objects.all():
        last = AgreementReport.objects.filter(project=project).values_list("computed_at", flat=True).first()
        votes = Vote.objects.filter(comparison__project=project)
        seconds = SecondReview.objects.filter(submission__project=project, is_accepted__isnull=False)
        grades = Grade.objects.filter(submission__project=project)
        if last is not None:
            grades = grades.filter(created_at__gt=last)
            votes, seconds = votes.filter(created_at__gt=last), seconds.filter(judged_at__gt=last)
        if votes.exists() or seconds.exists() or grades.exists():
            compute_agreement(project=project)
            n_done += 1
    return n_done
