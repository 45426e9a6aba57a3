"""Members and invitations."""

from typing import Any

from django.urls import reverse
from rest_framework import serializers

from common.exports import csv_chunks, download
from labeling.actions.pay import set_languages, set_rate
from labeling.actions.people import (
    change_role,
    invite,
    pause_member,
    remove_member,
    resume_member,
    revoke_invitation,
)
from labeling.api.endpoint import Call, operation
from labeling.api.shapes import Member, Person
from labeling.models import Invitation, Membership, Rate
from labeling.queries.people import WEEK_COLUMNS, people_weeks
from labeling.states import RateUnit, Role


class RoleAsked(serializers.Serializer):
    role = serializers.ChoiceField(choices=Role.choices)


class ReasonAsked(serializers.Serializer):
    reason = serializers.CharField(max_length=500, help_text="the person reads it")


class InvitationAsked(RoleAsked):
    email = serializers.EmailField(required=False, allow_blank=True, help_text="only this person can use the link")


class RateAsked(serializers.Serializer):
    amount = serializers.DecimalField(max_digits=10, decimal_places=4, min_value=0)
    unit = serializers.ChoiceField(choices=RateUnit.choices)
    valid_from = serializers.DateField(required=False, help_text="today or later; today without it")


class RateShape(serializers.ModelSerializer):
    unit = serializers.ChoiceField(choices=RateUnit.choices)
    set_by = Person(allow_null=True)

    class Meta:
        model = Rate
        fields = ["amount", "unit", "valid_from", "set_by", "set_at"]


class LanguagesAsked(serializers.Serializer):
    languages = serializers.ListField(
        child=serializers.RegexField(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35), max_length=20
    )


class WeeksAsked(serializers.Serializer):
    weeks = serializers.IntegerField(required=False, default=8, min_value=1, max_value=104)


class InvitationShape(serializers.ModelSerializer):
    role = serializers.ChoiceField(choices=Role.choices)
    created_by = Person()

    class Meta:
        model = Invitation
        fields = ["id", "role", "email", "created_by", "created_at", "expires_at"]


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


@operation(Role.ADMIN, answer=RateShape, is_list=True)
def rate_list(call: Call, pk: int) -> dict[str, Any]:
    """List what a member has earned from which day on, the latest first."""
    return call.page(call.find(_members(call), pk=pk).rates.select_related("set_by"))


@operation(Role.ADMIN, body=RateAsked, answer=RateShape, status=201)
def rate_set(call: Call, pk: int) -> Rate:
    """Set a member's rate from a day on; what was earned before stays."""
    return set_rate(membership=call.find(_members(call), pk=pk), by=call.user, **call.body)


@operation(Role.ADMIN, body=LanguagesAsked, answer=Member)
def languages_set(call: Call, pk: int) -> Membership:
    """Note in which languages a member works."""
    member = call.find(_members(call), pk=pk)
    set_languages(membership=member, languages=list(dict.fromkeys(call.body["languages"])), by=call.user)
    return member


@operation(Role.ADMIN, query=WeeksAsked, media=("text/csv",))
def people_export(call: Call) -> Any:
    """Download a line per person and week as CSV: what was handed in, accepted, and earned."""
    members = call.project.memberships.order_by("user__name", "user__email", "pk")
    lines = people_weeks(call.project, members, n_weeks=call.query["weeks"])
    return download(csv_chunks(WEEK_COLUMNS, lines), name=f"{call.project.slug}-people.csv")


@operation(Role.ADMIN, answer=InvitationShape, is_list=True)
def invitation_list(call: Call) -> dict[str, Any]:
    """List the invitations that nobody has accepted yet."""
    rows = call.project.invitations.filter(accepted_at__isnull=True, revoked_at__isnull=True)
    return call.page(rows.select_related("created_by"))


@operation(Role.ADMIN)
def invitation_revoke(call: Call, pk: int) -> None:
    """Make the link of an invitation worthless."""
    revoke_invitation(invitation=call.find(call.project.invitations.all(), pk=pk), by=call.user)


@operation(Role.ADMIN, body=InvitationAsked, answer=InvitationMade, status=201)
def invitation_create(call: Call) -> dict[str, Any]:
    """Make a link with which one person can join."""
    invitation, token = invite(project=call.project, by=call.user, **call.body)
    link = call.request.build_absolute_uri(reverse("labeling-invitation-accept", args=[token]))
    return {"id": invitation.pk, "link": link, "expires_at": invitation.expires_at}
