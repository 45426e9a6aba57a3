import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from common.checks import Check
from common.conversations import ConversationError, Message, clean, digest
from common.states import StaleState, move
from labeling.actions.errors import (
    BadConversation,
    DuplicateExample,
    EmptyAnswer,
    HeldByOther,
    NotCorrectable,
    StaleDraft,
    UnchangedText,
)
from labeling.actions.example import create_example, replace_example
from labeling.actions.regression_test import ProbeText, clean_checks, clean_probes, write_test
from labeling.models import Case, Correction, Draft, PreferencePair, Project, RegressionTest, Report, User
from labeling.queries import current_instructions
from labeling.states import CASE_LIVE, CASE_MOVES, CaseState, Reason, Source

SEVERITY = {Reason.HARMFUL: 3, Reason.WRONG: 2}
NO_LEASE: dict[str, Any] = {"leased_by": None, "lease_token": None, "lease_expires_at": None}


def report_output(
    *,
    project: Project,
    messages: Sequence[Message],
    wrong_output: str,
    model_name: str,
    reason: Reason | str,
    comment: str = "",
    reporter: User | None = None,
    source: Source | str,
    completion_key: str = "",
    proposal: str = "",
) -> Case:
    """Open a case for a wrong output, or join the live one of the same output to the same prompt.

    `messages` is the prompt. A person who reports the same completion again changes their report instead of adding one,
    whatever has become of its case. A `proposal` is shown to the reviewer and corrects nothing by itself. Raises
    BadConversation and EmptyAnswer.
    """
    try:
        prompt = clean(list(messages), ends_with="user")
    except ConversationError as error:
        raise BadConversation(error.code) from error
    try:
        wrong_output = clean([*prompt, {"role": "assistant", "content": wrong_output}], ends_with="assistant")[-1][
            "content"
        ]
    except ConversationError as error:
        raise EmptyAnswer from error
    identity = {"project": project, "prompt_hash": digest(prompt), "output_hash": digest(wrong_output)}
    said = {"reason": Reason(reason), "comment": comment.strip(), "proposal": proposal.strip()}
    with transaction.atomic():
        case = _reported_before(identity, reporter, completion_key) or _live_case(
            identity, messages=prompt, wrong_output=wrong_output, model_name=model_name, source=Source(source)
        )
        known = case.reports.filter(reporter=reporter, completion_key=completion_key)
        if reporter is None and not completion_key:
            known = known.none()
        if not known.update(**said):
            Report.objects.create(
                case=case, reporter=reporter, completion_key=completion_key, source=Source(source), **said
            )
        reasons = case.reports.values_list("reason", flat=True)
        case.n_reports, case.severity = len(reasons), max(SEVERITY.get(Reason(each), 1) for each in reasons)
        Case.objects.filter(pk=case.pk).update(n_reports=case.n_reports, severity=case.severity)
    return case


def _reported_before(identity: dict[str, Any], reporter: User | None, completion_key: str) -> Case | None:
    """Return the case, locked, in which this person has reported this very completion."""
    if not completion_key:
        return None
    known = Report.objects.filter(reporter=reporter, completion_key=completion_key).values("case_id")
    return Case.objects.select_for_update().filter(**identity, pk__in=known).order_by("-pk").first()


def _live_case(identity: dict[str, Any], **fields: Any) -> Case:
    """Return the live case of that identity, locked; open one where there is none.

    Of two reporters at once one opens it; the other runs into the constraint `case_live_once` and joins. Where the case
    is settled in just that moment, the next turn of the loop opens a new one.
    """
    live = Case.objects.select_for_update().filter(**identity, state__in=CASE_LIVE)
    while True:
        if case := live.first():
            return case
        try:
            with transaction.atomic():
                return Case.objects.create(**identity, **fields)
        except IntegrityError:
            continue


def is_free_for(case: Case, by: User | None) -> bool:
    """Whether nobody else's lease on the case runs. None stands for the system, which holds no lease."""
    if by is None:
        return case.leased_by_id is None or case.lease_expires_at is None or case.lease_expires_at <= timezone.now()
    return not case.is_held_by_other(by)


def claim_case(*, case: Case, by: User | None) -> None:
    """Take a case for correction, or prolong one's own claim. `case` carries the new values.

    Raises HeldByOther, and NotCorrectable when the case does not wait for a correction.
    """
    with transaction.atomic():
        _claim(Case.objects.select_for_update().get(pk=case.pk), by)
    case.refresh_from_db()


def _claim(row: Case, by: User | None) -> None:
    """Claim a case that the caller has locked."""
    if not row.can_be_corrected:
        raise NotCorrectable(row)
    if not is_free_for(row, by):
        raise HeldByOther
    lease = NO_LEASE
    if by is not None:
        expires_at = timezone.now() + timedelta(minutes=row.project.lease_minutes)
        lease = {"leased_by": by, "lease_token": uuid.uuid4(), "lease_expires_at": expires_at}
    if row.state == CaseState.CLAIMED:
        Case.objects.filter(pk=row.pk).update(**lease)
    else:
        move(row, CaseState.CLAIMED, moves=CASE_MOVES, by=by, **lease)


def take_case(*, project: Project, by: User, after: int = 0) -> Case | None:
    """Claim the first case of the queue that is free, None where nothing waits. A case that the person holds comes first.

    `after` is the key of a case that they just left: it is offered again only when no other waits.
    """
    held = Case.objects.filter(project=project, state=CaseState.CLAIMED, leased_by=by).exclude(pk=after)
    if mine := held.filter(lease_expires_at__gt=timezone.now()).order_by("pk").first():
        return mine
    queue = Case.objects.filter(project=project).to_correct().free_for(by)
    while case := queue.exclude(pk=after).first() or queue.first():
        try:
            claim_case(case=case, by=by)
        except (HeldByOther, NotCorrectable):
            continue
        return case
    return None


def release_case(*, case: Case, by: User) -> None:
    """Give a claimed case back to the queue; the draft stays. Raises HeldByOther and NotCorrectable."""
    with transaction.atomic():
        row = Case.objects.select_for_update().get(pk=case.pk)
        if not is_free_for(row, by):
            raise HeldByOther
        if row.state != CaseState.CLAIMED:
            raise NotCorrectable(row)
        move(row, CaseState.OPEN, moves=CASE_MOVES, by=by, **NO_LEASE)
    case.refresh_from_db()


def dismiss_case(*, case: Case, by: User, reason: str = "") -> None:
    """Say that the output was fine. A later report of it opens a new case. Raises HeldByOther and NotCorrectable."""
    with transaction.atomic():
        row = Case.objects.select_for_update().get(pk=case.pk)
        if not is_free_for(row, by):
            raise HeldByOther
        if row.state not in (CaseState.OPEN, CaseState.CLAIMED):
            raise NotCorrectable(row)
        move(
            row,
            CaseState.DISMISSED,
            moves=CASE_MOVES,
            by=by,
            reason=reason.strip(),
            settled_at=timezone.now(),
            **NO_LEASE,
        )
        row.drafts.filter(user=by).delete()
        # A case that had been corrected before: its output is fine after all, so nothing may hold it for wrong.
        RegressionTest.objects.filter(case=row).update(is_active=False)
        PreferencePair.objects.filter(correction__case=row, retracted_at__isnull=True).update(
            retracted_at=timezone.now()
        )
    case.refresh_from_db()


def save_case_draft(*, case: Case, by: User, content: dict[str, Any], revision: int) -> Draft:
    """Keep an unfinished correction as it is and prolong the person's claim.

    `content` holds text, note, checks and probes as typed; `revision` is that of the draft the person started from, 0 for
    none. Raises HeldByOther and NotCorrectable when the case is not theirs any more, after keeping the text, and
    StaleDraft when another window saved another text since.
    """
    with transaction.atomic():
        Case.objects.select_for_update().get(pk=case.pk)
        draft = Draft.objects.filter(case=case, user=by).first()
        if draft is None:
            version = current_instructions(case.project)
            draft = Draft(case=case, user=by, instruction_version=version)
        elif draft.revision != revision and draft.content != content:
            raise StaleDraft(draft)
        draft.content, draft.revision = content, draft.revision + 1
        draft.save()
    claim_case(case=case, by=by)
    return draft


def correct_case(
    *,
    case: Case,
    text: str,
    by: User | None,
    note: str = "",
    checks: Iterable[Check] = (),
    probes: Iterable[ProbeText] = (),
) -> Correction:
    """Overwrite the wrong output: correction, example, preference pair and regression test, in one transaction.

    The case is claimed on the way where nobody holds it; `by` None stands for the system, which imports. A probe is a
    paraphrase of the last turn, or a whole prompt. A second correction of the case takes the place of the first: its
    test is replaced, its example and pair are retracted. Where another case has led to exactly this conversation, that
    example serves both. A probe of another test that is now trained on is held out no longer.

    Raises BadConversation (no text), UnchangedText, BadCheck, BadProbe, HeldByOther and NotCorrectable.
    """
    with transaction.atomic():
        row = Case.objects.select_for_update(of=("self",)).select_related("project").get(pk=case.pk)
        try:
            messages = clean([*row.messages, {"role": "assistant", "content": text}], ends_with="assistant")
        except ConversationError as error:
            raise BadConversation(error.code) from error
        text = messages[-1]["content"]
        if text.split() == row.wrong_output.split():
            raise UnchangedText
        rules = clean_checks(checks, correction=text)
        prompts = clean_probes(probes, case=row)
        _claim(row, by)
        instructions = current_instructions(row.project)
        former = list(row.corrections.all())
        correction = Correction.objects.create(
            case=row, author=by, instruction_version=instructions, text=text, note=note.strip()
        )
        for earlier in former:
            replace_example(correction=earlier)
        with suppress(DuplicateExample):
            create_example(
                project=row.project,
                messages=messages,
                origin=correction,
                author=by,
                accepted_by=by,
                instruction_version=instructions,
            )
        PreferencePair.objects.create(
            project=row.project, correction=correction, messages=row.messages, chosen=text, rejected=row.wrong_output
        )
        write_test(case=row, correction=correction, checks=rules, probes=prompts)
        move(row, CaseState.CORRECTED, moves=CASE_MOVES, by=by, reason=note.strip(), **NO_LEASE)
        if by is not None:
            row.drafts.filter(user=by).delete()
    case.refresh_from_db()
    return correction


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
            if row.state == CaseState.FIXED and _has_live_twin(row):
                Case.objects.filter(pk=row.pk).update(tested_in=model_name)
            else:
                if row.state == CaseState.NOT_FIXED:
                    move(row, CaseState.IN_TRAINING, moves=CASE_MOVES, reason=model_name)
                move(row, verdict, moves=CASE_MOVES, reason=model_name, **tested)
    case.refresh_from_db()


def _has_live_twin(case: Case) -> bool:
    same = Q(project_id=case.project_id, prompt_hash=case.prompt_hash, output_hash=case.output_hash)
    return Case.objects.filter(same, state__in=CASE_LIVE).exclude(pk=case.pk).exists()
