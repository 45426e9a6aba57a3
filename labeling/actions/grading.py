"""Blind grades for gold work, and what follows from them: qualified, another attempt, or a pause."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from common.states import move, record
from labeling.actions.errors import AlreadyGraded, CommentNeeded, HeldByOther, NotAllowed, OwnWork
from labeling.actions.people import pause_member
from labeling.models import GoldCopy, Grade, Membership, Project, Submission, User
from labeling.models.qualification import RUBRIC
from labeling.queries.gold import FALLING_WINDOW, mean_of, scored_copies
from labeling.states import SUBMISSION_MOVES, Qualification, Role, SubmissionState

NO_LEASE: dict[str, Any] = {"leased_by": None, "lease_token": None, "lease_expires_at": None}


def take_to_grade(*, project: Project, reviewer: User, after: int = 0) -> Submission | None:
    """Lease the oldest gold work that this person may grade, None where nothing waits. One that they hold comes first.

    `after` is the key of one that they left: younger ones come before it.
    """
    rows = Submission.objects.filter(project=project).gradable_by(reviewer)
    held = rows.filter(leased_by=reviewer, lease_expires_at__gt=timezone.now()).exclude(pk=after)
    while row := held.first() or rows.filter(pk__gt=after).first() or rows.first():
        if hold_to_grade(submission=row, reviewer=reviewer):
            return row
    return None


def hold_to_grade(*, submission: Submission, reviewer: User) -> bool:
    """Lease one piece of gold work; False where it cannot be theirs now."""
    lease = {
        "leased_by": reviewer,
        "lease_token": uuid.uuid4(),
        "lease_expires_at": timezone.now() + timedelta(minutes=submission.project.lease_minutes),
    }
    return bool(Submission.objects.gradable_by(reviewer).filter(pk=submission.pk).order_by().update(**lease))


def leave_ungraded(*, submission: Submission, by: User) -> None:
    """Give the work back to the others. Without effect where somebody else holds it."""
    Submission.objects.filter(pk=submission.pk, leased_by=by).update(**NO_LEASE)


def grade_submission(*, submission: Submission, scores: Mapping[str, int], comment: str = "", by: User) -> Grade:
    """Grade gold work by the rubric (`scores`: helpful, truthful, harmless, follows; 1 to 7 each).

    With the last grade that the project asks for, the work is graded, and the person's qualification and standing are
    settled in the same transaction. Raises OwnWork, HeldByOther, AlreadyGraded, and CommentNeeded for a mean below the
    threshold: the person has to be told why.
    """
    comment = comment.strip()
    if submission.author_id == by.pk:
        raise OwnWork
    with transaction.atomic():
        row = Submission.objects.select_for_update(of=("self",)).select_related("project").get(pk=submission.pk)
        if not row.is_gold or row.state != SubmissionState.SUBMITTED or row.grades.filter(reviewer=by).exists():
            raise AlreadyGraded
        if row.is_held_by_other(by):
            raise HeldByOther
        grade = Grade(submission=row, reviewer=by, comment=comment, **{name: scores[name] for name in RUBRIC})
        if grade.mean < row.project.qualification_threshold and not comment:
            raise CommentNeeded(_("The mean is below the threshold. Say why: the person reads it and learns from it."))
        grade.save()
        record(row, what="grade", after=" ".join(str(scores[name]) for name in RUBRIC), by=by, reason=comment)
        if row.grades.count() < row.project.n_graders:
            Submission.objects.filter(pk=row.pk).update(**NO_LEASE)
            return grade
        move(row, SubmissionState.GRADED, moves=SUBMISSION_MOVES, by=by, **NO_LEASE)
        _settle(row)
    return grade


def _settle(submission: Submission) -> None:
    """Draw the consequences of work that has just been graded."""
    copy = GoldCopy.objects.filter(task_id=submission.task_id).first()
    if copy is None:
        return
    member = Membership.objects.select_for_update(of=("self",)).select_related("project").get(pk=copy.membership_id)
    if copy.attempt:
        if copy.attempt == member.qualification_attempt and member.qualification == Qualification.IN_PROGRESS:
            _settle_attempt(member)
    elif member.project.pauses_below_threshold and member.is_active:
        _settle_standing(member, copy)


def _settle_attempt(member: Membership) -> None:
    project = member.project
    scores = [row.score for row in scored_copies(member).filter(attempt=member.qualification_attempt)]
    if len(scores) < project.n_qualification:
        return
    mean = mean_of(scores)
    words = {"mean": f"{mean:.1f}", "needed": f"{project.qualification_threshold:.1f}"}
    if mean >= project.qualification_threshold:
        _set(member, Qualification.QUALIFIED, reason=f"mean {words['mean']}")
        return
    _set(member, Qualification.FAILED, reason=f"mean {words['mean']}, needed {words['needed']}")
    if not may_retry(member) and member.is_active:
        reason = _("The qualification was not passed: a mean score of %(mean)s, where %(needed)s are needed.") % words
        pause_member(membership=member, by=None, reason=reason)


def _settle_standing(member: Membership, latest: GoldCopy) -> None:
    """Pause whom this grade took below the threshold. Who was below it before and was resumed is not paused again."""
    window = member.project.n_qualification or FALLING_WINDOW
    rows = [(row.pk, row.score) for row in scored_copies(member)[: window + 1]]
    now = [score for _pk, score in rows[:window]]
    before = [score for pk, score in rows if pk != latest.pk][:window]
    threshold = member.project.qualification_threshold
    if len(now) == window and mean_of(now) < threshold and (len(before) < window or mean_of(before) >= threshold):
        reason = _("The mean score of the last %(n)d graded answers is %(mean)s, where %(needed)s are needed.")
        words = {"n": window, "mean": f"{mean_of(now):.1f}", "needed": f"{threshold:.1f}"}
        pause_member(membership=member, by=None, reason=reason % words)


def may_retry(member: Membership) -> bool:
    """Whether the project allows a person who did not pass one more attempt."""
    return member.qualification == Qualification.FAILED and member.qualification_attempt <= member.project.n_retries


def retry_qualification(*, membership: Membership) -> None:
    """Begin the next attempt, with other gold tasks. Raises NotAllowed when there is none left."""
    if not may_retry(membership) or not membership.is_active:
        raise NotAllowed(_("There is no further attempt. Ask an admin of the project."))
    _set(
        membership,
        Qualification.IN_PROGRESS,
        by=membership.user,
        qualification_attempt=membership.qualification_attempt + 1,
    )


def decide_qualification(*, membership: Membership, qualification: Qualification, by: User, reason: str = "") -> None:
    """An admin's word: qualified, not needed, or one more attempt. Raises NotAllowed for anybody but a contractor."""
    if membership.role != Role.CONTRACTOR or qualification == Qualification.FAILED:
        raise NotAllowed
    fields: dict[str, Any] = {}
    if qualification == Qualification.IN_PROGRESS:
        if membership.qualification == Qualification.IN_PROGRESS or not membership.project.n_qualification:
            raise NotAllowed
        fields = {"qualification_attempt": membership.qualification_attempt + 1}
    _set(membership, qualification, by=by, reason=reason.strip(), **fields)


def set_qualification_rules(
    *,
    project: Project,
    by: User,
    n_qualification: int,
    qualification_threshold: float,
    n_retries: int,
    n_graders: int,
    gold_percent: int,
    pauses_below_threshold: bool,
) -> None:
    """Change what newcomers have to pass and how work is measured later. Those who are in the project stay as they are.

    Raises NotAllowed when fewer gold tasks are marked than a newcomer is to do.
    """
    after = {
        "n_qualification": n_qualification,
        "qualification_threshold": qualification_threshold,
        "n_retries": n_retries,
        "n_graders": n_graders,
        "gold_percent": gold_percent,
        "pauses_below_threshold": pauses_below_threshold,
    }
    with transaction.atomic():
        row = Project.objects.select_for_update().get(pk=project.pk)
        n_gold = row.tasks.filter(gold_mark__isnull=False, gold_mark__unmarked_at__isnull=True).count()
        if n_qualification > n_gold:
            raise NotAllowed(_("Mark as many gold tasks first: there are %(n)d.") % {"n": n_gold})
        before = {name: getattr(row, name) for name in after}
        changed = [name for name in after if before[name] != after[name]]
        Project.objects.filter(pk=row.pk).update(**after)
        for name in changed:
            record(row, what=name, before=before[name], after=after[name], by=by, project_pk=row.pk)
    project.refresh_from_db()


def _set(member: Membership, after: Qualification, *, by: User | None = None, reason: str = "", **fields: Any) -> None:
    """Change the qualification, if it is still what was read, and write it into the audit log."""
    before = member.qualification
    rows = Membership.objects.filter(
        Q(qualification_attempt=member.qualification_attempt), pk=member.pk, qualification=before
    )
    with transaction.atomic():
        if not rows.update(qualification=after, **fields):
            raise NotAllowed
        record(member, what="qualification", before=before, after=after, by=by, reason=reason)
    member.qualification = after
    for name, value in fields.items():
        setattr(member, name, value)
