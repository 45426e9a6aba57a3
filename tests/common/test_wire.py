"""The door of /v1: what the known clients send by way of paths, methods and bodies, and the envelope that they need."""

import json

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, override_settings

from common.counters import count_up
from config import env
from labeling.actions.api_key import create_key, revoke_key
from labeling.models import ApiKey
from labeling.states import Scope
from tests.factories import BaseModelFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(project) -> str:
    return create_key(project=project, name="a test")[1]


@pytest.fixture
def api(client: Client, key: str) -> Client:
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return client


def error_of(response) -> dict:
    assert response.headers["Content-Type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert response.headers["x-request-id"].startswith("req_")
    return error


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v1/no/such/route",
        "/v1/nothing/%2Fdata%2Ftrain.jsonl",
        "/v1/nothing/..%2Fx.jsonl",
        "/v1/nothing/a%00b",
        "/v1/nothing/a%0Ab",
        "/v1/nothing/%ff%fe",
        "/v1//nothing//x",
        "/v1/模型",
        "/v1fine_tuning/jobs",
    ],
)
def test_every_unknown_path_gets_the_envelope(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert error_of(response)["type"] == "invalid_request_error"


def test_who_lost_a_slash_is_told(client: Client) -> None:
    assert "has to end with a slash" in error_of(client.get("/v1models"))["message"]
    assert "slash" not in error_of(client.get("/v1/nothing"))["message"]


def test_an_unknown_method_gets_the_envelope_and_the_methods_that_there_are(client: Client) -> None:
    response = client.put("/v1/models")
    assert response.status_code == 405
    error_of(response)
    assert response.headers["Allow"] == "GET"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/", "/v1//models"])
def test_slashes_neither_redirect_nor_miss(api: Client, path: str) -> None:
    BaseModelFactory()
    response = api.get(path)
    assert response.status_code == 200
    assert "curie" in [model["id"] for model in response.json()["data"]]


def test_content_is_not_negotiated(api: Client) -> None:
    assert api.get("/v1/models", headers={"accept": "application/binary"}).status_code == 200


def test_without_a_key_nobody_gets_in(client: Client) -> None:
    response = client.get("/v1/models")
    assert response.status_code == 401
    assert error_of(response)["code"] is None


@pytest.mark.parametrize("text", ["Bearer sk-wrong-key-0000", "Bearer \x80\xff", "Basic abc", "Bearer"])
def test_a_wrong_key_is_refused_and_not_repeated(client: Client, text: str) -> None:
    response = client.get("/v1/models", headers={"authorization": text})
    assert response.status_code == 401
    assert "sk-wrong-key-0000" not in error_of(response)["message"]


def test_the_wrong_key_has_its_code(client: Client) -> None:
    response = client.get("/v1/models", headers={"authorization": "Bearer sk-wrong-key-0000"})
    assert error_of(response)["code"] == "invalid_api_key"


def test_a_revoked_key_stops_at_once_and_the_key_itself_is_not_kept(api: Client, key: str) -> None:
    row = ApiKey.objects.get()
    assert key not in str(ApiKey.objects.values().get())
    assert api.get("/v1/models").status_code == 200
    revoke_key(key=row)
    assert api.get("/v1/models").status_code == 401


def test_the_limit_is_told_and_held(client: Client, project) -> None:
    _row, text = create_key(project=project, name="slow", requests_per_minute=2)
    headers = {"authorization": f"Bearer {text}"}
    answers = [client.get("/v1/models", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    assert error_of(answers[-1])["type"] == "rate_limit_error"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60


def test_a_scope_is_needed(client: Client, project) -> None:
    _row, text = create_key(project=project, name="files only", scopes=[Scope.FILES])
    body = json.dumps({"model": "curie", "messages": [{"role": "user", "content": "Hello"}]})
    response = client.post(
        "/v1/chat/completions", body, content_type="application/json", headers={"authorization": f"Bearer {text}"}
    )
    assert response.status_code == 403
    assert error_of(response)["code"] == "insufficient_permissions"


@override_settings(DEBUG=True)
def test_an_error_of_ours_shows_no_traceback(api: Client, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    from deployment.api import model

    def break_down(project: object) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(model, "_all_models", break_down)
    response = api.get("/v1/models")
    assert response.status_code == 500
    assert error_of(response)["type"] == "server_error"
    assert b"secret" not in response.content
    assert "secret of the house" in caplog.text


APP = "https://app.example.org"
ASKS = {
    "origin": APP,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,x-stainless-os",
}


def test_no_other_page_may_call_unless_it_is_named(api: Client) -> None:
    assert api.options("/v1/models", headers=ASKS).status_code == 405
    assert "Access-Control-Allow-Origin" not in api.get("/v1/models", headers={"origin": APP}).headers


@pytest.mark.parametrize(("origins", "allowed"), [([APP], APP), (["*"], "*"), (["https://other.example"], None)])
def test_a_named_page_may_ask_first_and_read_the_answer(client: Client, settings, origins, allowed) -> None:
    settings.CORS_ORIGINS = origins
    asked = client.options("/v1/chat/completions", headers=ASKS)
    assert asked.status_code == 204
    assert asked.headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert asked.headers["Access-Control-Allow-Headers"] == "authorization,x-stainless-os"
    refused = client.get("/v1/models", headers={"origin": APP})  # without a key: what went wrong can be read too
    for response in (asked, refused):
        assert response.headers.get("Access-Control-Allow-Origin") == allowed
        assert response.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in response.headers


def test_only_origins_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMEND_CORS_ORIGINS", f"{APP}, http://localhost:3000")
    assert env.read_origins("EMEND_CORS_ORIGINS") == [APP, "http://localhost:3000"]
    monkeypatch.setenv("EMEND_CORS_ORIGINS", f"{APP}/chat")
    with pytest.raises(ImproperlyConfigured, match="no origin"):
        env.read_origins("EMEND_CORS_ORIGINS")


def test_a_count_on_the_disk_is_shared_and_begins_anew_in_the_next_window(tmp_path) -> None:
    cache = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": tmp_path}
    with override_settings(CACHES={"default": cache}):
        assert [count_up("a", window=7, lasts_s=60) for _ in range(3)] == [1, 2, 3]
        assert count_up("b", window=7, lasts_s=60) == 1
        assert count_up("a", window=8, lasts_s=60) == 1
    assert sorted(path.suffix for path in tmp_path.glob("counts/*")) == [".7", ".8"]
