from django import template

from labeling.models import Membership
from labeling.queries import judging

register = template.Library()


@register.simple_tag
def what_to_judge(membership: Membership) -> dict[str, bool]:
    """Whether comparisons and second reviews wait for the person: {% what_to_judge membership as waiting %}."""
    return judging.what_to_judge(membership)
