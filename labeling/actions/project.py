from django.db import transaction

from labeling.models import Membership, Project, User
from labeling.states import Role


@transaction.atomic
def create_project(*, slug: str, name: str, description: str = "", admin: User | None = None) -> Project:
    """Make a project; `admin` becomes its first member. Raises IntegrityError when the slug is taken."""
    project = Project.objects.create(slug=slug, name=name, description=description)
    if admin is not None:
        Membership.objects.create(project=project, user=admin, role=Role.ADMIN)
    return project


def update_project(
    *,
    project: Project,
    name: str,
    description: str,
    lease_minutes: int,
    is_open_writing: bool,
    max_held: int = 1,
    double_share: int = 0,
) -> Project:
    """Change a project's settings. Its slug stays: links to it live outside of Emend."""
    project.name, project.description = name, description
    project.lease_minutes, project.is_open_writing = lease_minutes, is_open_writing
    project.max_held, project.double_share = max_held, double_share
    project.save(update_fields=["name", "description", "lease_minutes", "is_open_writing", "max_held", "double_share"])
    return project
