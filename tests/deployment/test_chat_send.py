"""Asking, with and without scripts: streamed, once, kept when the engine is away."""

import asyncio
import json
import threading
import uuid

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler
from django.urls import reverse

from deployment.actions.chat import ask
from deployment.actions.release import deploy_model
from deployment.models import Completion, Conversation
from deployment.queries import turns_of
from deployment.states import CompletionState
from deployment.views import chat as views

pytestmark = pytest.mark.django_db(transaction=True)
BASE = "smollm2-135m-instruct"
LINES = {"HTTP_ACCEPT": "application/x-ndjson"}


def fields(text="Hello", **changes):
    data = {"token": str(uuid.uuid4()), "target": "assistant", "text": text, "temperature": "0", "max_tokens": "64"}
    return data | changes


@pytest.fixture
def url(deployment) -> str:
    return reverse("deployment-chat-send", args=["kitchen"])


@pytest.fixture
async def browser(async_client, bob):
    await async_client.aforce_login(bob)
    return async_client


async def lines_of(response) -> list[dict]:
    body = b"".join([chunk async for chunk in response.streaming_content])
    return [json.loads(line) for line in body.splitlines()]


async def test_the_answer_comes_as_lines_while_it_is_written(engine, url, browser) -> None:
    response = await browser.post(url, fields(), headers={"accept": "application/x-ndjson"})
    opening, *texts, last = await lines_of(response)
    assert response["Content-Type"] == "application/x-ndjson"
    conversation = await Conversation.objects.aget()
    assert opening["address"] == f"/p/kitchen/chat/{conversation.pk}/"
    assert "Hello" in opening["html"]
    assert "".join(line["text"] for line in texts) == f"{BASE} says hello"
    assert f"{BASE} says hello" in last["html"]
    assert "hx-trigger" not in last["html"]
    row = await Completion.objects.aget()
    assert (row.state, row.messages) == (CompletionState.DONE, [{"role": "user", "content": "Hello"}])


async def test_without_scripts_the_form_waits_and_goes_to_the_conversation(engine, url, browser) -> None:
    response = await browser.post(url, fields("长文" * 5000, system="Be brief."))
    conversation = await Conversation.objects.aget()
    assert response.status_code == 302
    assert response["Location"] == f"/p/kitchen/chat/{conversation.pk}/#end"
    page = await browser.get(f"/p/kitchen/chat/{conversation.pk}/")
    assert "长文长文" in page.content.decode()
    assert f"{BASE} says hello" in page.content.decode()
    assert engine.requests[0]["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_two_answer_side_by_side_each_logged_with_its_model(engine, url, browser, tuned_model) -> None:
    response = await browser.post(url, fields(beside=tuned_model.name), headers={"accept": "application/x-ndjson"})
    lines = await lines_of(response)
    assert next(line for line in lines if "html" in line)["html"].count("data-answer=") == 2
    names = [name async for name in Completion.objects.order_by("side").values_list("model_name", flat=True)]
    assert names == [BASE, tuned_model.name]
    assert {request["model"] for request in engine.requests} == set(names)


async def test_a_second_question_carries_the_conversation(engine, url, browser) -> None:
    await browser.post(url, fields("One"))
    conversation = await Conversation.objects.aget()
    await browser.post(url, fields("Two", conversation=str(conversation.pk)))
    assert [message["content"] for message in engine.requests[-1]["messages"]] == ["One", f"{BASE} says hello", "Two"]
    turns = await sync_to_async(turns_of)(conversation)
    assert [turn.question for turn in turns] == ["One", "Two"]


async def test_a_double_click_sends_once(engine, url, browser) -> None:
    data = fields()
    await browser.post(url, data)
    again = await browser.post(url, data)
    assert again["Location"].startswith("/p/kitchen/chat/")
    scripted = await browser.post(url, data, headers={"accept": "application/x-ndjson"})
    assert (scripted.status_code, scripted["Location"]) == (409, again["Location"])
    assert await Completion.objects.acount() == 1
    assert len(engine.requests) == 1


async def test_an_engine_that_is_away_is_said_and_the_message_is_kept(url, browser) -> None:
    response = await browser.post(url, fields("My long question"), headers={"accept": "application/x-ndjson"})
    *_, last = await lines_of(response)
    assert "The engine does not answer" in last["html"]
    assert "Try again" in last["html"]
    conversation = await Conversation.objects.aget()
    page = (await browser.get(f"/p/kitchen/chat/{conversation.pk}/")).content.decode()
    assert "My long question" in page
    assert "Your message is kept." in page


async def test_after_a_failure_the_same_question_can_be_asked_again(url, browser, settings, engine) -> None:
    engine.error_line = {"message": "out of luck", "kind": "code"}
    engine.answers[BASE] = ["", "x"]
    await browser.post(url, fields("Please"))
    engine.error_line, engine.answers = None, {}
    failed = await Completion.objects.aget()
    assert failed.state == CompletionState.FAILED
    again = reverse("deployment-answer-regenerate", args=["kitchen", failed.key])
    await browser.post(again, {"token": str(uuid.uuid4())})
    conversation = await Conversation.objects.aget()
    [turn] = await sync_to_async(turns_of)(conversation)
    assert turn.answers[0].response == f"{BASE} says hello"
    assert turn.n_attempts == 2


async def test_another_answer_is_sampled_and_asked_of_what_is_live_now(
    engine, url, browser, deployment, tuned_model
) -> None:
    await browser.post(url, fields())
    await sync_to_async(deploy_model)(deployment=deployment, model=tuned_model, reason="a test")
    first = await Completion.objects.aget()
    again = reverse("deployment-answer-regenerate", args=["kitchen", first.key])
    token = {"token": str(uuid.uuid4())}
    await browser.post(again, token)
    await browser.post(again, token)
    rows = [row async for row in Completion.objects.order_by("pk")]
    assert [row.model_name for row in rows] == [BASE, tuned_model.name]
    assert rows[1].parameters["temperature"] == 0.8
    assert rows[1].messages == rows[0].messages


@pytest.mark.parametrize(
    "changes",
    [{"text": "  "}, {"target": "nobody"}, {"max_tokens": "0"}, {"temperature": "9"}, {"beside": "assistant"}],
)
async def test_a_bad_form_is_shown_again_with_what_was_typed(engine, url, browser, changes) -> None:
    data = fields("Keep me") | changes
    page = await browser.post(url, data)
    piece = await browser.post(url, data, headers={"accept": "application/x-ndjson"})
    assert (page.status_code, piece.status_code) == (422, 422)
    for response in (page, piece):
        assert 'class="errorlist' in response.content.decode()
        assert data["text"].strip() in response.content.decode()
    assert await Completion.objects.acount() == 0


async def test_only_members_ask_and_only_in_their_own_conversations(
    engine, url, browser, async_client, charlie, rita
) -> None:
    await browser.post(url, fields())
    conversation = await Conversation.objects.aget()
    completion = await Completion.objects.aget()
    assert (await browser.get(url)).status_code == 405
    await async_client.aforce_login(rita)
    again = reverse("deployment-answer-regenerate", args=["kitchen", completion.key])
    assert (await async_client.post(url, fields(conversation=str(conversation.pk)))).status_code == 404
    assert (await async_client.post(again, {"token": str(uuid.uuid4())})).status_code == 404
    await async_client.aforce_login(charlie)
    assert (await async_client.post(url, fields())).status_code == 404
    await async_client.alogout()
    assert "/accounts/login/" in (await async_client.post(url, fields()))["Location"]
    assert await Completion.objects.acount() == 1


def connection_to(url, browser, settings) -> tuple[ApplicationCommunicator, bytes]:
    """Return the whole ASGI handler, as uvicorn drives it, and the body of a question."""
    body = "&".join(f"{name}={value}" for name, value in fields().items()).encode()
    cookie = f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"
    headers = [
        (b"host", b"localhost"),
        (b"cookie", cookie.encode() + b"; " + f"{settings.CSRF_COOKIE_NAME}={'a' * 32}".encode()),
        (b"x-csrftoken", b"a" * 32),
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"content-length", str(len(body)).encode()),
        (b"accept", b"application/x-ndjson"),
    ]
    scope = {"type": "http", "method": "POST", "path": url, "query_string": b"", "headers": headers}
    scope |= {"asgi": {"version": "3.0"}, "http_version": "1.1"}
    return ApplicationCommunicator(ASGIHandler(), scope), body


async def test_a_browser_that_goes_away_stops_the_answer_and_keeps_what_was_written(
    engine, url, browser, settings
) -> None:
    """The stop button closes the connection."""
    engine.held = True
    connection, body = connection_to(url, browser, settings)
    await connection.send_input({"type": "http.request", "body": body})
    start = await connection.receive_output(10)
    assert start["status"] == 200
    opening = await connection.receive_output(10)
    first = await connection.receive_output(10)
    assert json.loads(opening["body"])["conversation"]
    assert json.loads(first["body"])["text"] == BASE
    await connection.send_input({"type": "http.disconnect"})
    await connection.wait(10)
    row = await Completion.objects.aget()
    assert (row.state, row.response, row.finish_reason) == (CompletionState.CANCELLED, BASE, "cancelled")
    assert await asyncio.to_thread(engine.wait_until_left)


async def test_a_browser_that_goes_away_before_the_first_line_leaves_no_open_row(
    engine, url, browser, settings, monkeypatch
) -> None:
    asking, gone = threading.Event(), threading.Event()

    def slow_ask(**question):
        asking.set()
        assert gone.wait(10)
        return ask(**question)

    monkeypatch.setattr(views, "ask", slow_ask)
    connection, body = connection_to(url, browser, settings)
    await connection.send_input({"type": "http.request", "body": body})
    assert await asyncio.to_thread(asking.wait, 10)
    await connection.send_input({"type": "http.disconnect"})
    for _turn in range(100):  # let the handler hear of it
        await asyncio.sleep(0)
    gone.set()
    await connection.wait(10)
    row = await Completion.objects.aget()
    assert row.state == CompletionState.CANCELLED
    assert engine.requests == []
