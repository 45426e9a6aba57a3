"""Where texts went, and taking them back."""

from dataclasses import dataclass
from typing import Any

from rest_framework import exceptions, serializers

from deployment.queries.lineage import DeploymentUse, deployments_with
from labeling.actions.retraction import retract_person, undo_retraction
from labeling.api.endpoint import LARGEST_KEY, Call, operation
from labeling.api.example import RetractionAsked
from labeling.api.shapes import Person
from labeling.models import Example, Membership, Retraction
from labeling.states import Role
from training.actions.errors import TrainingError
from training.actions.retraining import retrain_without_retracted
from training.models import Job, TunedModel
from training.queries.lineage import ModelUse, Uses, texts_of_examples, texts_of_person, texts_of_retraction, uses_of


class VersionUseShape(serializers.Serializer):
    version = serializers.IntegerField(source="version.number")
    n_rows = serializers.IntegerField()


class ModelUseShape(serializers.Serializer):
    model = serializers.CharField(source="model.name")
    n_rows = serializers.IntegerField(help_text="in the version that it was trained on")
    n_inherited = serializers.IntegerField(help_text="learnt by the model that it goes on from")
    is_deleted = serializers.SerializerMethodField()

    def get_is_deleted(self, use: ModelUse) -> bool:
        return use.model.deleted_at is not None


class DeploymentUseShape(serializers.Serializer):
    deployment = serializers.CharField(source="deployment.name")
    model = serializers.CharField(source="model.name")
    n_rows = serializers.IntegerField(source="n")
    is_live = serializers.BooleanField()
    since = serializers.DateTimeField()


class UsesShape(serializers.Serializer):
    """What holds the texts, each list newest first."""

    versions = VersionUseShape(many=True, source="uses.versions")
    jobs = serializers.ListField(child=serializers.CharField(), source="job_keys")
    models = ModelUseShape(many=True, source="uses.models")
    deployments = DeploymentUseShape(many=True)


class RetractionShape(serializers.ModelSerializer):
    person = Person(allow_null=True, help_text="whose work it was; null for one example")
    by = Person(allow_null=True)
    undone_by = Person(allow_null=True)

    class Meta:
        model = Retraction
        fields = ["id", "person", "reason", "by", "at", "undone_by", "undone_at"]


class WholeRetractionShape(serializers.Serializer):
    retraction = RetractionShape()
    n_examples = serializers.IntegerField()
    n_pairs = serializers.IntegerField()
    n_tests = serializers.IntegerField()
    held_by = UsesShape(source="*")


class LineageAsked(serializers.Serializer):
    """One of the three."""

    example = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_KEY)
    case = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_KEY)
    submission = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_KEY)


class RetrainAsked(serializers.Serializer):
    model = serializers.CharField(max_length=200, help_text="the name of the model to train anew")


class JobMade(serializers.Serializer):
    job = serializers.CharField(source="key")
    version = serializers.IntegerField(source="dataset_version.number")


class Refused(exceptions.APIException):
    status_code = 409
    default_code = "not_trained"


@dataclass(frozen=True)
class Held:
    """The texts' whereabouts, and the retraction that they are of."""

    uses: Uses
    deployments: list[DeploymentUse]
    retraction: Retraction | None = None

    @property
    def job_keys(self) -> list[str]:
        return [job.key for job in self.uses.jobs]

    @property
    def n_examples(self) -> int:
        return self.retraction.examples.count() if self.retraction else 0

    @property
    def n_pairs(self) -> int:
        return self.retraction.pairs.count() if self.retraction else 0

    @property
    def n_tests(self) -> int:
        return self.retraction.tests.count() if self.retraction else 0


def _held(uses: Uses, retraction: Retraction | None = None) -> Held:
    return Held(uses, deployments_with(uses.models), retraction)


def _find(call: Call, pk: int) -> Retraction:
    rows = Retraction.objects.visible_to(call.membership).select_related("project", "person", "by", "undone_by")
    return call.find(rows, pk=pk)  # type: ignore[no-any-return]


def _whole(call: Call, retraction: Retraction) -> Held:
    return _held(uses_of(call.project, texts_of_retraction(retraction)), retraction)


def _member(call: Call, pk: int) -> Membership:
    return call.find(call.project.memberships.select_related("user"), pk=pk)  # type: ignore[no-any-return]


@operation(Role.REVIEWER, query=LineageAsked, answer=UsesShape)
def lineage_show(call: Call) -> Held:
    """Say which versions, jobs, models and deployments hold an example, a case's or a submission's text."""
    fields = {"example": "pk", "case": "correction__case", "submission": "submission"}
    asked = {fields[name]: value for name, value in call.query.items()}
    if len(asked) != 1:
        raise serializers.ValidationError({"example": ["Name an example, a case or a submission."]})
    examples = Example.objects.filter(project=call.project, **asked)
    return _held(uses_of(call.project, texts_of_examples(examples)))


@operation(Role.ADMIN, answer=UsesShape)
def person_lineage(call: Call, pk: int) -> Held:
    """Say which versions, jobs, models and deployments hold work of a person."""
    return _held(uses_of(call.project, texts_of_person(call.project, _member(call, pk).user)))


@operation(Role.ADMIN, body=RetractionAsked, answer=WholeRetractionShape, status=201)
def person_retract(call: Call, pk: int) -> Held:
    """Take all work of a person out of all later dataset versions."""
    user = _member(call, pk).user
    return _whole(call, retract_person(project=call.project, person=user, by=call.user, reason=call.body["reason"]))


@operation(Role.ADMIN, answer=RetractionShape, is_list=True)
def retraction_list(call: Call) -> dict[str, Any]:
    """List retractions, the newest first."""
    return call.page(Retraction.objects.visible_to(call.membership).select_related("person", "by", "undone_by"))


@operation(Role.ADMIN, answer=WholeRetractionShape)
def retraction_show(call: Call, pk: int) -> Held:
    """Show what was taken back, and what holds it."""
    return _whole(call, _find(call, pk))


@operation(Role.ADMIN, answer=WholeRetractionShape)
def retraction_undo(call: Call, pk: int) -> Held:
    """Bring back into use what was taken back."""
    retraction = _find(call, pk)
    undo_retraction(retraction=retraction, by=call.user)
    return _whole(call, retraction)


@operation(Role.ADMIN, body=RetrainAsked, answer=JobMade, status=201)
def retraction_retrain(call: Call, pk: int) -> Job:
    """Freeze what is left and train a model anew, with the settings of its own job."""
    _find(call, pk)
    model = TunedModel.objects.filter(project=call.project, name=call.body["model"]).first()
    if model is None:
        raise serializers.ValidationError({"model": ["There is no such model."]})
    try:
        return retrain_without_retracted(model=model, by=call.user)
    except TrainingError as error:
        raise Refused(str(error)) from error
