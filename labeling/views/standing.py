"""Where a person stands: the qualification as they see it, and an admin's pause, resume and word on it."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from common.htmx import render_page
from labeling.actions.errors import LabelingError
from labeling.actions.grading import decide_qualification, may_retry, retry_qualification
from labeling.actions.people import pause_member, resume_member
from labeling.models import Membership
from labeling.queries import needs_acknowledgement, require_member
from labeling.queries.gold import gold_results, qualification_progress
from labeling.states import Qualification, Role


@require_GET
@login_required
def qualification_show(request: HttpRequest, slug: str) -> HttpResponse:
    """How far the qualification is, what came of it, and why: scores and comments, answer by answer."""
    membership = require_member(request, slug, allows_paused=True)
    context = {
        "progress": qualification_progress(membership),
        "results": gold_results(membership),
        "may_retry": may_retry(membership),
        "unread": needs_acknowledgement(membership),
    }
    return render_page(request, "labeling/qualification_show.html", context)


@require_POST
@login_required
def qualification_retry(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug)
    try:
        retry_qualification(membership=membership)
    except LabelingError as error:
        messages.error(request, str(error))
        return redirect("labeling-qualification-show", slug=slug)
    messages.success(request, _("A new attempt, with other tasks. Good luck."))
    return redirect("labeling-task-next", slug=slug)


@require_POST
@login_required
def member_standing(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Pause or resume a member, or say that they count as qualified or qualify anew (`action`), with the `reason`."""
    membership = require_member(request, slug, Role.ADMIN)
    member = get_object_or_404(membership.project.memberships.select_related("user", "project"), pk=pk)
    try:
        messages.success(request, _change(request.POST, member, membership))
    except LabelingError as error:
        messages.error(request, str(error))
    return redirect("labeling-member-show", slug, pk)


def _change(data: Any, member: Membership, admin: Membership) -> str:
    """Do what the form says and return what was done, for the person at the screen."""
    action, names = data.get("action"), {"name": member.user}
    decision: dict[str, Any] = {"membership": member, "by": admin.user, "reason": data.get("reason", "")}
    if action == "pause":
        pause_member(**decision)
        return _("%(name)s is paused. The work stays; tasks in hand went back to the others.") % names
    if action == "resume":
        resume_member(**decision)
        return _("%(name)s is active again.") % names
    if action == Qualification.QUALIFIED:
        decide_qualification(qualification=Qualification.QUALIFIED, **decision)
        return _("%(name)s counts as qualified.") % names
    if action == Qualification.IN_PROGRESS:
        decide_qualification(qualification=Qualification.IN_PROGRESS, **decision)
        return _("%(name)s does the qualification from now on.") % names
    raise LabelingError
