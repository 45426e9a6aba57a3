import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from common.checks import Check
from common.conversations import ConversationError, Message, clean, digest
from common.states import move
from labeling.actions.errors import (
    BadConversation,
    BadReason,
    CorrectedMeanwhile,
    DuplicateExample,
    EmptyAnswer,
    HeldByOther,
    NotCorrectable,
    StaleDraft,
    UnchangedText,
    UneditedDraft,
)
from labeling.actions.example import create_example, replace_example
from labeling.actions.regression_test import (
    ProbeText,
    add_probes,
    clean_checks,
    clean_probes,
    prompts_merged_into,
    write_test,
)
from labeling.actions.webhook import announce
from labeling.models import (
    Case,
    CaseKey,
    Correction,
    Draft,
    MachineDraft,
    PreferencePair,
    Project,
    RegressionTest,
    Report,
    User,
)
from labeling.near import near_keys
from labeling.queries import current_instructions
from labeling.queries.case import case_reasons, family_of, has_live_twin, question_of, reasons_known
from labeling.states import CASE_LIVE, CASE_MOVES, CaseState, Reason, Severity, Source, WebhookEvent

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
    whatever has become of its case. A report of an output whose case was merged counts for the case that it went into.
    `reason` is the key of one of the project's reasons. A `proposal` is shown to the reviewer and corrects nothing by
    itself. An empty output is one for a detector alone. Raises BadConversation, EmptyAnswer and BadReason.
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
        if source != Source.DETECTOR:
            raise EmptyAnswer from error
        wrong_output = ""
    identity = {"project": project, "prompt_hash": digest(prompt), "output_hash": digest(wrong_output)}
    if str(reason) not in reasons_known(project):
        raise BadReason
    said = {"reason": str(reason), "comment": comment.strip(), "proposal": proposal.strip()}
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
        count_reports(case)
    return case


def count_reports(case: Case) -> None:
    """Set what the case's reports say: how many there are, and its severity where no reviewer has set it.

    A merged case's reports count for the one that it was merged into as well.
    """
    severities = {row.key: row.severity for row in case_reasons(case.project)}
    while True:
        reasons = list(Report.objects.filter(case_id__in=family_of(case)).values_list("reason", flat=True))
        case.n_reports = len(reasons)
        if not case.is_severity_set:
            case.severity = max((severities.get(each, Severity.MINOR) for each in reasons), default=Severity.MINOR)
        Case.objects.filter(pk=case.pk).update(n_reports=case.n_reports, severity=case.severity)
        if case.merged_into_id is None:
            return
        case = Case.objects.select_for_update(of=("self",)).select_related("project").get(pk=case.merged_into_id)


def _reported_before(identity: dict[str, Any], reporter: User | None, completion_key: str) -> Case | None:
    """Return the case, locked, in which this person has reported this very completion."""
    if not completion_key:
        return None
    known = Report.objects.filter(reporter=reporter, completion_key=completion_key).values("case_id")
    case = Case.objects.filter(**identity, pk__in=known).order_by("-pk").first()
    return lock_with_standing(case) if case else None


def _live_case(identity: dict[str, Any], **fields: Any) -> Case:
    """Return the live case of that identity, or one that was merged into a live one, locked; open one where there is none.

    Of two reporters at once one opens it; the other runs into the constraint `case_live_once` and joins. Where the case
    is settled in just that moment, the next turn of the loop opens a new one.
    """
    live = Case.objects.select_for_update().filter(**identity, state__in=CASE_LIVE)
    while True:
        if case := live.first() or _merged_case(identity):
            return case
        try:
            with transaction.atomic():
                case = Case.objects.create(**identity, **fields)
                keys = near_keys(question_of(case))
                CaseKey.objects.bulk_create([CaseKey(case=case, project=case.project, key=key) for key in keys])
                announce(
                    project_pk=case.project.pk,
                    event=WebhookEvent.CASE_OPENED,
                    data={"case": case.pk, "model": case.model_name},
                )
                return case
        except IntegrityError:
            continue


def _merged_case(identity: dict[str, Any]) -> Case | None:
    merged = Case.objects.filter(**identity, state=CaseState.MERGED).order_by("-pk").first()
    if merged is None:
        return None
    merged = lock_with_standing(merged)
    return merged if merged.state == CaseState.MERGED and merged.standing.state in CASE_LIVE else None


def lock_with_standing(case: Case) -> Case:
    """Return the case with all that it was merged into, locked by their keys' order, as merges lock theirs."""
    chain = [case.pk]
    while parent := Case.objects.filter(pk=chain[-1]).values_list("merged_into", flat=True).first():
        chain.append(parent)
    rows = {row.pk: row for row in Case.objects.select_for_update().filter(pk__in=chain).order_by("pk")}
    return rows[case.pk]


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

    Then come those that are assigned to them; what is assigned to somebody else is never handed out. `after` is the key
    of a case that they just left: it is offered again only when no other waits.
    """
    held = Case.objects.filter(project=project, state=CaseState.CLAIMED, leased_by=by).exclude(pk=after)
    if at_work := held.filter(lease_expires_at__gt=timezone.now()).order_by("pk").first():
        return at_work
    queue = Case.objects.filter(project=project).queue_of(by)
    mine = queue.filter(assignee=by).exclude(pk=after)
    while case := mine.first() or queue.exclude(pk=after).first() or queue.first():
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
    """Say that the output was fine; `reopen_case` takes it back. A later report of it opens a new case.

    Raises HeldByOther and NotCorrectable.
    """
    with transaction.atomic():
        row = Case.objects.select_for_update().get(pk=case.pk)
        if not is_free_for(row, by):
            raise HeldByOther
        if row.state not in (CaseState.OPEN, CaseState.CLAIMED):
            raise NotCorrectable(row)
        now = timezone.now()
        move(row, CaseState.DISMISSED, moves=CASE_MOVES, by=by, reason=reason.strip(), settled_at=now, **NO_LEASE)
        # A case that had been corrected before: its output is fine after all, so nothing may hold it for wrong.
        RegressionTest.objects.filter(case=row).update(is_active=False)
        PreferencePair.objects.filter(correction__case=row, retracted_at__isnull=True).update(retracted_at=now)
    case.refresh_from_db()


def reopen_case(*, case: Case, by: User) -> None:
    """Take a dismissal back: what it had put out of use is in use again. Raises NotCorrectable.

    A case whose output was reported again since has a successor, which carries on.
    """
    with transaction.atomic():
        row = Case.objects.select_for_update().get(pk=case.pk)
        if row.state != CaseState.DISMISSED or has_live_twin(row):
            raise NotCorrectable(row)
        pairs = PreferencePair.objects.filter(correction__case=row, retracted_at=row.settled_at)
        restored = list(pairs.values_list("correction_id", flat=True))
        PreferencePair.objects.filter(correction__in=restored).update(retracted_at=None)
        RegressionTest.objects.filter(case=row, correction__in=restored).update(is_active=True)
        move(row, CaseState.OPEN, moves=CASE_MOVES, by=by, settled_at=None)
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
    seen: int | None = None,
    machine_draft: MachineDraft | None = None,
    is_confirmed: bool = False,
) -> Correction:
    """Overwrite the wrong output: correction, example, preference pair and regression test, in one transaction.

    The case is claimed on the way where nobody holds it; `by` None stands for the system, which imports. A probe is a
    paraphrase of the last turn, or a whole prompt. A second correction of the case takes the place of the first: its
    test is replaced, its example and pair are retracted. Where another case has led to exactly this conversation, that
    example serves both. A probe of another test that is now trained on is held out no longer. The prompts of cases that
    were merged into this one become probes of it.

    `seen` is the key of the correction that the person saw as the last one, 0 for none, None for a caller that looks at
    nothing. `machine_draft` is the draft that the text began as; unchanged, it takes `is_confirmed`.

    Raises BadConversation (no text), UnchangedText, UneditedDraft, BadCheck, BadProbe, HeldByOther, NotCorrectable and
    CorrectedMeanwhile.
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
        machine_draft, is_edited = _provenance(row, text, machine_draft)
        if machine_draft is not None and not is_edited and not is_confirmed:
            raise UneditedDraft
        rules = clean_checks(checks, correction=text)
        prompts = clean_probes(probes, case=row)
        former = list(row.corrections.order_by("pk"))
        if seen is not None and seen != (former[-1].pk if former else 0):
            raise CorrectedMeanwhile(row)
        _claim(row, by)
        instructions = current_instructions(row.project)
        correction = Correction.objects.create(
            case=row,
            author=by,
            instruction_version=instructions,
            text=text,
            note=note.strip(),
            machine_draft=machine_draft,
            drafted_by=machine_draft.model_name if machine_draft else "",
            is_draft_edited=is_edited,
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
        if row.wrong_output:  # saying nothing is no answer to learn a preference from
            PreferencePair.objects.create(
                project=row.project,
                correction=correction,
                messages=row.messages,
                chosen=text,
                rejected=row.wrong_output,
            )
        write_test(case=row, correction=correction, checks=rules, probes=prompts)
        add_probes(test=row.test, prompts=prompts_merged_into(row))
        move(row, CaseState.CORRECTED, moves=CASE_MOVES, by=by, reason=note.strip(), **NO_LEASE)
        if by is not None:
            row.drafts.filter(user=by).delete()
    case.refresh_from_db()
    return correction


def _provenance(case: Case, text: str, draft: MachineDraft | None) -> tuple[MachineDraft | None, bool]:
    """Return the machine's draft behind a text and whether a person changed it. A pasted draft counts as one, named or not."""
    if draft is not None and draft.case_id != case.pk:
        draft = None
    for each in case.machine_drafts.order_by("-pk"):
        if each.text.split() == text.split():
            return each, False
    return draft, draft is not None
