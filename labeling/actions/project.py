from typing import Any

from django.db import transaction

from common.states import record
from labeling.models import Membership, Project, User
from labeling.states import Role


@transaction.atomic
def create_project(*, slug: str, name: str, description: str = "", admin: User | None = None) -> Project:
    """Make a project; `admin` becomes its first member. Raises IntegrityError when the slug is taken."""
    project = Project.objects.create(slug=slug, name=name, description=description)
    if admin is not None:
        Membership.objects.create(project=project, user=admin, role=Role.ADMIN)
    record(project, what="project", after=slug, by=admin, project_pk=project.pk)
    return project


@transaction.atomic
def update_project(*, project: Project, by: User | None = None, **settings: Any) -> Project:
    """Change a project's settings, fields of the row by name. Its slug stays: links to it live outside of Emend."""
    former = Project.objects.select_for_update().get(pk=project.pk)
    changed = {name: (getattr(former, name), value) for name, value in settings.items()}
    changed = {name: pair for name, pair in changed.items() if pair[0] != pair[1]}
    for name, value in settings.items():
        setattr(project, name, value)
    project.save(update_fields=list(settings))
    for name, (before, after) in changed.items():
        record(project, what=f"setting {name}"[:40], before=before, after=after, by=by, project_pk=project.pk)
    return project
