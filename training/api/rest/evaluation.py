"""Evaluations at /api/v1: measuring a model, and what came of it."""

from typing import Any

from rest_framework import serializers

from labeling.api.endpoint import Call, operation
from labeling.states import Role
from training.actions.errors import NotPossible
from training.actions.evaluation import cancel_evaluation, request_evaluation
from training.api.rest.job import Refused
from training.models import Evaluation, TunedModel
from training.queries import baseline_model, passes
from training.states import EvaluationState

PARTS = ("base_model", "tuned_model", "baseline__base_model", "baseline__tuned_model")


class EvaluationShape(serializers.ModelSerializer):
    model = serializers.CharField(source="model_name")
    baseline = serializers.CharField(source="baseline.key", default=None, allow_null=True)
    compared_with = serializers.CharField(
        source="baseline.model_name", default=None, allow_null=True, help_text="the baseline's model"
    )
    state = serializers.ChoiceField(choices=EvaluationState.choices)
    metrics = serializers.DictField(help_text="what was measured")
    gate = serializers.ListField(
        child=serializers.DictField(), help_text="each rule with its limit and whether it holds; empty until judged"
    )
    passes = serializers.SerializerMethodField(help_text="whether the gate has judged it and every rule holds")

    class Meta:
        model = Evaluation
        fields = [
            *("key", "model", "baseline", "compared_with", "state", "n_done", "n_total", "metrics", "gate", "passes"),
            *("error", "created_at", "finished_at"),
        ]

    def get_passes(self, row: Evaluation) -> bool:
        return passes(row)


class EvaluationAsked(serializers.Serializer):
    model = serializers.CharField(max_length=200, help_text="its name")


@operation(Role.REVIEWER, answer=EvaluationShape, is_list=True)
def evaluation_list(call: Call) -> dict[str, Any]:
    """List the evaluations, newest first."""
    return call.page(_evaluations(call))


@operation(Role.ADMIN, body=EvaluationAsked, answer=EvaluationShape, status=201)
def evaluation_create(call: Call) -> Evaluation:
    """Measure a model against the suites as they stand, compared with the model that it was trained from."""
    models = TunedModel.objects.visible_to(call.membership).select_related("base_model")
    model = models.named(call.body["model"]).first()
    if model is None:
        raise serializers.ValidationError({"model": ["There is no model of this name."]})
    who: dict[str, Any] = {"project": call.project, "base_model": model.base_model, "by": call.user}
    baseline = request_evaluation(tuned_model=baseline_model(model), **who)
    return request_evaluation(tuned_model=model, baseline=baseline, **who)


@operation(Role.REVIEWER, answer=EvaluationShape)
def evaluation_show(call: Call, key: str) -> Evaluation:
    """Show how far an evaluation is, or what it has measured."""
    evaluation: Evaluation = call.find(_evaluations(call), key=key)
    return evaluation


@operation(Role.ADMIN, answer=EvaluationShape)
def evaluation_cancel(call: Call, key: str) -> Evaluation:
    """Stop an evaluation for good."""
    evaluation: Evaluation = call.find(_evaluations(call), key=key)
    try:
        cancel_evaluation(evaluation=evaluation, by=call.user)
    except NotPossible as error:
        raise Refused(str(error)) from error
    return evaluation


def _evaluations(call: Call) -> Any:
    return Evaluation.objects.visible_to(call.membership).select_related(*PARTS)
