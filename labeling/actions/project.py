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


def update_judging(
    *, project: Project, n_comparison_people: int, needs_comparison_reason: bool, second_review_share: int, by: User
) -> Project:
    """Change how many people judge a comparison, whether they say why, and how much gets a second review."""
    fields = ("n_comparison_people", "needs_comparison_reason", "second_review_share")
    before = ", ".join(f"{name} {getattr(project, name)}" for name in fields)
    project.n_comparison_people, project.needs_comparison_reason = n_comparison_people, needs_comparison_reason
    project.second_review_share = second_review_share
    after = ", ".join(f"{name} {getattr(project, name)}" for name in fields)
    with transaction.atomic():
        project.save(update_fields=fields)
        if before != after:
            record(project, what="judging settings", before=before, after=after, by=by, project_pk=project.pk)
    return project
