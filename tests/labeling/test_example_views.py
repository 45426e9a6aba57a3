from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from labeling.actions.case import correct_case
from labeling.models import Example, Retraction
from tests.factories import CaseFactory, ExampleFactory

LIST = "/p/kitchen/examples/"
QUERIES_OF_LIST = 13


def test_the_list_is_for_reviewers(project, sign_in, bob, charlie, rita, client) -> None:
    assert client.get(LIST).status_code == 302
    assert sign_in(charlie).get(LIST).status_code == 404
    assert sign_in(bob).get(LIST).status_code == 403
    assert sign_in(rita).post(LIST).status_code == 405


def test_shows_kinds_origins_and_finds_text(project, sign_in, rita) -> None:
    demonstration = ExampleFactory(project=project)
    ExampleFactory()
    case = CaseFactory(project=project, messages=[{"role": "user", "content": "图书馆几点开门？"}])
    correction = correct_case(case=case, text="Nine.", by=None).example
    client = sign_in(rita)
    response = client.get(LIST)
    assert list(response.context["page"]) == [correction, demonstration]
    page = response.content.decode()
    assert reverse("labeling-case-show", args=["kitchen", case.pk]) in page
    assert reverse("labeling-review-submission", args=["kitchen", demonstration.submission_id]) in page
    assert "Retract" not in page.split("<tbody>")[1]
    assert list(client.get(LIST, {"kind": "demonstration"}).context["page"]) == [demonstration]
    assert list(client.get(LIST, {"q": "图书馆"}).context["page"]) == [correction]
    fragment = client.get(LIST, {"kind": "retracted"}, HTTP_HX_REQUEST="true").content
    assert b"<html" not in fragment
    assert b"There is no example of this kind." in fragment


def test_as_many_queries_for_three_rows_as_for_one(
    project, sign_in, rita, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = sign_in(rita)
    ExampleFactory(project=project, accepted_by=rita)
    with django_assert_num_queries(QUERIES_OF_LIST):
        client.get(LIST)
    ExampleFactory(project=project, accepted_by=rita)
    correct_case(case=CaseFactory(project=project), text="Nine.", by=rita)
    with django_assert_num_queries(QUERIES_OF_LIST):
        client.get(LIST)


def test_an_admin_retracts_with_a_reason(project, sign_in, rita, alice, charlie, client) -> None:
    example = ExampleFactory(project=project)
    page = reverse("labeling-example-retract", args=["kitchen", example.pk])
    assert sign_in(charlie).post(page, {"reason": "Old"}).status_code == 404
    assert sign_in(rita).post(page, {"reason": "Old"}).status_code == 403
    assert sign_in(alice).delete(page).status_code == 405
    assert b"It can be undone" in client.get(page).content
    assert client.post(page, {"reason": " "}).status_code == 422
    assert Example.objects.trainable().exists()
    assert client.post(page, {"reason": "Old"})["Location"] == f"/p/kitchen/retractions/{Retraction.objects.get().pk}/"
    assert not Example.objects.trainable().exists()
    assert client.post(page, {"reason": "Again"}).status_code == 302
    elsewhere = reverse("labeling-example-retract", args=["kitchen", ExampleFactory().pk])
    assert client.post(elsewhere, {"reason": "Old"}).status_code == 404
