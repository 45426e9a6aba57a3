"""The reasons of a project: why an output can be called wrong."""

from django.db import transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from common.states import record
from labeling.actions.errors import BadReason
from labeling.models import CaseReason, Project, User
from labeling.queries.case import standard_reasons
from labeling.states import Reason, Severity


def write_standard_reasons(*, project: Project) -> None:
    """Give a project that has no reasons of its own the standard ones as rows, which can then be changed."""
    with transaction.atomic():
        Project.objects.select_for_update(of=("self",)).get(pk=project.pk)
        if not CaseReason.objects.filter(project=project).exists():
            CaseReason.objects.bulk_create(standard_reasons(project))
    project.refresh_from_db()


def add_reason(*, project: Project, label: str, severity: int, by: User) -> CaseReason:
    """Add a reason at the end. Its key, which programs send, follows from the label. Raises BadReason."""
    write_standard_reasons(project=project)
    label = label.strip()
    with transaction.atomic():
        Project.objects.select_for_update(of=("self",)).get(pk=project.pk)
        rows = list(CaseReason.objects.filter(project=project))
        _check_label(rows, label)
        key = slugify(label).replace("-", "_")[:30] or f"reason_{len(rows) + 1}"
        taken = {row.key for row in rows} | set(Reason.values)
        number = 2
        free = key
        while free in taken:
            free, number = f"{key}_{number}", number + 1
        position = 1 + max((row.position for row in rows), default=0)
        row = CaseReason.objects.create(
            project=project, key=free, label=label, severity=Severity(severity), position=position
        )
        record(row, what="reason", after=label, by=by)
    project.refresh_from_db()
    return row


def change_reason(*, reason: CaseReason, label: str, severity: int, is_active: bool, by: User) -> None:
    """Rename, rate or deactivate a reason. Reports that gave it keep it. Raises BadReason, also for the last active one."""
    label = label.strip()
    with transaction.atomic():
        Project.objects.select_for_update(of=("self",)).get(pk=reason.project_id)
        row = CaseReason.objects.get(pk=reason.pk)
        others = list(CaseReason.objects.filter(project_id=row.project_id).exclude(pk=row.pk))
        _check_label(others, label)
        if not is_active and not any(other.is_active for other in others):
            raise BadReason(_("At least one reason has to stay: nobody could report anything without one."))
        before = _describe(row)
        row.label = "" if label == str(dict(Reason.choices).get(row.key, "")) else label
        row.severity, row.is_active = Severity(severity), is_active
        row.save(update_fields=["label", "severity", "is_active"])
        if _describe(row) != before:
            record(row, what="reason", before=before, after=_describe(row), by=by)
    reason.refresh_from_db()


def _check_label(others: list[CaseReason], label: str) -> None:
    if not label:
        raise BadReason(_("A reason needs a name."))
    if any(str(other).casefold() == label.casefold() for other in others):
        raise BadReason(_("There is a reason of this name already."))


def _describe(row: CaseReason) -> str:
    return f"{row}, {Severity(row.severity).name.lower()}, {'on' if row.is_active else 'off'}"
