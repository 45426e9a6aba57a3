"""The OpenAPI document of /v1 tells everything that is there, and the interface keeps to it whatever it is sent.

EMEND_FUZZ=200 makes 200 examples of each operation instead of a few.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.test import Client
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from deployment.api import urls as answering
from deployment.api.document import document
from deployment.models import Completion
from deployment.states import CompletionState
from labeling.actions.api_key import create_key
from labeling.states import Scope
from tests.training.api import as_jsonl, chat_rows, upload
from training.api import urls as training

pytestmark = pytest.mark.django_db
N_EXAMPLES = int(os.environ.get("EMEND_FUZZ") or 0)
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
METHODS = ("get", "post", "delete")
STREAMED = "/v1/files/{file_id}/content"  # asynchronously, which WSGI does not do
DEEP = b'{"messages": ' + b"[" * 100_000
BODIES = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{",
    b'{"model": NaN}',
    b'{"model": 1e400, "seed": 1e400, "n_epochs": -1e400, "rating": 1e400}',
    b'{"seed": ' + b"9" * 5000 + b"}",
    b'{"model": "a", "model": 1, "messages": 1, "messages": []}',
    b'{"model": "a\\u0000", "training_file": "\\u0000"}',
    b'{"model": "\\ud800", "completion_id": "\\udfff"}',
    b'{"model": "\xff\xfe"}',
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    DEEP,
    b"\x1f\x8b\x08\x00",
    b"a=b&c=d",
    b"--x\r\nContent-Disposition: form-data; name=purpose\r\n",
]
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(
            [0, -1, 2**31, 2**63, -(2**63) - 1, 10**30, 1e308, 0.5, "", "auto", "../../etc/passwd", "文" * 300]
        ),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=4,
)


def fuzz(n_usual: int) -> settings:
    return settings(
        max_examples=N_EXAMPLES or n_usual,
        derandomize=not N_EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def one_connection() -> Iterator[None]:
    """Let requests leave the test's own connection open, as Django's test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def key(project, deployment) -> str:
    return create_key(project=project, name="a test", requests_per_minute=0)[1]


@pytest.fixture
def api(client: Client, key: str) -> Client:
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return client


@pytest.fixture
def names(api: Client, project) -> dict[str, str]:
    """Something that is there, for each name in an address."""
    file = upload(api, as_jsonl(chat_rows(12))).json()["id"]
    made = {}
    for address in ("fine_tuning/jobs", "fine-tunes"):
        answer = api.post(
            f"/v1/{address}", json.dumps({"model": "curie", "training_file": file}), content_type="application/json"
        )
        made[address] = answer.json()["id"]
    row = Completion.objects.create(
        key="chatcmpl-1",
        project=project,
        model_name="curie",
        messages=[{"role": "user", "content": "Hello"}],
        response="Hello!",
        state=CompletionState.DONE,
        finish_reason="stop",
        is_stored=True,
    )
    lines = upload(api, b'{"custom_id": "r1"}\n', purpose="batch").json()["id"]
    wanted = {"input_file_id": lines, "endpoint": "/v1/completions", "completion_window": "24h"}
    batch = api.post("/v1/batches", json.dumps(wanted), content_type="application/json")
    return {
        "file_id": file,
        "batch_id": batch.json()["id"],
        "job_id": made["fine_tuning/jobs"],
        "fine_tune_id": made["fine-tunes"],
        "model": "curie",
        "completion_id": row.key,
    }


def served() -> set[tuple[str, str]]:
    """Every address with each of its methods, as the table of addresses has them."""
    found = set()
    for pattern in (*training.urlpatterns, *answering.urlpatterns):
        path = re.sub(r"<[^>]+>", "{}", f"/v1/{pattern.pattern}")
        found |= {(path, method.lower()) for method in pattern.callback.views}
    return found


def test_the_document_tells_every_address_and_no_other(client: Client) -> None:
    found = client.get("/v1/openapi.json").json()
    validate_schema(found)
    told = {
        (re.sub(r"{[^}]+}", "{}", path), method)
        for path, methods in found["paths"].items()
        for method in methods
        if method in METHODS
    }
    assert told == served() - {("/v1/openapi.json", "get")}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_interface_keeps_to_its_document(mode, key, names, engine) -> None:
    headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"}
    schema: Any = schemathesis.openapi.from_dict(document())
    schema.app = get_wsgi_application()
    wrong, n_right = [], 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path == STREAMED:
            continue

        @given(case=operation.as_strategy(generation_mode=mode))
        @fuzz(2)
        def ask(case: Any) -> None:
            nonlocal n_right
            for name in case.path_parameters or {}:
                case.path_parameters[name] = names[name]
            if isinstance(case.body, dict) and "stream" in case.body:
                case.body["stream"] = None  # streamed asynchronously
            if isinstance(case.query, dict) and "stream" in case.query:
                case.query["stream"] = "false"
            with transaction.atomic():
                response = case.call(headers=headers)
                transaction.set_rollback(True)
            n_right += response.status_code < 300
            case.validate_response(response, checks=CHECKS)

        try:
            with one_connection():
                ask()
        except (FailureGroup, Failure) as error:
            parts = error.exceptions if isinstance(error, FailureGroup) else [error]
            wrong.append("\n".join([operation.label, *(f"{part.title}: {part.message}" for part in parts)]))
    assert not wrong, "\n\n".join(wrong)
    assert n_right > 15 or mode == GenerationMode.NEGATIVE


def requests_with_bodies() -> list[tuple[str, dict[str, Any]]]:
    """The addresses that take JSON, each with the shape that it takes."""
    told = document()
    shapes = told["components"]["schemas"]
    found = []
    for path, methods in told["paths"].items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {})
        if "application/json" in content:
            name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
            found.append((path, shapes[name]))
    return found


def asked(api: Client, path: str, body: bytes, content_type: str = "application/json", **headers: str) -> Any:
    """Ask, and look at what every answer has: the envelope where it is no success, and never a failure of the server's."""
    response = api.post(path, body, content_type=content_type, headers=headers)
    assert response.status_code < 500 or (response.status_code, response.json()["error"]["code"]) == (
        503,
        "engine_unavailable",
    )
    if response.status_code >= 300:
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    return response


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
def test_no_body_breaks_an_address(api: Client, names, content_type: str) -> None:
    for path, _shape in [*requests_with_bodies(), ("/v1/files", {})]:
        for body in BODIES:
            asked(api, path.format(**names), body, content_type)


def test_no_value_of_a_field_breaks_an_address(api: Client, names) -> None:
    usual = {
        "model": "curie",
        "messages": [{"role": "user", "content": "Hello"}],
        "training_file": names["file_id"],
        "completion_id": names["completion_id"],
        "rating": "up",
    }
    shapes = dict(requests_with_bodies())
    places = [(path, field) for path, shape in shapes.items() for field in sorted(shape["properties"])]

    @given(place=st.sampled_from(places), value=VALUES)
    @fuzz(100)
    def ask(place: tuple[str, str], value: Any) -> None:
        path, field = place
        body = {**{name: usual[name] for name in shapes[path]["properties"] if name in usual}, field: value}
        if body.get("stream") is True:
            del body["stream"]  # streamed asynchronously
        with transaction.atomic():
            asked(api, path.format(**names), json.dumps(body).encode("utf-8", "replace"))
            transaction.set_rollback(True)

    ask()


def test_a_compressed_body_is_refused_unread(api: Client) -> None:
    for path in ("/v1/chat/completions", "/v1/files"):
        response = asked(api, path, b"\x1f\x8b\x08\x00" * 1000, **{"content-encoding": "gzip"})
        assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported_content_encoding")


@pytest.mark.parametrize(
    "query", ["after=%00", "limit=%C2%B2", "limit=99999999999999999999", "order=x", "after=%ED%A0%80"]
)
@pytest.mark.parametrize("path", ["files", "fine_tuning/jobs", "chat/completions"])
def test_a_wrong_page_is_refused(api: Client, path: str, query: str) -> None:
    response = api.get(f"/v1/{path}?{query}")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == query.partition("=")[0]


def test_every_address_needs_the_scope_that_its_document_names(client: Client, project, names) -> None:
    texts = {scope: create_key(project=project, name=scope, scopes=[scope])[1] for scope in Scope}
    for path, methods in document()["paths"].items():
        for method, told in methods.items():
            note = told.get("description", "")
            needed = {scope for scope in Scope if note and re.search(rf"\b{scope}\b", note.partition("scope ")[2])}
            for scope, text in texts.items():
                if needed and scope in needed:
                    continue  # it would act
                response = client.generic(
                    method.upper(),
                    path.format(**names),
                    b"{}",
                    content_type="application/json",
                    headers={"authorization": f"Bearer {text}"},
                )
                refused = response.status_code == 403
                assert refused == bool(needed), (method, path, scope, response.status_code)
