"""What a reviewer decides about a case before it is corrected: how bad it is, whose it is, whether it is another's twin."""

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from common.checks import passes
from common.states import move, record
from labeling.actions.case import NO_LEASE, count_reports, is_free_for
from labeling.actions.errors import HeldByOther, NotAssignable, NotMergeable
from labeling.actions.regression_test import add_probes
from labeling.models import Case, CaseMerge, RegressionTest, User
from labeling.queries.case import case_workers, has_live_twin
from labeling.states import CASE_MERGEABLE, CASE_MOVES, CaseState, Severity


def set_severity(*, case: Case, severity: int, by: User) -> None:
    """Say how bad the case is; from now on reports do not change it."""
    with transaction.atomic():
        row = Case.objects.select_for_update().get(pk=case.pk)
        after = Severity(severity)
        if row.severity != after:
            record(row, what="severity", before=Severity(row.severity).name.lower(), after=after.name.lower(), by=by)
        Case.objects.filter(pk=row.pk).update(severity=after, is_severity_set=True)
    case.refresh_from_db()


def assign_case(*, case: Case, assignee: User | None, by: User) -> None:
    """Say who is to correct the case, None for nobody in particular. Raises NotAssignable."""
    with transaction.atomic():
        row = Case.objects.select_for_update(of=("self",)).select_related("assignee", "project").get(pk=case.pk)
        if assignee is not None and assignee not in case_workers(row.project):
            raise NotAssignable
        if row.assignee != assignee:
            record(row, what="assignee", before=row.assignee or "", after=assignee or "", by=by)
            Case.objects.filter(pk=row.pk).update(assignee=assignee)
    case.refresh_from_db()


def merge_cases(*, source: Case, target: Case, by: User) -> CaseMerge:
    """Make `source` a part of `target`: its reports count there, its prompt, probes and checks are tested there.

    What was accepted for the source stays in training. A check that the target's correction fails is left out. Raises
    NotMergeable and HeldByOther.
    """
    with transaction.atomic():
        rows = _lock(source, target)
        source, target = rows[source.pk], rows[target.pk]
        if source.pk == target.pk or source.project_id != target.project_id:
            raise NotMergeable
        if any(row.state not in CASE_MERGEABLE for row in (source, target)):
            raise NotMergeable(_("One of the two is merged, settled or in training, so they cannot be merged now."))
        if not is_free_for(source, by):
            raise HeldByOther
        test, other = _test_of(target), _test_of(source)
        if test is None and other is not None:
            raise NotMergeable(
                _("%(source)s has been corrected and %(target)s has not. Merge them the other way round.")
                % {"source": source, "target": target}
            )
        merge = CaseMerge(
            source=source,
            target=target,
            by=by,
            state_before=CaseState.OPEN if source.state == CaseState.CLAIMED else source.state,
            n_corrections=target.corrections.count(),
        )
        if test is not None:
            probes = [probe.messages for probe in other.probes.order_by("pk")] if other else []
            merge.added_probes = add_probes(test=test, prompts=[source.messages, *probes])
            rules = other.checks if other else []
            merge.added_checks = [rule for rule in rules if rule not in test.checks and passes(rule, test.chosen)]
            test.checks = [*test.checks, *merge.added_checks]
            test.save(update_fields=["checks"])
        if other is not None:
            merge.had_active_test = other.is_active
            RegressionTest.objects.filter(pk=other.pk).update(is_active=False)
        merge.save()
        reason = _("into %(target)s") % {"target": target}
        move(source, CaseState.MERGED, moves=CASE_MOVES, by=by, reason=reason, merged_into=target, **NO_LEASE)
        record(target, what="merge", after=str(source), by=by)
        count_reports(target)
    return merge


def unmerge_case(*, case: Case, by: User) -> None:
    """Make a merged case one of its own again. Raises NotMergeable once the other was corrected, merged or reported anew."""
    with transaction.atomic():
        merge = case.merges.filter(undone_at__isnull=True).order_by("-pk").first()
        if merge is None:
            raise NotMergeable(_("This case is not merged."))
        rows = _lock(merge.source, merge.target)
        source, target = rows[merge.source_id], rows[merge.target_id]
        if source.state != CaseState.MERGED or source.merged_into_id != target.pk:
            raise NotMergeable(_("This case is not merged."))
        if target.state == CaseState.MERGED:
            raise NotMergeable(_("%(target)s is merged itself. Take that back first.") % {"target": target})
        if target.corrections.count() != merge.n_corrections or has_live_twin(source):
            raise NotMergeable(
                _("%(target)s was corrected or reported anew since, so the merge cannot be taken back.")
                % {"target": target}
            )
        test = _test_of(target)
        if test is not None:
            test.probes.filter(prompt_hash__in=merge.added_probes).delete()
            test.checks = [rule for rule in test.checks if rule not in merge.added_checks]
            test.save(update_fields=["checks"])
        if merge.had_active_test:
            RegressionTest.objects.filter(case=source).update(is_active=True)
        CaseMerge.objects.filter(pk=merge.pk).update(undone_at=timezone.now())
        move(source, merge.state_before, moves=CASE_MOVES, by=by, merged_into=None)
        record(target, what="merge undone", before=str(source), by=by)
        count_reports(source)
        count_reports(target)
    case.refresh_from_db()


def _lock(*cases: Case) -> dict[int, Case]:
    """Return the rows by their keys, locked in one order, so that two merges of the same pair do not wait for each other."""
    keys = sorted({case.pk for case in cases})
    rows = Case.objects.select_for_update(of=("self",)).select_related("project")
    return {row.pk: row for row in rows.filter(pk__in=keys).order_by("pk")}


def _test_of(case: Case) -> RegressionTest | None:
    return RegressionTest.objects.filter(case=case).first()
