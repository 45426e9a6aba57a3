from typing import Any

from django.http import HttpRequest


def frame(request: HttpRequest) -> dict[str, Any]:
    """What the page frame needs: the membership that the view checked, and the person's other projects.

    The list of projects is lazy: a fragment never asks for it.
    """
    membership = getattr(request, "membership", None)
    return {
        "membership": membership,
        "project": membership.project if membership else None,
        "theme": request.COOKIES.get("emend_theme", ""),
    }
