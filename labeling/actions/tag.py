"""Tags of tasks and examples."""

from django.db import transaction
from django.utils.translation import gettext as _

from common.states import record
from labeling.actions.errors import NotAllowed
from labeling.models import Example, Tag, Task, User

MAX_NAME = Tag._meta.get_field("name").max_length or 0


@transaction.atomic
def put_tag(*, row: Task | Example, name: str, by: User) -> Tag:
    """Put a tag on a row, a new one for the project where need be. Raises NotAllowed for one that it has, or no name."""
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME:
        raise NotAllowed(_("A tag has 1 to 40 characters."))
    if row.tags.filter(name=name).exists():
        raise NotAllowed(_("It has this tag already."))
    tag, _is_new = Tag.objects.get_or_create(project_id=row.project_id, name=name)
    row.tags.add(tag)
    record(row, what="tag", after=name, by=by)
    return tag


@transaction.atomic
def take_tag(*, row: Task | Example, name: str, by: User) -> None:
    """Take a tag off a row. Raises NotAllowed when it is not on it."""
    tag = row.tags.filter(name=" ".join(name.split())).first()
    if tag is None:
        raise NotAllowed(_("It does not have this tag."))
    row.tags.remove(tag)
    record(row, what="tag", before=tag.name, by=by)
