"""Alerts: when they begin and end, and who hears of it."""

import random
from datetime import timedelta
from smtplib import SMTPException

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from deployment.actions.alert import set_alert_rules, silence, take, watch_deployments
from deployment.actions.alert_mail import mail_alert
from deployment.actions.policy import set_policy, start_due_cycles
from deployment.actions.release import deploy_model
from deployment.models import Alert, AlertRule, Completion, Cycle
from deployment.queries.alert import Standing, say_alert
from deployment.states import AlertEnd, AlertMeasure, CompletionState, Trigger
from labeling.actions.webhook import add_webhook
from labeling.models import WebhookDelivery
from labeling.states import WebhookEvent
from tests.deployment.test_guard import talk
from tests.factories import ExampleFactory

pytestmark = pytest.mark.django_db
BAD_FROM_1000 = {"bad": lambda number, _model: number >= 1000}


def watch() -> list[str]:
    """Look once; return the open alerts."""
    watch_deployments()
    return list(Alert.objects.open().order_by("pk").values_list("measure", flat=True))


def an_alert(deployment) -> Alert:
    talk(deployment, range(20))
    talk(deployment, range(1000, 1020), **BAD_FROM_1000)
    assert watch() == [AlertMeasure.BAD]
    return Alert.objects.get()


def test_an_alert_begins_beyond_doubt_and_ends_with_the_share(deployment, project) -> None:
    talk(deployment, range(30))
    talk(deployment, range(1000, 1005), **BAD_FROM_1000)
    assert watch() == [], "5 of 35 are 14 %, but may well be less than 10 %"
    talk(deployment, range(1100, 1110), **BAD_FROM_1000)
    assert watch() == [AlertMeasure.BAD]
    alert = Alert.objects.get()
    assert (alert.n, alert.n_bad, alert.model_name) == (45, 15, deployment.live_name)
    talk(deployment, range(100, 170))
    assert watch() == [AlertMeasure.BAD]
    talk(deployment, range(200, 260))
    assert watch() == []
    alert.refresh_from_db()
    assert (alert.end, alert.n, alert.n_bad) == (AlertEnd.RECOVERED, 175, 15)
    assert watch() == [], "it does not begin again"


def test_another_model_ends_what_was_said_of_the_former_one(deployment, tuned_model, alice) -> None:
    alert = an_alert(deployment)
    deploy_model(deployment=deployment, model=tuned_model, by=alice, reason="a test")
    assert watch() == []
    alert.refresh_from_db()
    assert alert.end == AlertEnd.OTHER_MODEL


@pytest.mark.parametrize(
    ("measure", "fields"),
    [
        (AlertMeasure.FAILED, {"state": CompletionState.FAILED}),
        (AlertMeasure.SLOW, {"time_to_first_token_s": 11.0}),
        (AlertMeasure.CUT, {"finish_reason": "length", "n_completion_tokens": 512}),
    ],
)
def test_each_measure_has_its_fault(deployment, measure, fields) -> None:
    talk(deployment, range(20), **fields)
    assert watch() == [measure]
    Completion.objects.update(created_at=timezone.now() - timedelta(days=2))
    assert watch() == []
    assert Alert.objects.get().end == AlertEnd.QUIET


def test_an_answer_that_was_asked_to_be_short_is_not_cut(deployment) -> None:
    talk(deployment, range(30), finish_reason="length", n_completion_tokens=16)
    assert watch() == []


def test_a_rule_can_be_changed_and_switched_off(deployment, project, alice) -> None:
    alert = an_alert(deployment)
    set_alert_rules(project=project, values=[{"measure": "bad", "is_on": False}], by=alice)
    assert watch() == []
    alert.refresh_from_db()
    assert alert.end == AlertEnd.OFF
    set_alert_rules(project=project, values=[{"measure": "bad", "is_on": True, "threshold": 60.0}], by=alice)
    assert watch() == []


def test_a_limit_that_is_kept_raises_no_alert() -> None:
    """Looked at after every conversation of twenty runs at half the limit: none; at three times the limit: all."""

    def begins(rate: float, seed: int) -> bool:
        chance, seen = random.Random(seed), []
        for _number in range(400):
            seen.append(chance.random() < rate)
            last = seen[-200:]
            if len(last) >= 20 and Standing(len(last), sum(last)).surely > 0.1:
                return True
        return False

    assert not any(begins(0.05, seed) for seed in range(20))
    assert all(begins(0.3, seed) for seed in range(20))


def test_the_admins_are_told_once_by_mail_and_the_webhooks_too(deployment, project, alice, nudges) -> None:
    add_webhook(
        project=project,
        url="https://example.com",
        events=[WebhookEvent.ALERT_BEGAN, WebhookEvent.ALERT_ENDED],
        by=alice,
    )
    alert = an_alert(deployment)
    assert nudges[-1] == ("deployment.tasks.tell_of_alert", (alert.pk,))
    assert mail_alert(alert_pk=alert.pk)
    assert not mail_alert(alert_pk=alert.pk), "two workers, one mail"
    talk(deployment, range(100, 300))
    watch()
    assert mail_alert(alert_pk=alert.pk)
    began, ended = mail.outbox
    assert (began.to, began.subject) == ([alice.email], f"Alert: Bad answers in {project.name}")
    assert "20 of 40 conversations; the limit is 10 %" in began.body
    assert f"/p/{project.slug}/alerts/" in began.body
    assert ended.subject.startswith("Over: ")
    events = list(WebhookDelivery.objects.order_by("pk").values_list("event", flat=True))
    assert events == ["alert.began", "alert.ended"]


def test_a_mail_that_did_not_go_out_is_sent_later(deployment, alice, monkeypatch) -> None:
    alert = an_alert(deployment)

    def refuse(*_args, **_kwargs) -> None:
        raise SMTPException

    monkeypatch.setattr("deployment.actions.alert_mail.send_mail", refuse)
    with pytest.raises(SMTPException):
        mail_alert(alert_pk=alert.pk)
    monkeypatch.undo()
    assert not mail_alert(alert_pk=alert.pk), "another worker may be at it"
    Alert.objects.update(claimed_at=timezone.now() - timedelta(minutes=3))
    assert mail_alert(alert_pk=alert.pk)


def test_nobody_is_told_in_a_silence(deployment, project, alice, nudges) -> None:
    add_webhook(project=project, url="https://example.com", events=[WebhookEvent.ALERT_BEGAN], by=alice)
    silence(project=project, measure=AlertMeasure.BAD, hours=8, by=alice)
    nudges.clear()
    alert = an_alert(deployment)
    assert (nudges, WebhookDelivery.objects.count(), mail_alert(alert_pk=alert.pk)) == ([], 0, False)
    silence(project=project, measure=AlertMeasure.BAD, hours=0, by=alice)
    assert AlertRule.objects.get().silenced_until is None


def test_an_open_alert_starts_one_cycle_once_enough_is_new(deployment, project) -> None:
    ExampleFactory(project=project)
    set_policy(project=project, on_alert=True, at_least=2)
    an_alert(deployment)
    ExampleFactory(project=project)
    assert start_due_cycles() == [], "one of the two was there before"
    ExampleFactory(project=project)
    (cycle,) = start_due_cycles()
    assert cycle.trigger == Trigger.ALERT
    Cycle.objects.update(state="stopped")
    assert start_due_cycles() == []


def test_one_person_looks_after_an_alert(deployment, alice, rita) -> None:
    alert = an_alert(deployment)
    assert take(alert=alert, by=rita)
    assert not take(alert=alert, by=alice)
    alert.refresh_from_db()
    assert alert.taken_by == rita


def test_the_pages_of_alerts(deployment, project, alice, bob, rita, sign_in) -> None:
    an_alert(deployment)
    page = sign_in(rita).get(reverse("deployment-alert-list", args=[project.slug])).content.decode()
    assert say_alert(Alert.objects.get()) in page
    assert "Alerts (1)" in page
    assert "alerts/rules/" not in page
    client, address = sign_in(alice), reverse("deployment-alert-rules", args=[project.slug])
    form = {f"{rule.measure}-{name}": value for rule in AlertRule.all_of(project) for name, value in fields_of(rule)}
    assert client.post(address, form | {"bad-threshold": "0"}).status_code == 422
    assert client.post(address, form | {"bad-threshold": "3"}).status_code == 302
    rules = {rule.measure: rule for rule in AlertRule.all_of(project)}
    assert (rules["bad"].threshold, rules["slow"].seconds) == (3.0, 10.0)
    silent = client.post(reverse("deployment-alert-silence", args=[project.slug]), {"measure": "bad", "hours": "24"})
    assert silent.status_code == 302
    assert AlertRule.objects.get(measure="bad").silenced_until is not None


def fields_of(rule: AlertRule) -> list[tuple[str, str]]:
    names = ["threshold", "window", "least", *(["seconds"] if rule.measure == "slow" else [])]
    return [("is_on", "on"), *((name, str(getattr(rule, name))) for name in names)]
