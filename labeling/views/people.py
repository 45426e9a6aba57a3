from collections.abc import Callable
from smtplib import SMTPException
from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.exports import csv_chunks, download
from common.htmx import render_page
from common.pagination import paginate
from labeling.actions.errors import AlreadyMember, InvitationError, LabelingError
from labeling.actions.people import (
    find_invitation,
    invite,
    join,
    join_as_new_person,
    mail_invitation,
    revoke_invitation,
)
from labeling.forms.people import InviteForm, JoinForm, PeopleForm
from labeling.models import Membership
from labeling.queries import require_member
from labeling.queries.gold import falling_members
from labeling.queries.people import WEEK_COLUMNS, Person, people, people_weeks
from labeling.states import ROLE_RANK, Role

LINK_KEY = "invitation_link"


N_WEEKS = 8


def _people_page(request: HttpRequest, membership: Membership, form: InviteForm, status: int = 200) -> HttpResponse:
    project = membership.project
    invitations = project.invitations.filter(accepted_at__isnull=True, revoked_at__isnull=True)
    filters = PeopleForm(request.GET)
    lines = people(project, list(filters.apply(project.memberships.select_related("user"))), n_weeks=N_WEEKS)
    sort, is_down = filters.sorting()
    lines.sort(key=SORTS[sort], reverse=is_down)
    context = {
        "form": form,
        "filters": filters,
        "page": paginate(request, lines),
        "columns": [
            {"label": label, "is_sorted": key == sort, "next": f"-{key}" if key == filters.sorted_by else key}
            for key, label in PeopleForm.columns()
        ],
        "is_down": is_down,
        "n_weeks": N_WEEKS,
        "invitations": invitations.select_related("created_by").order_by("-pk"),
        "falling": falling_members(project),
        "link": request.session.pop(LINK_KEY, None),
    }
    return render_page(
        request, "labeling/people_list.html", context, fragment="labeling/_people_table.html", status=status
    )


# How a column of the list sorts; people without a figure come first.
SORTS: dict[str, Callable[[Person], Any]] = {
    "name": lambda person: str(person.membership.user).casefold(),
    "role": lambda person: ROLE_RANK[Role(person.membership.role)],
    "desk": lambda person: (person.n_held, person.n_waiting),
    "weekly": lambda person: person.per_week,
    "acceptance": lambda person: -1 if person.figures.acceptance is None else person.figures.acceptance,
    "agreement": lambda person: -1 if person.least_agreement is None else person.least_agreement,
    "active": lambda person: person.figures.active_ms,
}


@require_GET
@never_cache
@login_required
def people_list(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    return _people_page(request, membership, InviteForm())


@require_POST
@login_required
def invitation_create(request: HttpRequest, slug: str) -> HttpResponse:
    """Make an invitation; its link is shown once, on the next page."""
    membership = require_member(request, slug, Role.ADMIN)
    form = InviteForm(request.POST)
    if not form.is_valid():
        return _people_page(request, membership, form, status=422)
    data = form.cleaned_data
    try:
        invitation, token = invite(
            project=membership.project, role=data["role"], by=membership.user, email=data["email"]
        )
    except AlreadyMember as error:
        form.add_error("email", str(error))
        return _people_page(request, membership, form, status=422)
    link = request.build_absolute_uri(reverse("labeling-invitation-accept", args=[token]))
    request.session[LINK_KEY] = link
    if data["is_mailed"]:
        try:
            mail_invitation(invitation=invitation, link=link)
            messages.success(request, _("The link was sent to %(email)s.") % {"email": invitation.email})
        except (SMTPException, OSError):
            messages.error(request, _("The mail could not be sent. Pass the link on yourself."))
    return redirect("labeling-people-list", slug=slug)


@require_POST
@login_required
def invitation_revoke(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    invitation = get_object_or_404(membership.project.invitations, pk=pk)
    try:
        revoke_invitation(invitation=invitation, by=membership.user)
        messages.success(request, _("The invitation is withdrawn; its link no longer works."))
    except InvitationError as error:
        messages.error(request, str(error))
    return redirect("labeling-people-list", slug=slug)


@require_GET
@login_required
def people_export(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """A line per person and week, for the last `weeks`, eight by default, 104 at most."""
    membership = require_member(request, slug, Role.ADMIN)
    wanted = request.GET.get("weeks", "")
    n_weeks = min(104, max(1, int(wanted))) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 4 else N_WEEKS
    members = membership.project.memberships.order_by("user__name", "user__email", "pk")
    lines = people_weeks(membership.project, members, n_weeks=n_weeks)
    return download(csv_chunks(WEEK_COLUMNS, lines), name=f"{slug}-people.csv")


@require_http_methods(["GET", "POST"])
@sensitive_post_parameters("password")
@never_cache
def invitation_accept(request: HttpRequest, token: str) -> HttpResponse:
    """A new person makes an account here; somebody who is signed in joins with one click."""
    try:
        invitation = find_invitation(token=token)
        if request.user.is_authenticated:
            if request.method == "POST":
                join(token=token, user=request.user)
                return redirect("labeling-project-home", slug=invitation.project.slug)
            return render_page(request, "labeling/invitation_accept.html", {"invitation": invitation})
        form = JoinForm(request.POST or None, invitation=invitation)
        if form.is_valid():
            membership = join_as_new_person(token=token, **form.cleaned_data)
            login(request, membership.user, backend="django.contrib.auth.backends.ModelBackend")
            return redirect("labeling-project-home", slug=invitation.project.slug)
    except AlreadyMember as error:
        if request.user.is_authenticated:
            messages.success(request, str(error))
            return redirect("labeling-project-home", slug=invitation.project.slug)
        form.add_error("email", str(error))
    except LabelingError as error:
        return render_page(request, "labeling/invitation_invalid.html", {"error": error}, status=410)
    status = 422 if request.method == "POST" else 200
    context = {"invitation": invitation, "form": form}
    return render_page(request, "labeling/invitation_accept.html", context, status=status)
