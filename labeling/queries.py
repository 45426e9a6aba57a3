"""Reads that several callers share. Every one starts from the person."""

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest

from labeling.models import InstructionVersion, Membership, Project, RegressionTest
from labeling.states import Role


def require_member(request: HttpRequest, slug: str, role: Role = Role.CONTRACTOR) -> Membership:
    """Return the person's membership in the project and put it on the request, for the page frame.

    Strangers and paused people get Http404, members below `role` PermissionDenied. A superuser counts as an admin of
    every project, without a row of their own.
    """
    membership = (
        Membership.objects.select_related("project", "user")
        .filter(project__slug=slug, user_id=request.user.pk, is_active=True)
        .first()
    )
    if membership is None and request.user.is_superuser:
        project = Project.objects.filter(slug=slug).first()
        membership = Membership(project=project, user=request.user, role=Role.ADMIN) if project else None
    if membership is None:
        raise Http404
    request.membership = membership  # type: ignore[attr-defined]
    if not membership.has_role(role):
        raise PermissionDenied
    return membership


def current_instructions(project: Project) -> InstructionVersion | None:
    """Return the version in force, None where none has been published."""
    return project.instruction_versions.order_by("-number").first()


def needs_acknowledgement(membership: Membership) -> InstructionVersion | None:
    """Return the version in force when the person has not yet acknowledged it, else None."""
    version = current_instructions(membership.project)
    if version is None or version.acknowledgements.filter(user_id=membership.user_id).exists():
        return None
    return version


def regression_suite(project: Project) -> QuerySet[RegressionTest]:
    """Return the project's active tests, oldest first, with their probes and cases fetched."""
    return (
        RegressionTest.objects.filter(project=project, is_active=True)
        .select_related("case")
        .prefetch_related("probes")
        .order_by("pk")
    )
