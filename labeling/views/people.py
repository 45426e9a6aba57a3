from smtplib import SMTPException
from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import render_page
from labeling.actions.errors import AlreadyMember, InvitationError, LabelingError
from labeling.actions.people import (
    change_role,
    find_invitation,
    invite,
    join,
    join_as_new_person,
    mail_invitation,
    revoke_invitation,
)
from labeling.forms.people import InviteForm, JoinForm, RoleForm
from labeling.models import Membership
from labeling.queries import require_member
from labeling.queries_gold import falling_members
from labeling.states import Role

LINK_KEY = "invitation_link"


def _people_page(request: HttpRequest, membership: Membership, form: InviteForm, status: int = 200) -> HttpResponse:
    project = membership.project
    invitations = project.invitations.filter(accepted_at__isnull=True, revoked_at__isnull=True)
    context = {
        "form": form,
        "members": project.memberships.select_related("user").order_by("-is_active", "user__name", "user__email"),
        "invitations": invitations.select_related("created_by").order_by("-pk"),
        "roles": Role.choices,
        "falling": falling_members(project),
        "link": request.session.pop(LINK_KEY, None),
    }
    return render_page(request, "labeling/people_list.html", context, status=status)


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
        revoke_invitation(invitation=invitation)
        messages.success(request, _("The invitation is withdrawn; its link no longer works."))
    except InvitationError as error:
        messages.error(request, str(error))
    return redirect("labeling-people-list", slug=slug)


@require_POST
@login_required
def member_change(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Give a member another role."""
    membership = require_member(request, slug, Role.ADMIN)
    member = get_object_or_404(membership.project.memberships.select_related("user"), pk=pk)
    try:
        messages.success(request, _change(request.POST, member))
    except LabelingError as error:
        messages.error(request, str(error))
    return redirect("labeling-people-list", slug=slug)


def _change(data: Any, member: Membership) -> str:
    """Do what the form says and return what was done, for the person at the screen."""
    form = RoleForm(data)
    if not form.is_valid():
        raise LabelingError(_("There is no such role."))
    change_role(membership=member, role=form.cleaned_data["role"])
    return _("%(name)s is now: %(role)s.") % {"name": member.user, "role": member.get_role_display()}


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
