"""Invitations and memberships."""

import hashlib
import secrets
from datetime import timedelta

from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _

from common.states import record
from labeling.actions.errors import AlreadyMember, CommentNeeded, InvitationError, LastAdmin, NotAllowed
from labeling.actions.gold import first_qualification
from labeling.actions.task import release_all
from labeling.models import Invitation, Membership, Project, User
from labeling.states import Role

INVITATION_DAYS = 14


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def invite(*, project: Project, role: Role | str, by: User, email: str = "") -> tuple[Invitation, str]:
    """Make an invitation and return it with its token, which exists nowhere else from then on.

    With `email`, only a person of that address can use it. Raises AlreadyMember when that person is in the project.
    """
    email = email.strip().lower()
    if (
        email
        and project.memberships.filter(user__email=email).exclude(is_active=False, paused_at__isnull=True).exists()
    ):
        raise AlreadyMember
    token = secrets.token_urlsafe(32)
    expires_at = timezone.now() + timedelta(days=INVITATION_DAYS)
    with transaction.atomic():
        invitation = Invitation.objects.create(
            project=project, role=role, email=email, token_hash=_hash(token), created_by=by, expires_at=expires_at
        )
        record(invitation, what="invitation", after=f"{Role(role).value} {email}".strip(), by=by)
    return invitation, token


def mail_invitation(*, invitation: Invitation, link: str) -> None:
    """Send the link to the invitation's address; SMTPException and OSError mean that it did not go out."""
    context = {"invitation": invitation, "link": link}
    send_mail(
        _("%(who)s invites you to %(project)s") % {"who": invitation.created_by, "project": invitation.project},
        render_to_string("labeling/invitation_mail.txt", context),
        None,
        [invitation.email],
    )


def find_invitation(*, token: str) -> Invitation:
    """Return the usable invitation of this token; raises InvitationError, which says why there is none."""
    rows = Invitation.objects.select_related("project", "created_by")
    invitation = rows.filter(token_hash=_hash(token)).first()
    if invitation is None:
        raise InvitationError("unknown")
    if invitation.revoked_at:
        raise InvitationError("revoked")
    if invitation.accepted_at:
        raise InvitationError("used")
    if invitation.expires_at <= timezone.now():
        raise InvitationError("expired")
    return invitation


def join(*, token: str, user: User) -> Membership:
    """Make the person a member by their invitation, which is used up. A removed person gets their place and work back.

    Raises InvitationError, AlreadyMember, and NotAllowed for somebody who was paused in this project.
    """
    invitation = find_invitation(token=token)
    if invitation.email and invitation.email != user.email.lower():
        raise InvitationError("email")
    with transaction.atomic():
        now = timezone.now()
        usable = Invitation.objects.filter(
            pk=invitation.pk, accepted_at__isnull=True, revoked_at__isnull=True, expires_at__gt=now
        )
        if not usable.update(accepted_by=user, accepted_at=now):
            raise InvitationError("used")
        membership, is_new = Membership.objects.get_or_create(
            project=invitation.project,
            user=user,
            defaults={"role": invitation.role, **first_qualification(invitation.project, invitation.role)},
        )
        if not is_new and membership.is_active:
            raise AlreadyMember(_("You are in this project already."))
        if not is_new and membership.is_paused:
            raise NotAllowed(_("Your access to this project is paused. Ask one of its admins."))
        if not is_new:
            membership.role, membership.is_active = invitation.role, True
            membership.save(update_fields=["role", "is_active"])
        record(membership, what="membership", before="" if is_new else "removed", after=membership.role, by=user)
    return membership


def join_as_new_person(*, token: str, email: str, name: str, password: str) -> Membership:
    """Make an account and, by the invitation, its membership. The invitation's own address wins over `email`.

    Raises InvitationError, and AlreadyMember when the address has an account (sign in first, then join).
    """
    invitation = find_invitation(token=token)
    try:
        with transaction.atomic():
            user = User.objects.create_user(invitation.email or email, password, name=name)
            return join(token=token, user=user)
    except IntegrityError:
        raise AlreadyMember(
            _("There is an account with this address. Sign in first, then open the link again.")
        ) from None


@transaction.atomic
def revoke_invitation(*, invitation: Invitation, by: User | None = None) -> None:
    """Make the link worthless. Raises InvitationError("used") when somebody was faster."""
    rows = Invitation.objects.filter(pk=invitation.pk, accepted_at__isnull=True)
    if not rows.update(revoked_at=timezone.now()):
        raise InvitationError("used")
    record(invitation, what="invitation", before="open", after="withdrawn", by=by)


def _lock_admins(membership: Membership) -> None:
    """Serialise changes to a project's admins, and raise LastAdmin when this one is the only active one."""
    Project.objects.select_for_update().get(pk=membership.project_id)
    admins = Membership.objects.filter(project_id=membership.project_id, role=Role.ADMIN, is_active=True)
    if not admins.exclude(pk=membership.pk).exists():
        raise LastAdmin


@transaction.atomic
def change_role(*, membership: Membership, role: Role | str, by: User | None = None) -> None:
    """Give a member another role. Raises LastAdmin."""
    before = membership.role
    if Role(role) is not Role.ADMIN and before == Role.ADMIN and membership.is_active:
        _lock_admins(membership)
    membership.role = Role(role)
    membership.save(update_fields=["role"])
    if before != membership.role:
        record(membership, what="role", before=before, after=membership.role, by=by)


@transaction.atomic
def pause_member(*, membership: Membership, by: User | None, reason: str) -> None:
    """Close the project to a member and tell them why. The work and the drafts stay; tasks in their hands go back.

    None as `by` stands for the project's own rules. Raises CommentNeeded without a reason, LastAdmin, and NotAllowed
    for somebody who is not active.
    """
    reason = reason.strip()[:500]
    if not reason:
        raise CommentNeeded(_("Say why, in a sentence: the person reads it."))
    if membership.role == Role.ADMIN and membership.is_active:
        _lock_admins(membership)
    now = timezone.now()
    rows = Membership.objects.filter(pk=membership.pk, is_active=True)
    if not rows.update(is_active=False, paused_at=now, pause_reason=reason):
        raise NotAllowed(_("This person is not active."))
    membership.is_active, membership.paused_at, membership.pause_reason = False, now, reason
    record(membership, what="standing", before="active", after="paused", by=by, reason=reason)
    release_all(membership=membership)


@transaction.atomic
def remove_member(*, membership: Membership, by: User | None, reason: str = "") -> None:
    """Take a person out of the project. Their work stays; a new invitation lets them in again.

    Raises LastAdmin, and NotAllowed for somebody who is out already.
    """
    if membership.role == Role.ADMIN and membership.is_active:
        _lock_admins(membership)
    before = "active" if membership.is_active else "paused"
    rows = Membership.objects.filter(Q(is_active=True) | Q(paused_at__isnull=False), pk=membership.pk)
    if not rows.update(is_active=False, paused_at=None, pause_reason=""):
        raise NotAllowed(_("This person is removed already."))
    membership.is_active, membership.paused_at, membership.pause_reason = False, None, ""
    record(membership, what="standing", before=before, after="removed", by=by, reason=reason.strip())
    release_all(membership=membership)


@transaction.atomic
def resume_member(*, membership: Membership, by: User, reason: str = "") -> None:
    """Open the project to an inactive member again, with the role of before. Raises NotAllowed for an active one."""
    before = "paused" if membership.is_paused else "removed"
    rows = Membership.objects.filter(pk=membership.pk, is_active=False)
    if not rows.update(is_active=True, paused_at=None, pause_reason=""):
        raise NotAllowed(_("This person is active."))
    membership.is_active, membership.paused_at, membership.pause_reason = True, None, ""
    record(membership, what="standing", before=before, after="active", by=by, reason=reason.strip())


def create_person(*, email: str, name: str = "", password: str | None = None) -> tuple[User, str]:
    """Make an account from the command line; return it with its password, which is random unless given."""
    password = password or secrets.token_urlsafe(12)
    return User.objects.create_user(email, password, name=name), password
