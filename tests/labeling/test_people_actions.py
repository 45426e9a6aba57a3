from datetime import timedelta

import pytest
from django.utils import timezone

from common.models import Transition
from labeling.actions.errors import AlreadyMember, InvitationError, LastAdmin, NotAllowed
from labeling.actions.people import (
    change_role,
    find_invitation,
    invite,
    join,
    join_as_new_person,
    pause_member,
    remove_member,
    resume_member,
    revoke_invitation,
)
from labeling.actions.task import next_task
from labeling.models import Invitation, Membership, User
from labeling.states import Role, TaskState
from tests.factories import MembershipFactory, SubmissionFactory, TaskFactory

PASSWORD = "correct horse battery"


def test_the_token_is_not_in_the_database(project, alice) -> None:
    invitation, token = invite(project=project, role=Role.REVIEWER, by=alice)
    row = Invitation.objects.filter(pk=invitation.pk).values().get()
    assert token not in map(str, row.values())
    assert find_invitation(token=token) == invitation
    assert timedelta(days=13, hours=23) < invitation.expires_at - timezone.now() <= timedelta(days=14)


def test_a_new_person_joins_with_the_invited_role_and_address(project, alice) -> None:
    _, token = invite(project=project, role=Role.REVIEWER, by=alice, email=" Nora@Example.org ")
    membership = join_as_new_person(token=token, email="other@example.org", name="Nora", password=PASSWORD)
    assert (membership.user.email, membership.role, membership.project) == ("nora@example.org", Role.REVIEWER, project)
    assert membership.user.check_password(PASSWORD)
    with pytest.raises(InvitationError) as used:
        join_as_new_person(token=token, email="second@example.org", name="Second", password=PASSWORD)
    assert used.value.reason == "used"
    assert not User.objects.filter(email="second@example.org").exists()


def test_an_address_with_an_account_has_to_sign_in_first(project, alice, charlie) -> None:
    _, token = invite(project=project, role=Role.CONTRACTOR, by=alice)
    with pytest.raises(AlreadyMember):
        join_as_new_person(token=token, email=charlie.email.upper(), name="Not Charlie", password=PASSWORD)
    assert join(token=token, user=charlie).role == Role.CONTRACTOR


def test_an_invitation_by_name_is_for_that_person_only(project, alice, charlie) -> None:
    _, token = invite(project=project, role=Role.CONTRACTOR, by=alice, email="nora@example.org")
    with pytest.raises(InvitationError) as error:
        join(token=token, user=charlie)
    assert error.value.reason == "email"
    assert find_invitation(token=token).accepted_at is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "expired"),
        ({"revoked_at": timezone.now()}, "revoked"),
        ({"accepted_at": timezone.now()}, "used"),
    ],
)
def test_an_unusable_invitation_says_why(project, alice, charlie, change, reason) -> None:
    invitation, token = invite(project=project, role=Role.ADMIN, by=alice)
    Invitation.objects.filter(pk=invitation.pk).update(**change)
    with pytest.raises(InvitationError) as error:
        join(token=token, user=charlie)
    assert error.value.reason == reason
    assert not project.memberships.filter(user=charlie).exists()


def test_an_unknown_token_says_so(db) -> None:
    with pytest.raises(InvitationError) as error:
        find_invitation(token="nonsense")
    assert error.value.reason == "unknown"


def test_a_used_invitation_cannot_be_revoked(project, alice, charlie) -> None:
    invitation, token = invite(project=project, role=Role.CONTRACTOR, by=alice)
    join(token=token, user=charlie)
    with pytest.raises(InvitationError):
        revoke_invitation(invitation=invitation)


def test_members_are_not_invited_again_and_paused_ones_do_not_slip_in(project, alice, bob, member_of) -> None:
    with pytest.raises(AlreadyMember):
        invite(project=project, role=Role.ADMIN, by=alice, email=bob.email)
    _, token = invite(project=project, role=Role.ADMIN, by=alice)
    with pytest.raises(AlreadyMember):
        join(token=token, user=bob)
    pause_member(membership=member_of(bob, project), by=alice, reason="Holiday.")
    with pytest.raises(NotAllowed):
        join(token=token, user=bob)
    assert member_of(bob, project).role == Role.CONTRACTOR
    assert find_invitation(token=token).accepted_at is None


def test_the_last_admin_stays(project, alice, bob, member_of) -> None:
    with pytest.raises(LastAdmin):
        change_role(membership=member_of(alice, project), role=Role.REVIEWER)
    with pytest.raises(LastAdmin):
        pause_member(membership=member_of(alice, project), by=alice, reason="Holiday.")
    assert member_of(alice, project).is_active
    change_role(membership=member_of(bob, project), role=Role.ADMIN)
    change_role(membership=member_of(alice, project), role=Role.REVIEWER)
    assert member_of(alice, project).role == Role.REVIEWER


def test_a_paused_admin_does_not_count_as_an_admin(project, alice, member_of) -> None:
    other = MembershipFactory(project=project, role=Role.ADMIN)
    pause_member(membership=other, by=alice, reason="Holiday.")
    with pytest.raises(LastAdmin):
        pause_member(membership=member_of(alice, project), by=alice, reason="Holiday.")


def test_pausing_gives_the_tasks_back_and_resuming_keeps_the_role(project, alice, bob, member_of) -> None:
    TaskFactory(project=project)
    membership = member_of(bob, project)
    task = next_task(membership=membership)
    pause_member(membership=membership, by=alice, reason="Holiday.")
    task.refresh_from_db()
    assert (task.state, task.leased_by) == (TaskState.OPEN, None)
    resume_member(membership=membership, by=alice)
    assert Membership.objects.get(pk=membership.pk).is_active


def test_a_removed_person_keeps_the_work_and_comes_back_by_invitation(project, alice, bob, member_of) -> None:
    work = SubmissionFactory(project=project, author=bob)
    remove_member(membership=member_of(bob, project), by=alice, reason="Left.")
    assert member_of(bob, project).is_removed
    assert project.submissions.get() == work
    _, token = invite(project=project, role=Role.REVIEWER, by=alice, email=bob.email)
    membership = join(token=token, user=bob)
    assert (membership.pk, membership.role, membership.is_active) == (member_of(bob, project).pk, Role.REVIEWER, True)
    assert project.submissions.get().author == bob


def test_the_last_admin_is_not_removed_and_nobody_twice(project, alice, bob, member_of) -> None:
    with pytest.raises(LastAdmin):
        remove_member(membership=member_of(alice, project), by=alice)
    remove_member(membership=member_of(bob, project), by=alice)
    with pytest.raises(NotAllowed):
        remove_member(membership=member_of(bob, project), by=alice)
    assert Transition.objects.of(member_of(bob, project)).count() == 1
