"""The detectors at work: finished answers are looked at once, and what is wrong with them is reported."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Case as Choose
from django.db.models import Count, F, OuterRef, Subquery, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _

from common.conversations import ConversationError, clean, digest
from common.states import record
from deployment.detectors import Answer, KnownCase, Rules, find_faults, find_known
from deployment.models import Completion, Detection, DetectorSettings
from deployment.states import SAMPLERS, CompletionState, Detector
from labeling.actions.case import report_output
from labeling.actions.errors import LabelingError
from labeling.models import Case, CaseKey, Correction, Project, Report, User
from labeling.near import near_keys
from labeling.queries.case import question_of
from labeling.states import CASE_LIVE, CaseState, Reason, Source

logger = logging.getLogger(__name__)

BATCH = 100
MOST_BATCHES = 50  # of one run; the next sweep goes on
N_COMPARED = 300  # earlier cases that one batch is compared with
REASONS = {
    Detector.LOOP: Reason.UNHELPFUL,
    Detector.NO_STOP: Reason.UNHELPFUL,
    Detector.EMPTY: Reason.UNHELPFUL,
    Detector.REFUSAL: Reason.REFUSED,
    Detector.LANGUAGE: Reason.OFF_INSTRUCTION,
    Detector.PERSONAL: Reason.HARMFUL,
    Detector.CAME_BACK: Reason.WRONG,
    Detector.RULES: Reason.OFF_INSTRUCTION,
}
SETTLED = (CaseState.CORRECTED, CaseState.IN_TRAINING, CaseState.FIXED, CaseState.NOT_FIXED)


def examine_answers() -> int:
    """Look at the finished answers that nobody has looked at, in batches. Returns how many they were."""
    n = 0
    for _number in range(MOST_BATCHES):
        rows = list(Completion.objects.to_examine().select_related("project")[:BATCH])
        for project in {row.project for row in rows}:
            _examine([row for row in rows if row.project_id == project.pk], project)
        n += len(rows)
        if len(rows) < BATCH:
            break
    return n


def change_detectors(*, project: Project, by: User | None = None, **fields: object) -> DetectorSettings:
    """Set which detectors are `off`, the rules, and how many cases they may open in a day. Holds for answers to come."""
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        before = DetectorSettings.of(project).on
        row, _is_new = DetectorSettings.objects.update_or_create(project=project, defaults=fields)
        record(row, what="detectors", before=", ".join(before), after=", ".join(row.on), by=by, project_pk=project.pk)
    return row


def _examine(rows: Sequence[Completion], project: Project) -> None:
    """Look first, without a lock; then report and mark in one transaction what no other worker has taken meanwhile."""
    settings = DetectorSettings.of(project)
    rules = Rules(
        [word.strip() for word in settings.forbidden_words.splitlines() if word.strip()],
        settings.forbidden_pattern,
        settings.must_be_json,
    )
    done = [row for row in rows if row.state == CompletionState.DONE and row.messages]
    answers = {row.pk: _answer_of(row) for row in done}
    cases = known_cases(project, answers.values())
    known = {pk: find_known(answer, cases) for pk, answer in answers.items()}
    found = {pk: find_faults(answers[pk], wanted=settings.on, known=known[pk], rules=rules) for pk in answers}
    with transaction.atomic():
        can_skip = connection.features.has_select_for_update_skip_locked
        free = Completion.objects.select_for_update(skip_locked=can_skip)
        pks = set(free.filter(pk__in=[row.pk for row in rows], is_examined=False).values_list("pk", flat=True))
        keys = [row.key for row in done]
        reported = set(Report.objects.filter(completion_key__in=keys).values_list("completion_key", flat=True))
        since = timezone.now() - timedelta(days=1)
        found_today = Detection.objects.filter(project=project, has_opened=True, created_at__gte=since)
        n_opened = found_today.exclude(detector__in=SAMPLERS).aggregate(n=Count("case", distinct=True))["n"]
        opened: list[KnownCase] = []
        for row in done:
            if row.pk in pks and found[row.pk] and row.key not in reported:
                near = [*find_known(answers[row.pk], opened), *known[row.pk]]
                is_full = n_opened + len(opened) >= settings.max_cases_per_day
                if case := _report(row, found[row.pk], near, is_full=is_full):
                    opened.append(KnownCase(case.pk, question_of(case), case.wrong_output, is_live=True))
        _count_asked(project, [row for row in done if row.pk in pks])
        Completion.objects.filter(pk__in=pks).update(is_examined=True)


def _report(row: Completion, found: dict[Detector, str], known: Sequence[KnownCase], *, is_full: bool) -> Case | None:
    """Report the answer to the live case that it is an instance of, or open one. Returns the case that was opened.

    What a reviewer has called fine is left, and so is what would open more cases than a day may bring.
    """
    live = next((case for case in known if case.is_live), None)
    if live is None and (is_full or any(case.is_dismissed for case in known)):
        return None
    case = Case.objects.get(pk=live.pk) if live else None
    names = ", ".join(f"{each.label}: {words[:100]}" for each, words in found.items())
    try:
        joined = report_output(
            project=row.project,
            messages=case.messages if case else row.messages,
            wrong_output=case.wrong_output if case else row.response,
            model_name=row.model_name,
            reason=REASONS[next(iter(found))],
            comment=_("Detector: %(names)s") % {"names": names},
            source=Source.DETECTOR,
            completion_key=row.key,
        )
    except LabelingError as error:  # such as a prompt that nobody could be taught with
        logger.info("%s is not reported: %s", row.key, error)
        return None
    Completion.objects.filter(pk=row.pk, case=None).update(case=joined)
    has_opened = joined.source == Source.DETECTOR and joined.n_reports == 1
    Detection.objects.bulk_create(
        [
            Detection(project=row.project, completion=row, case=joined, detector=each, has_opened=has_opened)
            for each in found
        ]
    )
    return joined if has_opened else None


def known_cases(project: Project, answers: Iterable[Answer]) -> list[KnownCase]:
    """Return the cases to whose prompts those of the answers may be nearly equal, the newest first."""
    keys = {key for answer in answers for key in near_keys(answer.question)}
    states = [*CASE_LIVE, CaseState.FIXED, CaseState.DISMISSED]
    near = CaseKey.objects.filter(project=project, key__in=keys).values("case_id")
    text = Correction.objects.filter(case=OuterRef("pk")).order_by("-pk").values("text")[:1]
    rows = Case.objects.filter(pk__in=near, state__in=states).annotate(correction_text=Subquery(text))
    return [
        KnownCase(
            pk=case.pk,
            question=question_of(case),
            wrong_output=case.wrong_output,
            correction=case.correction_text or "",
            is_settled=case.state in SETTLED,
            is_live=case.state in CASE_LIVE,
            is_dismissed=case.state == CaseState.DISMISSED,
        )
        for case in rows.order_by("-pk")[:N_COMPARED]
    ]


def _count_asked(project: Project, rows: Sequence[Completion]) -> None:
    """Add to each case how often its prompt was asked, in one statement."""
    asked: Counter[str] = Counter()
    for row in rows:
        try:
            asked[digest(clean(row.messages, ends_with="user"))] += 1
        except ConversationError:
            continue
    if asked:
        times = [When(prompt_hash=prompt, then=Value(n)) for prompt, n in asked.items()]
        cases = Case.objects.filter(project=project, prompt_hash__in=list(asked))
        cases.update(n_seen=F("n_seen") + Choose(*times, default=Value(0)))


def _answer_of(row: Completion) -> Answer:
    limit = row.parameters.get("max_tokens") or row.parameters.get("max_completion_tokens")
    return Answer(row.messages, row.response, row.finish_reason, limit if isinstance(limit, int) else None)
