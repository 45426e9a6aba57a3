import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from labeling.models import Membership, Project, User
from labeling.states import Role, SubmissionState
from tests.factories import (
    CaseFactory,
    InstructionVersionFactory,
    MembershipFactory,
    SubmissionFactory,
    TaskFactory,
    UserFactory,
)

LIST = "labeling-project-list"


@pytest.fixture
def root(db) -> User:
    return User.objects.create_superuser("root@example.org", "correct horse battery")


def test_a_visitor_is_asked_to_sign_in(client, project) -> None:
    for name, args in ((LIST, []), ("labeling-project-home", ["kitchen"]), ("labeling-project-edit", ["kitchen"])):
        response = client.get(reverse(name, args=args))
        assert response.headers["Location"].startswith("/accounts/login/?next=")


def test_one_project_opens_at_once_and_several_are_listed(sign_in, bob) -> None:
    client = sign_in(bob)
    assert client.get(reverse(LIST)).headers["Location"] == "/p/kitchen/"
    MembershipFactory(user=bob, project__name="Garden help")
    page = client.get(reverse(LIST)).text
    assert "Garden help" in page
    assert "Kitchen help" in page


def test_somebody_without_a_project_is_told_what_to_do(sign_in, db) -> None:
    assert "invited" in sign_in(UserFactory()).get(reverse(LIST)).text


def test_a_project_that_one_was_removed_from_is_gone_from_the_list(sign_in, bob, project) -> None:
    Membership.objects.filter(user=bob).update(is_active=False)
    assert "Kitchen help" not in sign_in(bob).get(reverse(LIST)).text
    assert sign_in(bob).get(reverse("labeling-project-home", args=["kitchen"])).status_code == 404


def test_a_superuser_makes_a_project_and_is_its_admin(sign_in, root) -> None:
    response = sign_in(root).post(
        reverse("labeling-project-create"), {"name": "Garden", "slug": "garden", "description": "Plants"}
    )
    assert response.headers["Location"] == "/p/garden/instructions/publish/"
    assert Membership.objects.get(project__slug="garden").role == Role.ADMIN


def test_nobody_else_makes_projects(sign_in, alice) -> None:
    assert sign_in(alice).get(reverse("labeling-project-create")).status_code == 403
    assert sign_in(alice).post(reverse("labeling-project-create"), {"name": "x", "slug": "x"}).status_code == 403
    assert Project.objects.count() == 1


def test_a_slug_that_is_taken_is_refused_with_the_form(sign_in, root, project) -> None:
    response = sign_in(root).post(reverse("labeling-project-create"), {"name": "Again", "slug": "kitchen"})
    assert response.status_code == 422
    assert 'value="Again"' in response.text


def test_the_contractors_home_shows_write_and_what_came_back(sign_in, bob, project) -> None:
    TaskFactory.create_batch(2, project=project)
    SubmissionFactory(project=project, author=bob, state=SubmissionState.RETURNED)
    SubmissionFactory(project=project, author=UserFactory(), state=SubmissionState.RETURNED)
    response = sign_in(bob).get(reverse("labeling-project-home", args=["kitchen"]))
    assert "2 prompts wait for an answer" in response.text
    assert response.text.count("Revise") == 1
    assert "training" not in response.text.lower()


def test_the_reviewers_home_counts_both_queues_without_their_own_work(sign_in, rita, bob, project) -> None:
    SubmissionFactory.create_batch(2, project=project, author=bob)
    SubmissionFactory(project=project, author=rita)
    CaseFactory(project=project)
    context = sign_in(rita).get(reverse("labeling-project-home", args=["kitchen"])).context
    assert (context["n_to_review"], context["n_cases"]) == (2, 1)


def test_the_admins_home_keeps_places_for_the_loop(sign_in, alice) -> None:
    page = sign_in(alice).get(reverse("labeling-project-home", args=["kitchen"])).text
    assert page.count('class="skeleton') == 2
    assert "First steps" in page


def test_the_home_asks_the_database_the_same_at_one_and_at_three_rows(sign_in, bob, project) -> None:
    client, url = sign_in(bob), reverse("labeling-project-home", args=["kitchen"])
    version = InstructionVersionFactory(project=project)
    row = {"project": project, "author": bob, "state": SubmissionState.RETURNED, "instruction_version": version}
    SubmissionFactory(**row)
    client.get(url)  # the instructions are read once for the process
    with CaptureQueriesContext(connection) as one:
        client.get(url)
    SubmissionFactory.create_batch(2, **row)
    with CaptureQueriesContext(connection) as three:
        client.get(url)
    assert len(one) == len(three)


def test_strangers_get_404_and_the_wrong_role_403(sign_in, charlie, bob, rita) -> None:
    assert sign_in(charlie).get(reverse("labeling-project-home", args=["kitchen"])).status_code == 404
    assert sign_in(charlie).get(reverse("labeling-project-edit", args=["kitchen"])).status_code == 404
    for person in (bob, rita):
        assert sign_in(person).get(reverse("labeling-project-edit", args=["kitchen"])).status_code == 403


def test_the_settings_are_saved(sign_in, alice, project) -> None:
    data = {"name": "Cooks", "description": "New", "lease_minutes": 30, "max_send_backs": 3}
    response = sign_in(alice).post(reverse("labeling-project-edit", args=["kitchen"]), data)
    assert response.status_code == 302
    project.refresh_from_db()
    assert (project.name, project.lease_minutes, project.is_open_writing, project.slug) == (
        "Cooks",
        30,
        False,
        "kitchen",
    )


def test_wrong_settings_come_back_as_the_form_piece(sign_in, alice, project) -> None:
    data = {"name": "Cooks", "lease_minutes": 1}
    url = reverse("labeling-project-edit", args=["kitchen"])
    response = sign_in(alice).post(url, data, headers={"HX-Request": "true"})
    assert response.status_code == 422
    assert "<html" not in response.text
    assert 'value="Cooks"' in response.text
    project.refresh_from_db()
    assert project.name == "Kitchen help"


def test_wrong_methods_are_refused(sign_in, alice) -> None:
    client = sign_in(alice)
    assert client.post(reverse(LIST)).status_code == 405
    assert client.post(reverse("labeling-project-home", args=["kitchen"])).status_code == 405
    assert client.delete(reverse("labeling-project-edit", args=["kitchen"])).status_code == 405


def test_the_command_makes_a_project_with_an_admin(db, capsys) -> None:
    call_command("create_project", "garden", name="Garden", admin="Gina@example.org")
    membership = Membership.objects.get(project__slug="garden")
    assert (membership.user.email, membership.role) == ("gina@example.org", Role.ADMIN)
    password = capsys.readouterr().out.split("password: ")[1].split()[0]
    assert membership.user.check_password(password)


def test_the_command_takes_an_existing_account_and_refuses_nonsense(db, alice, capsys) -> None:
    call_command("create_project", "garden", name="Garden", admin=alice.email)
    assert "password" not in capsys.readouterr().out
    for slug, admin in (("garden", None), ("no good", None), ("fine", "no address")):
        with pytest.raises(CommandError):
            call_command("create_project", slug, name="x", admin=admin)
    assert not Project.objects.filter(slug="fine").exists()
