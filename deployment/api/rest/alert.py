"""Alerts at /api/v1: what is wrong now, what was, and when people are told."""

from typing import Any

from django.http import Http404
from rest_framework import serializers

from deployment.actions import alert as actions
from deployment.forms.alert import AlertRuleForm, SilenceForm
from deployment.models import Alert, AlertRule
from deployment.queries.alert import say_alert
from deployment.states import AlertEnd, AlertMeasure
from labeling.api.endpoint import Call, PageAsked, operation
from labeling.api.shapes import Person
from labeling.states import Role


class AlertsAsked(PageAsked):
    is_open = serializers.BooleanField(required=False, allow_null=True, default=None, help_text="without it all")


class AlertShape(serializers.ModelSerializer):
    measure = serializers.ChoiceField(choices=AlertMeasure.choices)
    sentence = serializers.SerializerMethodField()
    end = serializers.ChoiceField(choices=AlertEnd.choices, allow_blank=True, help_text="why it is over")
    taken_by = Person(allow_null=True, help_text="who looks after it")

    class Meta:
        model = Alert
        fields = [
            *("id", "measure", "sentence", "threshold", "model_name", "n", "n_bad", "began_at", "seen_at"),
            *("ended_at", "end", "taken_by", "taken_at", "is_silent"),
        ]

    def get_sentence(self, alert: Alert) -> str:
        return str(say_alert(alert))


class AlertRuleShape(serializers.ModelSerializer):
    """When people are told of one measure. `threshold` in percent, `window` in minutes."""

    measure = serializers.ChoiceField(choices=AlertMeasure.choices, read_only=True)
    silenced_until = serializers.DateTimeField(allow_null=True, read_only=True)

    class Meta:
        model = AlertRule
        fields = ["measure", *actions.RULE_FIELDS, "silenced_until"]
        extra_kwargs = {name: {"required": False} for name in actions.RULE_FIELDS}


class SilenceAsked(serializers.Serializer):
    hours = serializers.ChoiceField(choices=[0, *(hours for hours, _label in SilenceForm.HOURS)], help_text="0 ends it")


@operation(Role.REVIEWER, query=AlertsAsked, answer=AlertShape, is_list=True)
def alert_list(call: Call) -> dict[str, Any]:
    """List the alerts, newest first."""
    rows, is_open = _alerts(call), call.query["is_open"]
    return call.page(rows if is_open is None else rows.filter(ended_at__isnull=is_open))


@operation(Role.REVIEWER, answer=AlertShape)
def alert_take(call: Call, pk: int) -> Alert:
    """Say that you look after an alert. `taken_by` of the answer is somebody else where they were faster."""
    actions.take(alert=call.find(_alerts(call), pk=pk), by=call.user)
    alert: Alert = _alerts(call).get(pk=pk)
    return alert


@operation(Role.ADMIN, answer=AlertRuleShape, is_list=True)
def alert_rule_list(call: Call) -> list[AlertRule]:
    """List the rules, one for each measure."""
    return AlertRule.all_of(call.project)


@operation(Role.ADMIN, body=AlertRuleShape, answer=AlertRuleShape)
def alert_rule_set(call: Call, measure: str) -> AlertRule:
    """Change when people are told of one measure; what is left out stays as it is."""
    rule = _rule(call, measure)
    form = AlertRuleForm(rule=rule)
    if "seconds" in call.body and "seconds" not in form.fields:
        raise serializers.ValidationError({"seconds": ["Only the rule of slow answers has it."]})
    values = {name: getattr(rule, name) for name in form.fields} | call.body
    form = AlertRuleForm({f"{measure}-{name}": value for name, value in values.items()}, rule=rule)
    if not form.is_valid():
        raise serializers.ValidationError(form.errors)
    actions.set_alert_rules(project=call.project, values=[{"measure": measure, **form.cleaned_data}], by=call.user)
    return _rule(call, measure)


@operation(Role.ADMIN, body=SilenceAsked, answer=AlertRuleShape)
def alert_silence(call: Call, measure: str) -> AlertRule:
    """Tell nobody of alerts of this measure for some hours. They are still listed."""
    rule = _rule(call, measure)
    return actions.silence(
        project=call.project, measure=AlertMeasure(rule.measure), hours=call.body["hours"], by=call.user
    )


def _alerts(call: Call) -> Any:
    return Alert.objects.visible_to(call.membership).select_related("taken_by", "project")


def _rule(call: Call, measure: str) -> AlertRule:
    found = next((rule for rule in AlertRule.all_of(call.project) if rule.measure == measure), None)
    if found is None:
        raise Http404
    return found
