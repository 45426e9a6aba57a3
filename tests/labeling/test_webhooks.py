"""Webhooks: what is written with the event, how it is signed and sent, when it is given up."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from labeling.actions import webhook as hooks
from labeling.actions.case import report_output
from labeling.actions.case_training import settle_case
from labeling.actions.errors import BadAddress
from labeling.actions.review import review_submission
from labeling.actions.webhook import add_webhook, announce, change_webhook, deliver, nudge_due, send_again, send_test
from labeling.models import Webhook, WebhookDelivery
from labeling.outside import Answer, Unreachable, is_public, post
from labeling.states import CaseState, DeliveryState, Reason, Source, Verdict, WebhookEvent
from tests.factories import CaseFactory, ProjectFactory, SubmissionFactory

PROMPT = [{"role": "user", "content": "Who wrote it?"}]


@pytest.fixture
def sent(monkeypatch) -> list[int]:
    """The deliveries whose worker was called."""
    keys: list[int] = []
    monkeypatch.setattr(hooks.deliver_webhook, "delay", keys.append)
    return keys


@pytest.fixture
def hook(project, alice, sent) -> Webhook:
    return add_webhook(project=project, url="https://hooks.example.org/in", events=list(WebhookEvent), by=alice)[0]


def answering(monkeypatch, answer: Answer | Exception) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def ask(url: str, **request: Any) -> Answer:
        calls.append({"url": url, **request})
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(hooks, "post", ask)
    return calls


def test_each_event_writes_a_message_for_those_who_want_it(project, alice, bob, rita, hook) -> None:
    add_webhook(project=project, url="https://b.example.org/", events=[WebhookEvent.CASE_FIXED], by=alice)
    add_webhook(project=ProjectFactory(), url="https://c.example.org/", events=list(WebhookEvent), by=alice)
    submission = SubmissionFactory(project=project, author=bob)
    review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
    said = {"messages": PROMPT, "wrong_output": "Nobody.", "model_name": "m", "reason": Reason.WRONG}
    case = report_output(project=project, reporter=bob, source=Source.CHAT, **said)
    report_output(project=project, reporter=rita, source=Source.CHAT, **said)
    fixed = CaseFactory(project=project, state=CaseState.IN_TRAINING)
    settle_case(case=fixed, is_fixed=True, model_name="ft:1")
    settle_case(case=fixed, is_fixed=True, model_name="ft:2")
    rows = [(row.webhook.url[8:9], row.event, row.payload["data"]) for row in WebhookDelivery.objects.order_by("pk")]
    assert rows == [
        (
            "h",
            "submission.accepted",
            {"submission": submission.pk, "task": submission.task_id, "author": bob.pk},
        ),
        ("h", "case.opened", {"case": case.pk, "model": "m"}),
        ("h", "case.fixed", {"case": fixed.pk, "model": "ft:1"}),
        ("b", "case.fixed", {"case": fixed.pk, "model": "ft:1"}),
    ]


def test_a_message_of_an_event_that_did_not_happen_is_not_there(project, hook) -> None:
    with transaction.atomic():
        announce(project_pk=project.pk, event=WebhookEvent.CASE_OPENED, data={})
        transaction.set_rollback(True)
    assert not WebhookDelivery.objects.exists()


def test_a_message_is_signed_as_the_convention_says(project, alice, sent, monkeypatch) -> None:
    hook, secret = add_webhook(project=project, url="https://hooks.example.org/in", events=["case.opened"], by=alice)
    assert secret not in hook.sealed_secret
    calls = answering(monkeypatch, Answer(204, ""))
    delivery = send_test(webhook=hook)
    deliver(delivery=delivery)
    headers, body = calls[0]["headers"], calls[0]["body"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    right = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(right).decode()
    assert json.loads(body)["type"] == "webhook.test"
    delivery.refresh_from_db()
    assert (delivery.state, delivery.n_attempts, delivery.status_code) == (DeliveryState.DELIVERED, 1, 204)
    deliver(delivery=delivery)
    assert len(calls) == 1


def test_a_message_is_tried_seven_times_ever_more_slowly(project, hook, monkeypatch) -> None:
    calls = answering(monkeypatch, Answer(500, "down"))
    announce(project_pk=project.pk, event=WebhookEvent.CASE_OPENED, data={})
    row = WebhookDelivery.objects.get()
    waits = []
    while row.state == DeliveryState.PENDING:
        deliver(delivery=row)
        row.refresh_from_db()
        if row.next_attempt_at:
            waits.append(round((row.next_attempt_at - row.attempted_at).total_seconds()))
            WebhookDelivery.objects.update(next_attempt_at=timezone.now())
    assert waits == [5, 300, 1800, 7200, 18000, 36000]
    assert (row.state, row.n_attempts, len(calls), row.answer) == (DeliveryState.FAILED, 7, 7, "down")
    answering(monkeypatch, Answer(200, ""))
    send_again(delivery=row)
    deliver(delivery=row)
    hook.refresh_from_db()
    assert (WebhookDelivery.objects.get().state, hook.failing_since) == (DeliveryState.DELIVERED, None)


def test_a_webhook_stops_after_days_of_failure(project, alice, hook, monkeypatch) -> None:
    answering(monkeypatch, Unreachable("nobody there"))
    announce(project_pk=project.pk, event=WebhookEvent.CASE_OPENED, data={})
    deliver(delivery=WebhookDelivery.objects.get())
    hook.refresh_from_db()
    assert hook.is_active
    assert hook.failing_since
    Webhook.objects.update(failing_since=timezone.now() - timedelta(days=4))
    WebhookDelivery.objects.update(next_attempt_at=timezone.now())
    deliver(delivery=WebhookDelivery.objects.get())
    hook.refresh_from_db()
    assert not hook.is_active
    assert hook.disabled_at
    announce(project_pk=project.pk, event=WebhookEvent.CASE_OPENED, data={})
    assert WebhookDelivery.objects.count() == 1
    change_webhook(webhook=hook, url=hook.url, events=hook.events, is_active=True, by=alice)
    assert (hook.disabled_at, hook.failing_since) == (None, None)


def test_the_sweep_finds_what_is_due_and_nothing_else(project, hook, sent) -> None:
    for minutes in (-1, 5):
        row = send_test(webhook=hook)
        WebhookDelivery.objects.filter(pk=row.pk).update(next_attempt_at=timezone.now() + timedelta(minutes=minutes))
    sent.clear()
    assert nudge_due() == 1
    assert sent == [WebhookDelivery.objects.order_by("pk")[0].pk]


@pytest.mark.parametrize("url", ["ftp://example.org/", "https://name:word@example.org/", "https:///in"])
def test_addresses_that_cannot_be_called_are_refused(project, alice, url) -> None:
    with pytest.raises(BadAddress):
        add_webhook(project=project, url=url, events=["case.opened"], by=alice)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_only_addresses_of_the_open_internet_are_public(address, expected) -> None:
    assert is_public(address) is expected


def test_this_machine_is_asked_only_where_that_is_allowed(settings) -> None:
    seen: list[tuple[str, bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append((self.headers["Host"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/")
            self.end_headers()
            self.wfile.write(b"x" * 5000)

        def log_message(self, *_args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://localhost:{server.server_port}/in"
        try:
            with pytest.raises(Unreachable, match="EMEND_WEBHOOK_PRIVATE"):
                post(url, body=b"{}", headers={})
            settings.WEBHOOK_PRIVATE = True
            answer = post(url, body=b"{}", headers={})
        finally:
            server.shutdown()
            thread.join()
    assert seen == [(f"localhost:{server.server_port}", b"{}")]
    assert (answer.status, answer.text) == (302, "x" * 2000)


def test_the_pages_show_the_secret_once_and_the_log(
    sign_in, alice, project, sent, django_capture_on_commit_callbacks
) -> None:
    client = sign_in(alice)
    form = {"url": "https://hooks.example.org/in", "events": ["case.opened"]}
    response = client.post("/p/kitchen/webhooks/", form, follow=True)
    assert "whsec_" in response.text
    hook = Webhook.objects.get()
    page = f"/p/kitchen/webhooks/{hook.pk}/"
    client.post(f"{page}test/")
    shown = client.get(page)
    assert "whsec_" not in shown.text
    assert "webhook.test" in shown.text
    assert client.post(page, {**form, "url": "https://a:b@example.org/"}).status_code == 422
    client.post(page, form)
    hook.refresh_from_db()
    assert not hook.is_active
    WebhookDelivery.objects.update(state=DeliveryState.FAILED)
    sent.clear()
    with django_capture_on_commit_callbacks(execute=True):
        client.post(f"/p/kitchen/deliveries/{WebhookDelivery.objects.get().pk}/again/")
    assert sent == [WebhookDelivery.objects.get().pk]
    client.post(f"{page}delete/")
    assert not Webhook.objects.exists()
