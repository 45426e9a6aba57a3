"""Asking for the agreement between people to be worked out. The figures themselves come from a worker (agreement_figures)."""

from django.db import transaction
from django.utils import timezone

from labeling import tasks
from labeling.models import AgreementReport, Project


def request_agreement(*, project: Project) -> AgreementReport:
    """Note that the figures are wanted and nudge a worker; the sweep finds the note when the nudge is lost."""
    with transaction.atomic():
        report, _is_new = AgreementReport.objects.update_or_create(
            project=project, defaults={"requested_at": timezone.now()}
        )
        transaction.on_commit(lambda: tasks.compute_agreement.delay(project.pk))
    return report
