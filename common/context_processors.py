from typing import Any

from django.db.models import Q
from django.http import HttpRequest


def frame(request: HttpRequest) -> dict[str, Any]:
    """What the page frame needs: the membership that the view checked, and the person's projects.

    The list of projects is a lazy query: a fragment never runs it.
    """
    membership = getattr(request, "membership", None)
    user = getattr(request, "user", None)
    memberships = ()
    if user is not None and user.is_authenticated:
        present = Q(is_active=True) | Q(paused_at__isnull=False)
        memberships = user.memberships.filter(present).select_related("project").order_by("project__name")
    return {
        "membership": membership,
        "project": membership.project if membership else None,
        "memberships": memberships,
        "theme": request.COOKIES.get("emend_theme", ""),
    }
