"""Members and invitations."""

from typing import Any

from django.urls import reverse
from rest_framework import serializers

from labeling.actions.people import change_role, invite, pause_member, remove_member, resume_member
from labeling.api.endpoint import Call, operation
from labeling.api.shapes import Member
from labeling.models import Membership
from labeling.states import Role


class RoleAsked(serializers.Serializer):
    role = serializers.ChoiceField(choices=Role.choices)


class ReasonAsked(serializers.Serializer):
    reason = serializers.CharField(max_length=500, help_text="the person reads it")


class InvitationAsked(RoleAsked):
    email = serializers.EmailField(required=False, allow_blank=True, help_text="only this person can use the link")


class InvitationMade(serializers.Serializer):
    id = serializers.IntegerField()
    link = serializers.URLField(help_text="shown once; whoever has it may join")
    expires_at = serializers.DateTimeField()


def _members(call: Call) -> Any:
    return call.project.memberships.select_related("user", "project")


@operation(Role.ADMIN, answer=Member, is_list=True)
def member_list(call: Call) -> dict[str, Any]:
    """List the people of the project, removed ones too."""
    return call.page(_members(call))


@operation(Role.ADMIN, body=RoleAsked, answer=Member)
def member_change(call: Call, pk: int) -> Membership:
    """Give a member another role."""
    member = call.find(_members(call), pk=pk)
    change_role(membership=member, role=call.body["role"], by=call.user)
    return member


@operation(Role.ADMIN, body=ReasonAsked, answer=Member)
def member_pause(call: Call, pk: int) -> Membership:
    """Pause a member and say why."""
    member = call.find(_members(call), pk=pk)
    pause_member(membership=member, by=call.user, reason=call.body["reason"])
    return member


@operation(Role.ADMIN, answer=Member)
def member_resume(call: Call, pk: int) -> Membership:
    """Let a paused or removed member work again."""
    member = call.find(_members(call), pk=pk)
    resume_member(membership=member, by=call.user)
    return member


@operation(Role.ADMIN, body=ReasonAsked, answer=Member)
def member_remove(call: Call, pk: int) -> Membership:
    """Take a person out of the project; their work stays."""
    member = call.find(_members(call), pk=pk)
    remove_member(membership=member, by=call.user, reason=call.body["reason"])
    return member


@operation(Role.ADMIN, body=InvitationAsked, answer=InvitationMade, status=201)
def invitation_create(call: Call) -> dict[str, Any]:
    """Make a link with which one person can join."""
    invitation, token = invite(project=call.project, by=call.user, **call.body)
    link = call.request.build_absolute_uri(reverse("labeling-invitation-accept", args=[token]))
    return {"id": invitation.pk, "link": link, "expires_at": invitation.expires_at}
