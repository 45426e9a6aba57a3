import itertools

import pytest

from common.models import Transition
from common.states import IllegalMove, StaleState, move
from labeling.models import Case, Submission, Task
from labeling.states import CASE_MOVES, SUBMISSION_MOVES, TASK_MOVES, CaseState, SubmissionState, TaskState
from tests.factories import CaseFactory, JobFactory, SubmissionFactory, TaskFactory
from training.states import JOB_MOVES, JobState

MACHINES = [
    (TaskFactory, TaskState, TASK_MOVES, {TaskState.LEASED}),
    (SubmissionFactory, SubmissionState, SUBMISSION_MOVES, set()),
    (CaseFactory, CaseState, CASE_MOVES, set()),
    (JobFactory, JobState, JOB_MOVES, set()),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("factory", "states", "moves", "skipped"), MACHINES)
def test_exactly_the_moves_of_the_table_are_legal(factory, states, moves, skipped) -> None:
    row = factory()
    for before, after in itertools.product(set(states) - skipped, repeat=2):
        if after in skipped:
            continue
        type(row).objects.filter(pk=row.pk).update(state=before)
        row.refresh_from_db()
        if after in moves.get(before, ()):
            move(row, after, moves=moves)
            assert type(row).objects.get(pk=row.pk).state == after
        else:
            with pytest.raises(IllegalMove):
                move(row, after, moves=moves)
            assert type(row).objects.get(pk=row.pk).state == before


@pytest.mark.django_db
def test_of_two_stale_holders_one_moves_the_row() -> None:
    row = CaseFactory()
    first, second = Case.objects.get(pk=row.pk), Case.objects.get(pk=row.pk)
    move(first, CaseState.CLAIMED, moves=CASE_MOVES, severity=3)
    with pytest.raises(StaleState):
        move(second, CaseState.DISMISSED, moves=CASE_MOVES)
    row.refresh_from_db()
    assert (row.state, row.severity) == (CaseState.CLAIMED, 3)
    assert [(t.before, t.after) for t in Transition.objects.all()] == [("open", "claimed")]


@pytest.mark.django_db
def test_the_history_names_the_person_and_the_reason(alice) -> None:
    case = CaseFactory()
    move(case, CaseState.DISMISSED, moves=CASE_MOVES, by=alice, reason="fine as it is")
    row = Transition.objects.of(case).get()
    assert (row.by_name, row.by_pk, row.reason) == ("Alice", alice.pk, "fine as it is")
    with pytest.raises(ValueError, match="never changed"):
        row.save()
    assert Submission.objects.count() == Task.objects.count() == 0
