"""Cycles at /api/v1: starting one, where it stands, and when they start by themselves."""

from datetime import datetime
from typing import Any

from django.forms import model_to_dict
from rest_framework import serializers

from deployment.actions.cycle import cancel_cycle, start_cycle
from deployment.actions.policy import set_policy
from deployment.api.rest.refusal import refusals
from deployment.forms.cycle import CyclePolicyForm
from deployment.models import Cycle, CyclePolicy
from deployment.queries.policy import policy_of
from deployment.states import CycleState, Reach, Trigger
from labeling.api.endpoint import Call, operation
from labeling.api.shapes import Person
from labeling.states import Role

PARTS = ("dataset_version", "job__tuned_model", "evaluation", "started_by")


class CycleShape(serializers.ModelSerializer):
    state = serializers.ChoiceField(choices=CycleState.choices)
    trigger = serializers.ChoiceField(choices=Trigger.choices)
    reach = serializers.ChoiceField(choices=Reach.choices, help_text="how far it may go by itself")
    dataset_version = serializers.IntegerField(source="dataset_version.number", default=None, allow_null=True)
    job = serializers.CharField(source="job.key", default=None, allow_null=True)
    evaluation = serializers.CharField(source="evaluation.key", default=None, allow_null=True)
    model = serializers.CharField(source="job.tuned_model.name", default=None, allow_null=True)
    figures = serializers.DictField(source="summary", help_text="what `run_cycle` prints, once it was measured")
    why_stopped = serializers.CharField(source="stop_sentence", help_text="a sentence; empty unless it stopped")
    started_by = Person(allow_null=True, help_text="null for one that started by itself")

    class Meta:
        model = Cycle
        fields = [
            *("number", "state", "trigger", "reach", "dataset_version", "job", "evaluation", "model", "figures"),
            *("why_stopped", "stop_reason", "started_by", "started_at", "ended_at"),
        ]


class PolicyAsked(serializers.Serializer):
    """What is left out stays as it is."""

    at_count = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, help_text="so many new examples start one; null: no number"
    )
    cron = serializers.CharField(
        required=False, allow_blank=True, max_length=100, help_text="minute hour day month weekday; empty: no schedule"
    )
    on_alert = serializers.BooleanField(required=False, help_text="an open alert starts one")
    at_least = serializers.IntegerField(required=False, min_value=1, help_text="new examples that the two wait for")
    per_month = serializers.IntegerField(required=False, allow_null=True, min_value=1, help_text="most in thirty days")
    price_per_cycle = serializers.DecimalField(
        required=False, allow_null=True, max_digits=12, decimal_places=2, help_text="what costs more is not started"
    )
    price_per_month = serializers.DecimalField(required=False, allow_null=True, max_digits=12, decimal_places=2)
    rules_of = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=2**31 - 1,
        help_text="the number of a dataset version, by whose rules each cycle's is composed; null: all examples",
    )
    preset = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=2**31 - 1,
        help_text="the key of the preset by which is trained; null: everything automatic",
    )
    measures_replay = serializers.BooleanField(required=False, help_text="measured drift sets the replay's weight")
    reach = serializers.ChoiceField(required=False, choices=Reach.choices)
    canary_percent = serializers.IntegerField(required=False, min_value=1, max_value=99)


class PolicyShape(PolicyAsked):
    rules_of = serializers.IntegerField(source="rules_of.number", default=None, allow_null=True)
    preset = serializers.IntegerField(source="preset_id", allow_null=True)
    next_at = serializers.SerializerMethodField(help_text="by the schedule")
    skipped_at = serializers.DateTimeField(allow_null=True)
    skipped_for = serializers.SerializerMethodField(help_text="why the last one was skipped, a sentence")

    def get_next_at(self, policy: CyclePolicy) -> datetime | None:
        found = policy_of(policy.project)
        return found["next_at"] if found else None

    def get_skipped_for(self, policy: CyclePolicy) -> str:
        found = policy_of(policy.project)
        return str(found["skip"] or "") if found else ""


@operation(Role.ADMIN, answer=CycleShape, is_list=True)
def cycle_list(call: Call) -> dict[str, Any]:
    """List the cycles, newest first."""
    return call.page(_cycles(call))


@operation(Role.ADMIN, answer=CycleShape, status=201)
def cycle_start(call: Call) -> Cycle:
    """Start a cycle: freeze, train, evaluate, deploy if better. One at a time."""
    with refusals():
        return start_cycle(project=call.project, by=call.user)


@operation(Role.ADMIN, answer=CycleShape)
def cycle_show(call: Call, number: int) -> Cycle:
    """Show where a cycle stands and what it measured."""
    cycle: Cycle = call.find(_cycles(call), number=number)
    return cycle


@operation(Role.ADMIN, answer=CycleShape)
def cycle_cancel(call: Call, number: int) -> Cycle:
    """Stop a cycle. No example is lost: the next one takes them."""
    cycle = call.find(_cycles(call), number=number)
    with refusals():
        cancel_cycle(cycle=cycle, by=call.user)
    found: Cycle = _cycles(call).get(pk=cycle.pk)
    return found


@operation(Role.ADMIN, answer=PolicyShape)
def policy_show(call: Call) -> CyclePolicy:
    """Show when cycles start by themselves, what they learn, what they may cost and how far they go."""
    return _policy(call)


@operation(Role.ADMIN, body=PolicyAsked, answer=PolicyShape)
def policy_set(call: Call) -> CyclePolicy:
    """Say when cycles start by themselves, what they learn, what they may cost and how far they go."""
    row, asked = _policy(call), dict(call.body)
    if asked.get("rules_of"):
        version = call.project.dataset_versions.own().filter(number=asked["rules_of"]).first()
        if version is None:
            raise serializers.ValidationError({"rules_of": ["There is no dataset version of this number."]})
        asked["rules_of"] = version.pk
    form = CyclePolicyForm({**model_to_dict(row), **asked}, instance=row, project=call.project)
    if not form.is_valid():
        raise serializers.ValidationError(form.errors)
    set_policy(project=call.project, by=call.user, **form.cleaned_data)
    return _policy(call)


def _cycles(call: Call) -> Any:
    return Cycle.objects.visible_to(call.membership).select_related(*PARTS)


def _policy(call: Call) -> CyclePolicy:
    found = CyclePolicy.objects.select_related("rules_of", "preset").filter(project=call.project).first()
    return found or CyclePolicy(project=call.project)
