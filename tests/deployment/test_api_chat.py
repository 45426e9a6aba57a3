"""Chat completions and completions in OpenAI's form, over a stub of the engine."""

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from deployment.models import Completion
from deployment.states import CompletionState
from labeling.actions.api_key import create_key
from tests.factories import ProjectFactory

pytestmark = pytest.mark.django_db(transaction=True)
HELLO = [{"role": "user", "content": "Hello"}]
BASE = "smollm2-135m-instruct"


class KeyClient(AsyncClient):
    """A client that sends its key with every request."""

    key = ""

    async def request(self, **request: Any) -> Any:
        request["headers"] = [*request["headers"], (b"authorization", f"Bearer {self.key}".encode())]
        return await super().request(**request)


@pytest.fixture
def api(project, deployment) -> KeyClient:
    client = KeyClient()
    _row, client.key = create_key(project=project, name="a test")
    return client


async def post(api: AsyncClient, path: str = "chat/completions", **body: Any) -> Any:
    if path == "chat/completions":
        body = {"model": "assistant", "messages": HELLO, **body}
    return await api.post(f"/v1/{path}", json.dumps(body), content_type="application/json")


async def events_of(response) -> list[Any]:
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/event-stream")
    text = b"".join([part async for part in response.streaming_content]).decode()
    frames = [frame for frame in text.split("\n\n") if frame]
    assert all(frame.startswith("data: ") for frame in frames)
    assert text.endswith("\n\n")
    return [frame[6:] if frame == "data: [DONE]" else json.loads(frame[6:]) for frame in frames]


async def test_an_answer_has_the_known_shape_and_is_logged(engine, api) -> None:
    response = await post(api, temperature=0, metadata={"suite": "a"}, store=True, seed=None, stop=None)
    body = response.json()
    assert response.status_code == 200
    assert (body["object"], body["model"]) == ("chat.completion", "assistant")
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": f"{BASE} says hello", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    row = await Completion.objects.select_related("api_key").aget(key=body["id"])
    assert (row.state, row.metadata, row.is_stored) == (CompletionState.DONE, {"suite": "a"}, True)
    assert row.api_key.name == "a test"


async def test_the_parameters_reach_the_engine_and_nulls_do_not(engine, api) -> None:
    nulls = dict.fromkeys(["n", "logprobs", "stop", "user", "tools", "stream", "stream_options", "metadata"])
    await post(api, **nulls, temperature=0.5, top_p=0.9, max_tokens=9, max_completion_tokens=5, frequency_penalty=0.1)
    sent = engine.requests[0]
    assert {name: sent[name] for name in sent if name not in ("model", "path", "messages", "seed")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 5,
        "frequency_penalty": 0.1,
    }


async def test_messages_are_read_in_all_their_forms(engine, api) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": None},
        {"role": "user", "content": "three", "name": "bob"},
    ]
    await post(api, messages=messages)
    assert engine.requests[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one two"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "three"},
    ]


async def test_a_stream_begins_with_the_role_and_ends_with_one_reason_and_done(engine, api) -> None:
    *chunks, last = await events_of(await post(api, stream=True))
    assert last == "[DONE]"
    assert all(chunk["object"] == "chat.completion.chunk" and len(chunk["choices"]) == 1 for chunk in chunks)
    assert not any("error" in chunk or "usage" in chunk for chunk in chunks)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": BASE},
        {"content": " says"},
        {"content": " hello"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 4 + ["stop"]


async def test_usage_comes_last_and_only_where_it_is_asked_for(engine, api) -> None:
    *chunks, last, _done = await events_of(await post(api, stream=True, stream_options={"include_usage": True}))
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 10
    assert {chunk["usage"] for chunk in chunks} == {None}


async def test_several_answers_have_their_indexes_and_seeds(engine, api) -> None:
    body = (await post(api, n=2, seed=4)).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 6, "total_tokens": 13}
    assert sorted(sent["seed"] for sent in engine.requests) == [4, 5]
    chunks = (await events_of(await post(api, n=2, stream=True)))[:-1]
    assert chunks[0]["choices"][0]["index"] == 0
    ends = [chunk["choices"][0]["index"] for chunk in chunks if chunk["choices"][0]["finish_reason"]]
    assert sorted(ends) == [0, 1]


@pytest.mark.parametrize("is_stream", [True, False])
async def test_an_unknown_model_and_another_projects_are_404_before_anything_is_sent(engine, api, is_stream) -> None:
    from tests.deployment.conftest import make_model

    foreign = await sync_to_async(lambda: make_model(ProjectFactory()))()
    for name in ("no-such-model", foreign.name):
        response = await post(api, model=name, stream=is_stream)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


async def test_an_engine_that_is_away_is_a_503_also_for_a_stream(api) -> None:
    response = await post(api, stream=True)
    assert response.status_code == 503
    assert response.json()["error"]["type"] == "server_error"


async def test_a_failure_in_the_middle_is_the_last_event(engine, api) -> None:
    engine.break_off = True
    *_chunks, last = await events_of(await post(api, stream=True))
    assert last["error"]["code"] == "engine_unavailable"


async def test_a_reader_who_goes_away_ends_the_generation(engine, api) -> None:
    engine.held = True
    response = await post(api, stream=True)
    stream = aiter(response.streaming_content)
    await anext(stream)
    await stream.aclose()
    await sync_to_async(response.close)()
    assert await asyncio.to_thread(engine.wait_until_left)
    row = await Completion.objects.aget()
    assert (row.state, row.response) == (CompletionState.CANCELLED, BASE)


async def test_a_response_that_nobody_reads_ends_the_generation_too(engine, api) -> None:
    engine.held = True
    response = await post(api, stream=True)
    await sync_to_async(response.close)()
    assert await asyncio.to_thread(engine.wait_until_left)


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("messages", [], "messages"),
        ("messages", "Hello", "messages"),
        ("messages", [{"role": "wizard", "content": "x"}], "messages[0].role"),
        ("messages", [{"role": "tool", "content": "x"}], "messages[0].role"),
        ("messages", [{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0]"),
        ("messages", [{"role": "user"}], "messages[0].content"),
        ("model", None, "model"),
        ("model", 3, "model"),
        ("temperature", 3, "temperature"),
        ("temperature", "1", "temperature"),
        ("temperature", True, "temperature"),
        ("top_p", -0.1, "top_p"),
        ("max_tokens", 0, "max_tokens"),
        ("max_completion_tokens", 1.5, "max_completion_tokens"),
        ("n", 33, "n"),
        ("stop", [""], "stop"),
        ("seed", 2**70, "seed"),
        ("stream_options", {"include_usage": True}, "stream_options"),
        ("tools", [{"type": "function"}], "tools"),
        ("tool_choice", "required", "tool_choice"),
        ("response_format", {"type": "json_object"}, "response_format"),
        ("modalities", ["text", "audio"], "modalities"),
        ("logit_bias", {"5": 100}, "logit_bias"),
        ("best_of", 2, "best_of"),
        ("min_p", 0.1, "min_p"),
        ("web_search_options", {}, "web_search_options"),
        ("top_k", -1, "top_k"),
        ("top_logprobs", 2, "top_logprobs"),
        ("metadata", {"a": 1}, "metadata.a"),
        ("metadata", {str(i): "x" for i in range(17)}, "metadata"),
        ("messages", [{"role": "user", "content": "a\x00b"}], None),
        ("messages", [{"role": "user", "content": "\ud800"}], None),
    ],
)
async def test_what_is_wrong_or_not_served_is_refused_by_its_name(api, field, value, param) -> None:
    response = await post(api, **{field: value})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert not await Completion.objects.aexists()


async def test_completions_take_a_list_of_prompts_and_echo_them(engine, api) -> None:
    nulls = dict.fromkeys(["n", "max_tokens", "logprobs", "temperature", "top_p", "stop"])
    response = await post(api, "completions", model="curie", prompt=["a", "b"], echo=True, stream=False, **nulls)
    body = response.json()
    assert (body["object"], body["id"][:5]) == ("text_completion", "cmpl-")
    assert [choice["text"] for choice in body["choices"]] == [f"a{BASE} says hello", f"b{BASE} says hello"]
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert {sent["max_tokens"] for sent in engine.requests} == {16}


async def test_an_echoed_prompt_has_a_place_in_the_lists_of_scores(engine, api) -> None:
    response = await post(api, "completions", model="curie", prompt="Say", echo=True, logprobs=0)
    assert response.json()["choices"][0]["logprobs"] == {
        "tokens": ["Say", BASE, " says", " hello"],
        "token_logprobs": [None, -0.5, -0.5, -0.5],
        "top_logprobs": [None, {}, {}, {}],
        "text_offset": [0, 3, 3 + len(BASE), 8 + len(BASE)],
    }


async def test_a_stream_of_a_completion_and_the_address_of_old(engine, api) -> None:
    response = await post(api, "engines/curie/completions", prompt="Say", model=None, stream=True, echo=True)
    *chunks, last = await events_of(response)
    assert last == "[DONE]"
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == f"Say{BASE} says hello"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]


@pytest.mark.parametrize("prompt", [[1, 2], [[1]], [], 5, {"a": 1}])
async def test_a_prompt_that_is_no_text_is_refused(api, prompt) -> None:
    response = await post(api, "completions", model="curie", prompt=prompt)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "prompt")


async def test_stored_answers_are_listed_read_labelled_and_let_go(engine, api) -> None:
    await post(api)
    key = (await post(api, store=True, metadata={"suite": "a"})).json()["id"]
    other = (await post(api, store=True)).json()["id"]
    listed = (await api.get("/v1/chat/completions?metadata[suite]=a&limit=5")).json()
    assert [row["id"] for row in listed["data"]] == [key]
    assert [row["id"] for row in (await api.get("/v1/chat/completions")).json()["data"]] == [key, other]
    first = (await api.get(f"/v1/chat/completions/{key}/messages")).json()["data"][0]
    assert (first["role"], first["content"]) == ("user", "Hello")
    updated = await post(api, f"chat/completions/{key}", metadata={"x": "y"})
    assert updated.json()["metadata"] == {"x": "y"}
    assert (await api.delete(f"/v1/chat/completions/{key}")).json()["deleted"] is True
    assert (await api.get(f"/v1/chat/completions/{key}")).status_code == 404
