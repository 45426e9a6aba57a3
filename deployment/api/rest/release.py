"""The deployment at /api/v1: what is live, what is beside it, and taking a model a step further or back."""

from typing import Any

from rest_framework import serializers

from deployment.actions.candidate import promote, set_canary, set_rules, start_shadow, withdraw
from deployment.actions.errors import ReleaseConflict
from deployment.actions.release import deploy_model, ensure_deployment, roll_back
from deployment.api.rest.refusal import refusals
from deployment.models import Deployment, DeploymentChange
from deployment.states import ChangeKind, Stage
from labeling.api.endpoint import Call, operation
from labeling.api.shapes import Person
from labeling.states import Role
from training.models import TunedModel

CHANGED = "The deployment has changed meanwhile. Look at it again, then decide."
RULES = ("canary_after", "rule_percent", "live_after", "is_guarded", "shadow_percent", "shadow_per_minute")


class ReleaseRulesShape(serializers.ModelSerializer):
    """What the deployment does by itself."""

    class Meta:
        model = Deployment
        fields = RULES


class DeploymentShape(serializers.ModelSerializer):
    base_model = serializers.CharField(source="base_model.slug")
    live = serializers.CharField(source="live_name", help_text="what answers: a model, or the base model as it is")
    candidate = serializers.CharField(source="candidate_model.name", default=None, allow_null=True)
    stage = serializers.ChoiceField(choices=Stage.choices, allow_blank=True, help_text="of the candidate")
    rules = ReleaseRulesShape(source="*")

    class Meta:
        model = Deployment
        fields = ["name", "base_model", "live", "candidate", "stage", "canary_percent", "stage_since", "rules"]


class ReleaseChangeShape(serializers.ModelSerializer):
    kind = serializers.ChoiceField(choices=ChangeKind.choices)
    from_model = serializers.CharField(source="from_model.name", default=None, allow_null=True)
    to_model = serializers.CharField(
        source="to_model.name", default=None, allow_null=True, help_text="null: the base model"
    )
    percent = serializers.IntegerField(source="weight", help_text="of the conversations")
    evaluation = serializers.CharField(source="evaluation.key", default=None, allow_null=True)
    by = Person(allow_null=True, help_text="null where it was done by rule")

    class Meta:
        model = DeploymentChange
        fields = ["id", "kind", "from_model", "to_model", "percent", "reason", "evaluation", "by", "at"]


class StepAsked(serializers.Serializer):
    model = serializers.CharField(max_length=200, help_text="its name")
    reason = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=500, help_text="needed against the gate"
    )


class CandidateAsked(StepAsked):
    stage = serializers.ChoiceField(choices=Stage.choices)
    percent = serializers.IntegerField(
        required=False, min_value=1, max_value=99, help_text="of the conversations; needed for a canary"
    )

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["stage"] == Stage.CANARY and "percent" not in data:
            raise serializers.ValidationError(
                {"percent": ["Say how many percent of the conversations it is to answer."]}
            )
        return data


class RollBackAsked(serializers.Serializer):
    live = serializers.CharField(
        max_length=200, help_text="what you saw as live; so a second call goes no further back"
    )
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)


@operation(Role.ADMIN, answer=DeploymentShape)
def deployment_show(call: Call) -> Deployment:
    """Show what is live and what is beside it."""
    return _deployment(call)


@operation(Role.ADMIN, body=ReleaseRulesShape, answer=DeploymentShape)
def deployment_rules(call: Call) -> Deployment:
    """Set what the deployment does by itself; what is left out stays as it is."""
    set_rules(deployment=_deployment(call), rules=call.body, by=call.user)
    return _deployment(call)


@operation(Role.ADMIN, answer=ReleaseChangeShape, is_list=True)
def deployment_changes(call: Call) -> dict[str, Any]:
    """List what was deployed, put beside, promoted, withdrawn and rolled back, newest first."""
    rows = DeploymentChange.objects.filter(deployment__project=call.project)
    return call.page(rows.select_related("from_model", "to_model", "evaluation", "by"))


@operation(Role.ADMIN, body=StepAsked, answer=DeploymentShape)
def deployment_live(call: Call) -> Deployment:
    """Let a model answer everything from the next conversation on."""
    deployment = _deployment(call)
    with refusals():
        deploy_model(deployment=deployment, model=_model(call), by=call.user, reason=call.body["reason"])
    return _deployment(call)


@operation(Role.ADMIN, body=CandidateAsked, answer=DeploymentShape)
def deployment_candidate(call: Call) -> Deployment:
    """Put a model beside the live one, in shadow or as a canary, or change the share of the canary."""
    deployment, model, asked = _deployment(call), _model(call), call.body
    who = {"deployment": deployment, "model": model, "by": call.user, "reason": asked["reason"]}
    with refusals():
        if asked["stage"] == Stage.CANARY:
            set_canary(percent=asked["percent"], **who)
        else:
            start_shadow(**who)
    return _deployment(call)


@operation(Role.ADMIN, body=StepAsked, answer=DeploymentShape)
def deployment_promote(call: Call) -> Deployment:
    """Let the candidate answer everything. `model` is what you saw as the candidate."""
    with refusals():
        promote(deployment=_with_candidate(call), by=call.user, reason=call.body["reason"])
    return _deployment(call)


@operation(Role.ADMIN, body=StepAsked, answer=DeploymentShape)
def deployment_withdraw(call: Call) -> Deployment:
    """Take the candidate away. `model` is what you saw as the candidate."""
    with refusals():
        withdraw(deployment=_with_candidate(call), by=call.user, reason=call.body["reason"])
    return _deployment(call)


@operation(Role.ADMIN, body=RollBackAsked, answer=DeploymentShape)
def deployment_roll_back(call: Call) -> Deployment:
    """Let what was live before answer again."""
    deployment = _deployment(call)
    with refusals():
        if deployment.live_name != call.body["live"]:
            raise ReleaseConflict(CHANGED)
        roll_back(deployment=deployment, by=call.user, reason=call.body["reason"])
    return _deployment(call)


def _deployment(call: Call) -> Deployment:
    return ensure_deployment(project=call.project)


def _with_candidate(call: Call) -> Deployment:
    """The deployment, whose candidate has to be the model that was named. Raises ReleaseConflict."""
    deployment = _deployment(call)
    if deployment.candidate_model_id != _model(call).pk:
        raise ReleaseConflict(CHANGED)
    return deployment


def _model(call: Call) -> TunedModel:
    found = TunedModel.objects.visible_to(call.membership).named(call.body["model"]).first()
    if found is None:
        raise serializers.ValidationError({"model": ["There is no model of this name."]})
    return found
