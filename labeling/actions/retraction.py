"""Taking texts out of all later training, and back in."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from common.states import record
from labeling.actions.errors import CommentNeeded, NotAllowed
from labeling.models import Correction, Example, PreferencePair, Project, RegressionTest, Retraction, User
from labeling.queries.retraction import batches, pairs_judged_by, pairs_with, tests_with, work_of
from labeling.states import CaseState, ComparisonState

AWAY = (CaseState.DISMISSED, CaseState.MERGED)  # whose pairs and tests stay out


def retract_example(*, example: Example, by: User | None, reason: str) -> Retraction:
    """Take an example out of all later dataset versions, with the preference pairs and tests of the same text.

    Raises CommentNeeded without a reason and NotAllowed when it has been retracted. What was frozen before stays.
    """
    with transaction.atomic():
        rows = list(Example.objects.select_for_update().trainable().filter(pk=example.pk))
        retraction = _retract(project=example.project, examples=rows, pairs=[], person=None, by=by, reason=reason)
    example.refresh_from_db()
    return retraction


def retract_person(*, project: Project, person: User, by: User | None, reason: str) -> Retraction:
    """Take all work of a person out of all later dataset versions: their examples, the pairs that rest on their votes or
    answers, the tests and probes of their corrections.

    Raises CommentNeeded without a reason and NotAllowed when nothing of theirs is in use.
    """
    with transaction.atomic():
        pks = work_of(project, person).trainable().values_list("pk", flat=True)
        rows = [
            row for some in batches(pks) for row in Example.objects.select_for_update().trainable().filter(pk__in=some)
        ]
        pairs = pairs_judged_by(project, person)
        return _retract(project=project, examples=rows, pairs=pairs, person=person, by=by, reason=reason)


def undo_retraction(*, retraction: Retraction, by: User | None) -> int:
    """Bring back into use what the retraction took out; return how many examples came back.

    What has been replaced since stays out: an example whose text was accepted anew, a correction that was overwritten.
    Raises NotAllowed the second time.
    """
    now = timezone.now()
    with transaction.atomic():
        if not Retraction.objects.filter(pk=retraction.pk, undone_at=None).update(undone_at=now, undone_by=by):
            raise NotAllowed
        gone = retraction.examples.filter(retracted_at__isnull=False)
        back = [row for some in batches(gone.order_by("pk")) for row in _not_replaced(retraction.project, some)]
        for some in batches([row.pk for row in back]):
            Example.objects.filter(pk__in=some).update(retracted_at=None)
        _pairs_that_stand(retraction).update(retracted_at=None)
        _tests_that_stand(retraction).update(is_active=True)
        for row in back:
            record(row, before="retracted", after="accepted", by=by)
        record(retraction, what="retraction", before="retracted", after=f"undone: {len(back)} examples", by=by)
    retraction.refresh_from_db()
    return len(back)


def _retract(
    *,
    project: Project,
    examples: Sequence[Example],
    pairs: Sequence[int],
    person: User | None,
    by: User | None,
    reason: str,
) -> Retraction:
    if not reason.strip():
        raise CommentNeeded
    if not examples and not pairs:
        raise NotAllowed
    now = timezone.now()
    retraction = Retraction.objects.create(project=project, person=person, reason=reason.strip(), by=by)
    out = {"retracted_at": now, "retraction": retraction}
    all_pairs = sorted({*pairs, *pairs_with(project, examples)})
    tests = tests_with(project, examples)
    for some in batches([row.pk for row in examples]):
        Example.objects.filter(pk__in=some).update(**out)
    for some in batches(all_pairs):
        PreferencePair.objects.filter(pk__in=some).update(**out)
    for some in batches(tests):
        RegressionTest.objects.filter(pk__in=some).update(is_active=False, retraction=retraction)
    for row in examples:
        record(row, before="accepted", after="retracted", by=by, reason=retraction.reason)
    if person is not None:
        after = f"{len(examples)} examples and {len(all_pairs)} pairs of {person}"
        record(retraction, what="retraction", after=after, by=by, reason=retraction.reason)
    return retraction


def _not_replaced(project: Project, rows: Sequence[Example]) -> list[Example]:
    """Return the examples that may come back: no other of the same text is in use, no later correction of the case."""
    same = Example.objects.trainable().filter(project=project, content_hash__in=[row.content_hash for row in rows])
    taken = set(same.values_list("content_hash", flat=True))
    corrections = [row.correction_id for row in rows if row.correction_id]
    overwritten = set(Correction.objects.filter(_has_later(), pk__in=corrections).values_list("pk", flat=True))
    return [row for row in rows if row.content_hash not in taken and row.correction_id not in overwritten]


def _has_later(correction: str = "") -> Exists:
    """Whether the case has a correction after this one. `correction` is where the row has it, "" for a correction itself."""
    at = f"{correction}__" if correction else ""
    return Exists(Correction.objects.filter(case=OuterRef(f"{at}case"), pk__gt=OuterRef(f"{at}pk")))


def _pairs_that_stand(retraction: Retraction) -> "QuerySet[PreferencePair]":
    gone = Q(correction__case__state__in=AWAY) | Q(comparison__state=ComparisonState.RETIRED)
    pairs = retraction.pairs.exclude(pk__in=retraction.pairs.filter(gone).values("pk"))
    return pairs.exclude(_has_later("correction"))


def _tests_that_stand(retraction: Retraction) -> "QuerySet[RegressionTest]":
    return retraction.tests.exclude(case__state__in=AWAY)
