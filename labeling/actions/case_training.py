"""What training and deployment make of corrected cases."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone

from common.states import StaleState, move
from labeling.actions.webhook import announce
from labeling.models import Case
from labeling.queries.case import has_live_twin
from labeling.states import CASE_MOVES, CaseState, WebhookEvent


def start_training(*, cases: Iterable[Case]) -> None:
    """Mark the corrected and the not fixed ones among the cases as in training; the others keep their state."""
    _move_each(cases, {CaseState.CORRECTED, CaseState.NOT_FIXED}, CaseState.IN_TRAINING)


def return_from_training(*, cases: Iterable[Case]) -> None:
    """Take cases back to corrected after a job that failed or was cancelled."""
    _move_each(cases, {CaseState.IN_TRAINING}, CaseState.CORRECTED)


def _move_each(cases: Iterable[Case], before: set[CaseState], after: CaseState) -> None:
    with transaction.atomic():
        for case in cases:
            if case.state not in before:
                continue
            try:
                move(case, after, moves=CASE_MOVES)
            except StaleState:  # somebody took it up in between
                case.refresh_from_db()


def settle_case(*, case: Case, is_fixed: bool, model_name: str) -> None:
    """Say of a case how the deployed model answers it now.

    In training → fixed or not fixed; fixed → not fixed when a later model fails it, and back. A case that is open,
    claimed, corrected or dismissed keeps its state: what would speak of it has not been trained yet. A fixed case whose
    output was reported anew keeps it too: the live case of the same output carries on.
    """
    with transaction.atomic():
        row = Case.objects.select_for_update().get(pk=case.pk)
        verdict = CaseState.FIXED if is_fixed else CaseState.NOT_FIXED
        tested: dict[str, Any] = {"tested_in": model_name}
        if row.state == verdict:
            Case.objects.filter(pk=row.pk).update(**tested)
        elif row.state in (CaseState.IN_TRAINING, CaseState.FIXED, CaseState.NOT_FIXED):
            tested |= {"settled_at": timezone.now(), "fixed_in": model_name if is_fixed else ""}
            if row.state == CaseState.FIXED and has_live_twin(row):
                Case.objects.filter(pk=row.pk).update(tested_in=model_name)
            else:
                if row.state == CaseState.NOT_FIXED:
                    move(row, CaseState.IN_TRAINING, moves=CASE_MOVES, reason=model_name)
                move(row, verdict, moves=CASE_MOVES, reason=model_name, **tested)
                if is_fixed:
                    data = {"case": row.pk, "model": model_name}
                    announce(project_pk=row.project_id, event=WebhookEvent.CASE_FIXED, data=data)
    case.refresh_from_db()
