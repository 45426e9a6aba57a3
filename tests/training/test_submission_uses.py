"""What became of accepted texts: the line on My work."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from labeling.models import Example
from tests.factories import ExampleFactory, JobFactory, SubmissionFactory, TunedModelFactory
from training.actions.dataset import freeze_dataset
from training.queries import submission_uses

URL = reverse("training-submission-uses", args=["kitchen"])


@pytest.fixture
def accepted(project, bob):
    return lambda: ExampleFactory(project=project, submission__author=bob, submission__project=project)


def model_of(version, name: str):
    return TunedModelFactory(
        project=version.project, job=JobFactory(project=version.project, dataset_version=version), name=name
    )


def test_versions_and_models_are_named_newest_first(project, bob, member_of, accepted) -> None:
    first = accepted()
    one = freeze_dataset(project=project)
    second = accepted()
    two = freeze_dataset(project=project)
    third = accepted()
    model_of(one, "ft:old")
    model_of(two, "ft:new")
    pks = [row.submission_id for row in (first, second, third)]
    found = {use.submission_pk: (use.versions, use.models) for use in submission_uses(member_of(bob, project), pks)}
    assert found == {
        pks[0]: ([two.number, one.number], ["ft:new", "ft:old"]),
        pks[1]: ([two.number], ["ft:new"]),
        pks[2]: ([], []),
    }


def test_the_line_says_it_in_words(sign_in, project, bob, accepted) -> None:
    client, row = sign_in(bob), accepted()

    def line() -> str:
        return client.get(URL, {"submission": row.submission_id}, headers={"HX-Request": "true"}).text

    assert f'id="submission-{row.submission_id}-use"' in line()
    assert 'hx-swap-oob="true"' in line()
    assert "goes into the next dataset version" in line()
    version = freeze_dataset(project=project)
    assert f"In dataset version {version.number}." in line()
    assert "No model has learnt from it yet." in line()
    model_of(version, "ft:new")
    assert "A model learnt from it: ft:new" in line()
    Example.objects.update(retracted_at=timezone.now())
    assert "no later model learns from it" in line()


def test_others_texts_and_nonsense_are_left_out(sign_in, project, bob, rita, charlie, accepted) -> None:
    row = accepted()
    waiting = SubmissionFactory(project=project, author=bob)
    wanted = {"submission": [row.submission_id, waiting.pk, "x", "9" * 30]}
    assert sign_in(bob).get(URL, wanted).text.count("hx-swap-oob") == 1
    assert "hx-swap-oob" not in sign_in(rita).get(URL, wanted).text
    assert sign_in(charlie).get(URL, wanted).status_code == 404
    assert sign_in(bob).post(URL).status_code == 405


def test_my_work_asks_for_its_page_once(sign_in, project, bob, accepted) -> None:
    rows = [accepted(), accepted()]
    page = sign_in(bob).get("/p/kitchen/work/", {"state": "accepted"}).text
    assert page.count(f'hx-get="{URL}?') == 1
    assert all(f"submission={row.submission_id}" in page for row in rows)
    assert all(f'id="submission-{row.submission_id}-use"' in page for row in rows)
    assert URL not in sign_in(bob).get("/p/kitchen/work/", {"state": "submitted"}).text


def test_the_query_count_does_not_grow(sign_in, project, bob, accepted) -> None:
    client, rows = sign_in(bob), [accepted()]
    model_of(freeze_dataset(project=project), "ft:one")
    with CaptureQueriesContext(connection) as one:
        client.get(URL, {"submission": [row.submission_id for row in rows]})
    rows += [accepted(), accepted()]
    model_of(freeze_dataset(project=project), "ft:two")
    with CaptureQueriesContext(connection) as three:
        client.get(URL, {"submission": [row.submission_id for row in rows]})
    assert len(one) == len(three)
