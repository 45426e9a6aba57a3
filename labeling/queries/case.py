"""Reads about cases that several callers share."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet, prefetch_related_objects
from django.utils.translation import gettext as _
from rapidfuzz import fuzz

from common.models import Transition
from labeling.audit_words import sentence, value_said
from labeling.models import Case, CaseKey, CaseReason, Membership, Project, RegressionTest, Report, User
from labeling.near import fold, near_keys
from labeling.states import CASE_LIVE, CASE_MERGEABLE, CaseState, Reason, Role, Severity

STANDARD_SEVERITY = {Reason.HARMFUL: Severity.HARMFUL, Reason.WRONG: Severity.WRONG}
N_CANDIDATES = 60
N_SHOWN = 5
LEAST_ALIKE = 75  # percent, by rapidfuzz
LONGEST_COMPARED = 4000  # characters


def standard_reasons(project: Project) -> list[CaseReason]:
    """Return the seven reasons that every project begins with, not saved."""
    return [
        CaseReason(project=project, key=str(each), severity=STANDARD_SEVERITY.get(each, Severity.MINOR), position=at)
        for at, each in enumerate(Reason, 1)
    ]


def case_reasons(project: Project) -> list[CaseReason]:
    """Return the project's reasons in their order, inactive ones too. Read once for each instance of the project."""
    prefetch_related_objects([project], "case_reasons")
    return list(project.case_reasons.all()) or standard_reasons(project)


def reason_choices(project: Project) -> list[tuple[str, str]]:
    """Return the active reasons with their words, for a select."""
    return [(row.key, str(row)) for row in case_reasons(project) if row.is_active]


def reasons_known(project: Project) -> set[str]:
    """Return the keys that a report may give: the active ones, and the standard ones, which programs rely on."""
    return {str(each) for each in Reason} | {key for key, _label in reason_choices(project)}


def reason_labels(project: Project) -> dict[str, str]:
    """Return the words of all reasons that a report of the project may have given."""
    return {key: str(label) for key, label in Reason.choices} | {row.key: str(row) for row in case_reasons(project)}


def case_workers(project: Project) -> list[User]:
    """Return the people who correct cases: the active reviewers and admins, by name."""
    roles = (Role.REVIEWER, Role.ADMIN)
    rows = User.objects.filter(memberships__project=project, memberships__is_active=True, memberships__role__in=roles)
    return list(rows.order_by("name", "email"))


def family_of(case: Case) -> list[int]:
    """Return the keys of the case and of all that were merged into it, at whatever remove."""
    found = generation = [case.pk]
    while generation := list(Case.objects.filter(merged_into__in=generation).values_list("pk", flat=True)):
        found = [*found, *generation]
    return found


def has_live_twin(case: Case) -> bool:
    """Whether another case, at work, has the same output to the same prompt."""
    same = Q(project_id=case.project_id, prompt_hash=case.prompt_hash, output_hash=case.output_hash)
    return Case.objects.filter(same, state__in=CASE_LIVE).exclude(pk=case.pk).exists()


@dataclass(frozen=True)
class NearCase:
    """A case that may be the same misbehaviour. `alike` is how near the prompts are, in percent.

    Of a corrected case and one that is not, the corrected one has to stay: `may_come` and `may_go` say which of the two
    directions of a merge are open.
    """

    case: Case
    alike: int
    may_come: bool = True
    may_go: bool = True


def near_cases(case: Case) -> list[NearCase]:
    """Return the cases that may be merged with this one: the same prompt with another output, or nearly the same prompt.

    Few candidates come from two indexes; only those are compared letter by letter.
    """
    if case.state not in CASE_MERGEABLE:
        return []
    rows = Case.objects.filter(project_id=case.project_id, state__in=CASE_MERGEABLE).exclude(pk=case.pk)
    rows = rows.select_related("assignee", "leased_by")
    same = list(rows.filter(prompt_hash=case.prompt_hash).order_by("-n_reports", "pk")[:N_SHOWN])
    shared = (
        CaseKey.objects.filter(project_id=case.project_id, key__in=near_keys(question_of(case)))
        .values("case_id")
        .annotate(n=Count("pk"))
        .order_by("-n", "-case_id")[:N_CANDIDATES]
    )
    keys = [row["case_id"] for row in shared]
    folded = fold(question_of(case))
    near = []
    for other in rows.filter(pk__in=keys).exclude(prompt_hash=case.prompt_hash):
        alike = round(fuzz.ratio(folded[:LONGEST_COMPARED], fold(question_of(other))[:LONGEST_COMPARED]))
        if alike >= LEAST_ALIKE:
            near.append(NearCase(other, min(alike, 99)))
    near.sort(key=lambda each: (-each.alike, each.case.pk))
    found = [*(NearCase(each, 100) for each in same), *near][:N_SHOWN]
    keys = [case.pk, *(each.case.pk for each in found)]
    tested = set(RegressionTest.objects.filter(case__in=keys).values_list("case_id", flat=True))
    return [
        replace(
            each,
            may_come=case.pk in tested or each.case.pk not in tested,
            may_go=case.pk not in tested or each.case.pk in tested,
        )
        for each in found
    ]


def question_of(case: Case) -> str:
    """Return the last turn of the prompt, which is what was asked."""
    return case.messages[-1]["content"] if case.messages else ""


@dataclass(frozen=True)
class TimelineEntry:
    """One line of a case's history. `kind`: opened, report, correction, move or decision."""

    at: datetime
    kind: str
    who: str = ""
    text: str = ""
    row: Any = None


def case_timeline(case: Case, membership: Membership) -> list[TimelineEntry]:
    """Return what happened to a case, oldest first. Others than reviewers see no reports but their own.

    Reports of the cases that were merged into this one are among them.
    """
    project = membership.project
    labels = reason_labels(project)
    reports = reports_of(case).select_related("reporter")
    if not membership.is_reviewer:
        reports = reports.filter(reporter_id=membership.user_id)
    entries = [TimelineEntry(case.opened_at, "opened", text=case.model_name)]
    for row in reports:
        row.reason_label = labels.get(row.reason, row.reason)  # type: ignore[attr-defined]
        who = str(row.reporter or row.get_source_display())
        entries.append(TimelineEntry(row.created_at, "report", who, row.comment, row))
    entries += [
        TimelineEntry(row.created_at, "correction", str(row.author or ""), row.note, row)
        for row in case.corrections.select_related("author", "instruction_version")
    ]
    entries += [_entry_of(row) for row in Transition.objects.of(case) if not _is_told_already(row)]
    return sorted(entries, key=lambda entry: entry.at)


def reports_of(case: Case) -> "QuerySet[Report]":
    """Return the reports of a case and of those merged into it, oldest first."""
    return Report.objects.filter(case_id__in=family_of(case)).order_by("pk")


def _is_told_already(row: Transition) -> bool:
    """A correction has a line of its own."""
    return not row.what and row.after == CaseState.CORRECTED and row.before != CaseState.IN_TRAINING


def _entry_of(row: Transition) -> TimelineEntry:
    if not row.what:
        label = dict(CaseState.choices).get(row.after)
        return TimelineEntry(row.at, "move", row.by_name, row.reason, {"state": row.after, "label": label})
    before, after = value_said(row, row.before), value_said(row, row.after)
    said = {"before": before or _("nobody"), "after": after or _("nobody")}
    sentences = {
        "severity": _("set the severity from %(before)s to %(after)s"),
        "assignee": _("changed the assignment from %(before)s to %(after)s"),
        "merge": _("merged %(after)s into this case"),
        "merge undone": _("took the merge with %(before)s back"),
    }
    words = sentences[row.what] % said if row.what in sentences else sentence(row)
    return TimelineEntry(row.at, "decision", row.by_name, row.reason, words)
