"""Feedback by the API, and the keys: their page and their command."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployment.models import Completion
from deployment.states import CompletionState
from labeling.actions.api_key import create_key
from labeling.models import ApiKey, Case, Example
from labeling.states import CaseState, Source
from tests.factories import ProjectFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def completion(project) -> Completion:
    return Completion.objects.create(
        key="chatcmpl-1",
        project=project,
        model_name="smollm2-135m-instruct",
        messages=[{"role": "user", "content": "What is two plus two?"}],
        response="Five.",
        state=CompletionState.DONE,
    )


@pytest.fixture
def api(client: Client, project) -> Client:
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {create_key(project=project, name='a test')[1]}"
    return client


def send(api: Client, **body: Any):
    return api.post(
        "/v1/feedback", json.dumps({"completion_id": "chatcmpl-1", **body}), content_type="application/json"
    )


def test_a_correction_from_outside_waits_for_review(api, completion) -> None:
    body = send(api, correction="Four.", comment="Sums").json()
    case = Case.objects.get()
    assert body["rating"] == "down"
    assert body["case"] == {"number": case.pk, "state": CaseState.OPEN, "fixed_in": None}
    report = case.reports.get()
    assert (report.proposal, report.comment, report.reason, report.source) == ("Four.", "Sums", "wrong", Source.API)
    assert not Example.objects.exists()


def test_the_same_feedback_again_changes_the_report_instead_of_adding_one(api, completion) -> None:
    send(api, rating="down", reason="style")
    send(api, rating=-1, reason="harmful")
    assert Case.objects.get().reports.get().reason == "harmful"


def test_a_thumbs_up_is_kept_and_can_be_read(api, completion) -> None:
    assert send(api, rating="up").status_code == 200
    assert api.get("/v1/feedback/chatcmpl-1").json()["rating"] == "up"
    assert not Case.objects.exists()


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "rating"),
        ({"rating": "sideways"}, 400, "rating"),
        ({"rating": True}, 400, "rating"),
        ({"rating": "up", "correction": "Four."}, 400, "correction"),
        ({"rating": "down", "reason": "rude"}, 400, "reason"),
        ({"correction": "Five."}, 400, "completion_id"),
        ({"rating": "up", "completion_id": "chatcmpl-2"}, 404, "completion_id"),
        ({"rating": "up", "index": 1}, 404, "completion_id"),
    ],
)
def test_bad_feedback_is_refused(api, completion, body, status, param) -> None:
    response = send(api, **body)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)
    assert not Case.objects.exists()


def test_another_projects_answer_is_unknown(client, completion) -> None:
    _row, text = create_key(project=ProjectFactory(), name="theirs")
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {text}"
    assert send(client, rating="up").status_code == 404


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "model",
        "messages",
        "prompt",
        "n",
        "stop",
        "seed",
        "metadata",
        "stream_options",
        "logprobs",
        "rating",
        "index",
        "completion_id",
        "correction",
        "reason",
        "tools",
        "response_format",
        "logit_bias",
        "temperature",
        "best_of",
    ]
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    path=st.sampled_from(["chat/completions", "completions", "feedback", "chat/completions/x"]),
    body=st.dictionaries(FIELDS, JSON, max_size=6).map(json.dumps) | st.binary(max_size=40),
)
def test_no_body_breaks_the_server(api, path, body) -> None:
    response = api.post(f"/v1/{path}", body, content_type="application/json")
    assert 400 <= response.status_code < 500
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_the_page_shows_a_new_key_once(sign_in, alice, project) -> None:
    browser = sign_in(alice)
    address = f"/p/{project.slug}/keys/"
    data = {"name": "Shop", "scopes": ["inference", "feedback"], "days": "30"}
    page = browser.post(f"{address}create/", data, follow=True).content.decode()
    key = ApiKey.objects.get()
    shown = page.split('id="new-key" value="')[1].split('"')[0]
    assert browser.get("/v1/models", headers={"authorization": f"Bearer {shown}"}).status_code == 200
    assert (key.user, key.scopes, key.is_expired) == (alice, ["inference", "feedback"], False)
    assert key.expires_at is not None
    assert shown not in browser.get(address).content.decode()
    browser.post(f"{address}{key.pk}/revoke/")
    assert browser.get("/v1/models", headers={"authorization": f"Bearer {shown}"}).status_code == 401


def test_a_key_without_scopes_is_not_made(sign_in, alice, project) -> None:
    assert sign_in(alice).post(f"/p/{project.slug}/keys/create/", {"name": "Shop"}).status_code == 422
    assert not ApiKey.objects.exists()


def test_the_page_is_the_admins(sign_in, rita, charlie, project) -> None:
    assert sign_in(rita).get(f"/p/{project.slug}/keys/").status_code == 403
    assert sign_in(charlie).get(f"/p/{project.slug}/keys/").status_code == 404


def test_the_page_counts_what_a_key_was_used_for(sign_in, alice, project, completion) -> None:
    key, _text = create_key(project=project, name="Shop")
    Completion.objects.update(api_key=key, n_prompt_tokens=12, n_completion_tokens=56)
    page = sign_in(alice).get(f"/p/{project.slug}/keys/").content.decode()
    assert '<td class="num">1</td>' in page
    assert '<td class="num">56</td>' in page


def test_a_key_of_a_person_ends_when_they_are_paused(client, alice, project) -> None:
    _row, text = create_key(project=project, name="hers", user=alice)
    headers = {"authorization": f"Bearer {text}"}
    assert client.get("/v1/models", headers=headers).status_code == 200
    alice.memberships.update(is_active=False)
    assert client.get("/v1/models", headers=headers).status_code == 401


def test_the_command_prints_the_key_alone_on_its_last_line(client, project) -> None:
    out = StringIO()
    call_command("create_api_key", "--project", project.slug, "--scopes", "inference,feedback", stdout=out)
    key = out.getvalue().splitlines()[-1]
    assert client.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code == 200
    assert ApiKey.objects.get().scopes == ["inference", "feedback"]


@pytest.mark.parametrize("options", [["--project", "nobody"], ["--project", "kitchen", "--scopes", "everything"]])
def test_the_command_refuses_what_there_is_not(project, options) -> None:
    with pytest.raises(CommandError):
        call_command("create_api_key", *options)
