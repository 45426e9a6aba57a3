import json

import pytest
from django.urls import reverse

from common.conversations import digest
from labeling.models import Probe, RegressionTest
from tests.streams import download
from tests.training.conftest import make_correction, make_demonstration
from training.actions.dataset import freeze_dataset
from training.models import DatasetVersion
from training.queries import export_chunks

HTMX = {"HTTP_HX_REQUEST": "true"}


def url(name: str, number: int | None = None) -> str:
    return reverse(f"training-dataset-{name}", args=["kitchen", *([number] if number else [])])


@pytest.fixture
def version(project) -> DatasetVersion:
    for n in range(30):
        make_demonstration(project, f"What is {n} and {n}?")
    make_correction(project, "What colour is the sky?")
    return freeze_dataset(project=project)


@pytest.mark.parametrize("name", ["list", "show", "download"])
def test_pages_are_for_admins_of_the_project(sign_in, version, rita, charlie, name) -> None:
    address = url(name, None if name == "list" else 1)
    assert sign_in(charlie).get(address).status_code == 404
    assert sign_in(rita).get(address).status_code == 403
    assert sign_in(rita).post(address).status_code == 405


def test_freezing_is_for_admins_and_posts_only(sign_in, project, alice, rita, charlie) -> None:
    make_correction(project, "One?")
    assert sign_in(charlie).post(url("create")).status_code == 404
    assert sign_in(rita).post(url("create")).status_code == 403
    assert sign_in(alice).get(url("create")).status_code == 405
    assert not DatasetVersion.objects.exists()
    response = sign_in(alice).post(url("create"), {"note": "the first"})
    assert response["Location"] == url("show", 1)
    frozen = DatasetVersion.objects.get()
    assert (frozen.note, frozen.created_by) == ("the first", alice)


def test_a_note_that_is_too_long_is_refused(sign_in, project, alice) -> None:
    make_correction(project, "One?")
    response = sign_in(alice).post(url("create"), {"note": "x" * 501}, **HTMX)
    assert response.status_code == 422
    assert "at most 500 characters" in response.content.decode()
    assert not DatasetVersion.objects.exists()


def test_what_blocks_a_freeze_is_said(sign_in, project, alice) -> None:
    client = sign_in(alice)
    response = client.post(url("create"), follow=True)
    assert "There is no accepted example yet" in response.content.decode()
    example = make_correction(project, "What colour is the sky?")
    test = RegressionTest.objects.create(
        project=project,
        case=example.correction.case,
        correction=example.correction,
        messages=example.messages[:-1],
        chosen="a",
        rejected="b",
    )
    Probe.objects.create(test=test, messages=example.messages[:-1], prompt_hash=digest(example.messages[:-1]))
    response = client.post(url("create"), follow=True)
    assert "“What colour is the sky?” (case" in response.content.decode()


def test_the_list_says_what_waits(sign_in, project, alice, version, count_queries) -> None:
    client = sign_in(alice)
    response, n_queries = count_queries(lambda: client.get(url("list")))
    assert "The newest version has every accepted example" in response.content.decode()
    for n in range(2):
        make_correction(project, f"More {n}?")
        freeze_dataset(project=project, by=alice)
    make_correction(project, "Later?")
    response, n_queries_of_three = count_queries(lambda: client.get(url("list")))
    assert n_queries_of_three == n_queries
    assert len(response.context["page"]) == 3
    assert "1 accepted example is in no version yet" in response.content.decode()


def test_the_page_counts_sources_and_news(sign_in, project, alice, version) -> None:
    make_correction(project, "Which colour has grass?")
    freeze_dataset(project=project)
    client = sign_in(alice)
    response = client.get(url("show", 2))
    text = response.content.decode()
    assert "new since v1" in text
    assert DatasetVersion.objects.get(number=2).content_hash in text
    counts = {tab["name"]: tab["n"] for tab in response.context["tabs"]}
    assert counts == {"all": 32, "new": 1, "gone": 0}
    assert client.get(url("show", 9)).status_code == 404


@pytest.mark.parametrize(("rows", "n"), [("all", 25), ("new", 1), ("gone", 0), ("nonsense", 25)])
def test_the_rows_are_browsed_by_kind(sign_in, project, alice, version, rows, n) -> None:
    make_correction(project, "Which colour has grass?")
    freeze_dataset(project=project)
    response = sign_in(alice).get(url("show", 2) + f"?rows={rows}", **HTMX)
    text = response.content.decode()
    assert "<html" not in text
    assert text.count("<article") == n
    assert ("Which colour has grass?" in text) == (rows == "new") or n == 25


def test_rows_cost_no_query_each(sign_in, project, alice, version, count_queries) -> None:
    client = sign_in(alice)
    _response, few = count_queries(lambda: client.get(url("show", 1) + "?rows=valid"))
    _response, many = count_queries(lambda: client.get(url("show", 1) + "?rows=all"))
    assert few == many


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("query", "name"), [("", "kitchen-v1.jsonl"), ("?split=valid", "kitchen-v1-valid.jsonl")])
def test_the_download_is_openai_chat_jsonl(version, alice, query, name) -> None:
    text = download(alice, url("download", 1) + query, name=name)
    assert text == "".join(export_chunks(version, split="valid" if query else ""))
    assert len(text.splitlines()) == (version.n_valid if query else version.n_examples)
    assert set(json.loads(text.splitlines()[0])) == {"messages"}
