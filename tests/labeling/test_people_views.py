import re
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from labeling.actions.people import invite
from labeling.models import Invitation, Membership, User
from labeling.states import Role
from tests.factories import MembershipFactory

PEOPLE = "/p/kitchen/people/"
INVITE = "/p/kitchen/people/invite/"
PASSWORD = "correct horse battery"


def link_of(page: str) -> str:
    return re.search(r'value="http://testserver(/join/[^"]+)"', page).group(1)


def test_the_link_is_shown_once(sign_in, alice) -> None:
    client = sign_in(alice)
    page = client.post(INVITE, {"role": "reviewer"}, follow=True).text
    assert client.get(link_of(page)).status_code == 200
    assert "/join/" not in client.get(PEOPLE).text
    assert Invitation.objects.get().role == Role.REVIEWER
    assert mail.outbox == []


def test_the_link_is_mailed_on_request(sign_in, alice) -> None:
    data = {"role": "contractor", "email": "nora@example.org", "is_mailed": "on"}
    page = sign_in(alice).post(INVITE, data, follow=True).text
    (message,) = mail.outbox
    assert message.to == ["nora@example.org"]
    assert link_of(page) in message.body


def test_a_mail_that_does_not_go_out_is_said_and_the_link_is_there(sign_in, alice, monkeypatch) -> None:
    def refuse(**_kwargs: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("labeling.views.people.mail_invitation", refuse)
    data = {"role": "contractor", "email": "nora@example.org", "is_mailed": "on"}
    page = sign_in(alice).post(INVITE, data, follow=True).text
    assert "could not be sent" in page
    assert link_of(page)


@pytest.mark.parametrize(
    "data", [{"role": "owner"}, {"role": "contractor", "email": "no"}, {"role": "contractor", "is_mailed": "on"}]
)
def test_a_wrong_invitation_is_refused_with_the_form(sign_in, alice, data) -> None:
    response = sign_in(alice).post(INVITE, data)
    assert response.status_code == 422
    assert "errorlist" in response.text
    assert not Invitation.objects.exists()


def test_a_member_is_not_invited_again(sign_in, alice, bob) -> None:
    response = sign_in(alice).post(INVITE, {"role": "contractor", "email": bob.email})
    assert response.status_code == 422
    assert "in the project already" in response.text


def test_an_invitation_is_withdrawn(sign_in, alice, client, project) -> None:
    invitation, token = invite(project=project, role=Role.CONTRACTOR, by=alice)
    sign_in(alice).post(reverse("labeling-invitation-revoke", args=["kitchen", invitation.pk]))
    client.logout()
    response = client.get(f"/join/{token}/")
    assert response.status_code == 410
    assert "withdrawn" in response.text


def test_roles_change(sign_in, alice, bob, project, member_of) -> None:
    client, url = sign_in(alice), reverse("labeling-member-change", args=["kitchen", member_of(bob, project).pk])
    client.post(url, {"role": "reviewer"})
    assert member_of(bob, project).role == Role.REVIEWER
    assert "no such role" in client.post(url, {"role": "king"}, follow=True).text


def test_the_last_admin_is_told_why_not(sign_in, alice, project, member_of) -> None:
    url = reverse("labeling-member-change", args=["kitchen", member_of(alice, project).pk])
    page = sign_in(alice).post(url, {"role": "reviewer"}, follow=True)
    assert "at least one active admin" in page.text
    assert member_of(alice, project).role == Role.ADMIN


def test_members_of_other_projects_are_out_of_reach(sign_in, alice, charlie) -> None:
    other = Membership.objects.get(user=charlie)
    url = reverse("labeling-member-change", args=["kitchen", other.pk])
    assert sign_in(alice).post(url, {"role": "contractor"}).status_code == 404
    other.refresh_from_db()
    assert other.role == Role.ADMIN


def test_only_admins_see_and_change_people(sign_in, bob, rita, charlie, project, member_of) -> None:
    change = reverse("labeling-member-change", args=["kitchen", member_of(bob, project).pk])
    for person, status in ((bob, 403), (rita, 403), (charlie, 404)):
        client = sign_in(person)
        assert client.get(PEOPLE).status_code == status
        assert client.post(INVITE, {"role": "admin"}).status_code == status
        assert client.post(change, {"role": "admin"}).status_code == status
        assert client.post("/p/kitchen/invitations/1/revoke/").status_code == status
    assert not Invitation.objects.exists()


def test_wrong_methods_are_refused(sign_in, alice) -> None:
    client = sign_in(alice)
    assert client.post(PEOPLE).status_code == 405
    for url in (INVITE, "/p/kitchen/people/1/change/", "/p/kitchen/invitations/1/revoke/"):
        assert client.get(url).status_code == 405


def test_the_list_asks_the_database_the_same_at_one_and_at_three_rows(sign_in, alice, project) -> None:
    client = sign_in(alice)
    invite(project=project, role=Role.CONTRACTOR, by=alice)
    with CaptureQueriesContext(connection) as one:
        client.get(PEOPLE)
    for _ in range(2):
        MembershipFactory(project=project)
        invite(project=project, role=Role.CONTRACTOR, by=alice)
    with CaptureQueriesContext(connection) as three:
        client.get(PEOPLE)
    assert len(one) == len(three)


def test_a_new_person_makes_an_account_and_is_in(client, alice, project) -> None:
    _, token = invite(project=project, role=Role.REVIEWER, by=alice, email="nora@example.org")
    data = {"name": "Nora", "email": "somebody.else@example.org", "password": PASSWORD}
    response = client.post(f"/join/{token}/", data)
    assert response.headers["Location"] == "/p/kitchen/"
    assert client.get("/p/kitchen/").status_code == 200
    assert Membership.objects.get(user__email="nora@example.org").role == Role.REVIEWER


def test_a_weak_password_is_refused_with_the_form(client, alice, project) -> None:
    _, token = invite(project=project, role=Role.CONTRACTOR, by=alice)
    response = client.post(f"/join/{token}/", {"name": "Nora", "email": "nora@example.org", "password": "12345"})
    assert response.status_code == 422
    assert "too short" in response.text
    assert not User.objects.filter(email="nora@example.org").exists()


def test_an_address_with_an_account_is_sent_to_sign_in(client, alice, project, charlie) -> None:
    _, token = invite(project=project, role=Role.CONTRACTOR, by=alice)
    data = {"name": "Charlie", "email": charlie.email, "password": PASSWORD}
    response = client.post(f"/join/{token}/", data)
    assert response.status_code == 422
    assert "Sign in first" in response.text


def test_somebody_signed_in_just_joins(sign_in, alice, project, charlie) -> None:
    _, token = invite(project=project, role=Role.CONTRACTOR, by=alice)
    client = sign_in(charlie)
    assert charlie.email in client.get(f"/join/{token}/").text
    assert client.post(f"/join/{token}/").headers["Location"] == "/p/kitchen/"
    assert client.get("/p/kitchen/").status_code == 200


def test_an_expired_or_unknown_link_says_so(client, alice, project) -> None:
    _, token = invite(project=project, role=Role.CONTRACTOR, by=alice)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert "has expired" in client.get(f"/join/{token}/").text
    response = client.post("/join/nonsense/", {"name": "x"})
    assert response.status_code == 410
    assert "does not exist" in response.text


def test_signing_in_and_out(client, bob) -> None:
    page = client.get("/accounts/login/").text
    assert "sign up" not in page.lower()
    response = client.post("/accounts/login/", {"login": bob.email.upper(), "password": PASSWORD})
    assert response.headers["Location"] == "/"
    assert client.post("/accounts/logout/").headers["Location"] == "/accounts/login/"
    assert client.get("/p/kitchen/").status_code == 302


def test_a_wrong_password_keeps_the_address(client, bob) -> None:
    response = client.post("/accounts/login/", {"login": bob.email, "password": "wrong"})
    assert f'value="{bob.email}"' in response.text
    assert "notice--bad" in response.text


def test_a_forgotten_password_is_set_by_mail(client, bob) -> None:
    client.post("/accounts/password/reset/", {"email": bob.email})
    (message,) = mail.outbox
    path = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", message.body).group(1)
    form = client.get(path, follow=True)
    target = form.redirect_chain[-1][0]
    client.post(target, {"password1": "a new long password", "password2": "a new long password"})
    bob.refresh_from_db()
    assert bob.check_password("a new long password")


def test_an_unknown_address_learns_nothing_on_the_page(client, db) -> None:
    page = client.post("/accounts/password/reset/", {"email": "nobody@example.org"}, follow=True)
    assert "Look into your mail" in page.text
    assert "sign up" not in mail.outbox[0].body.lower()


def test_the_public_sign_up_is_closed(client, db) -> None:
    assert "invitation" in client.get("/accounts/signup/").text
    client.post("/accounts/signup/", {"email": "eve@example.org", "password1": PASSWORD})
    assert not User.objects.filter(email="eve@example.org").exists()


@pytest.mark.parametrize("page", ["email/", "password/change/", "reauthenticate/", "logout/"])
def test_the_account_pages_are_in_the_products_frame(sign_in, bob, page) -> None:
    response = sign_in(bob).get(f"/accounts/{page}")
    assert 'class="frame' in response.text
    assert "Menu:" not in response.text


def test_a_page_that_is_not_there_is_in_the_frame_too(sign_in, bob) -> None:
    response = sign_in(bob).get("/p/elsewhere/")
    assert response.status_code == 404
    assert 'class="frame' in response.text
