"""Jobs and models as /api/v1 shows them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from training.models import Event, Job, JobPreflight, TunedModel
from training.preflight_words import problem_sentence
from training.queries.queue import find_place
from training.states import CheckpointState, ErrorKind, JobMethod, JobState, JobTuning


class JobErrorShape(serializers.Serializer):
    kind = serializers.CharField(help_text="data, memory, disk, package or code")
    message = serializers.CharField(help_text="what happened")
    advice = serializers.CharField(help_text="what can be done about it")


class PlaceShape(serializers.Serializer):
    n_before = serializers.IntegerField(help_text="jobs that come first, running or waiting")
    starts_in_s = serializers.FloatField(allow_null=True, help_text="null where it cannot be told")


class JobSummaryShape(serializers.ModelSerializer):
    state = serializers.ChoiceField(choices=JobState.choices)
    method = serializers.ChoiceField(choices=JobMethod.choices)
    tuning = serializers.ChoiceField(choices=JobTuning.choices)
    dataset_version = serializers.IntegerField(source="dataset_version.number")
    base_model = serializers.CharField(source="base_model.slug")
    parent = serializers.CharField(source="parent.name", default=None, allow_null=True, help_text="a model's name")
    model = serializers.CharField(
        source="tuned_model.name", default=None, allow_null=True, help_text="name of the model that it has made"
    )
    error = serializers.SerializerMethodField(help_text="why it failed, else null")

    class Meta:
        model = Job
        fields = [
            *("key", "state", "method", "tuning", "dataset_version", "base_model", "parent", "model", "suffix"),
            *("priority", "step", "n_steps", "remaining_s", "error", "created_at", "started_at", "finished_at"),
        ]

    @extend_schema_field(JobErrorShape(allow_null=True))
    def get_error(self, job: Job) -> dict[str, str] | None:
        if job.state != JobState.FAILED:
            return None
        advice = str(ErrorKind(job.error_kind).label) if job.error_kind in ErrorKind.values else ""
        return {"kind": job.error_kind, "message": job.error, "advice": advice}


class JobShape(JobSummaryShape):
    hyperparameters = serializers.DictField(help_text='as asked for: each "auto" or a number')
    setup = serializers.DictField(help_text="recipe, processes and fsdp, where asked for")
    result = serializers.DictField(help_text="what the trainer measured, and the hyperparameters that it used")
    place = serializers.SerializerMethodField(help_text="in the queue, null where it does not wait")

    class Meta(JobSummaryShape.Meta):
        fields = [*JobSummaryShape.Meta.fields, "seed", "hyperparameters", "setup", "result", "place"]

    @extend_schema_field(PlaceShape(allow_null=True))
    def get_place(self, job: Job) -> dict[str, Any] | None:
        place = find_place(job)
        return {"n_before": place.n_before, "starts_in_s": place.starts_in_s} if place else None


class EventShape(serializers.ModelSerializer):
    data = serializers.DictField()

    class Meta:
        model = Event
        fields = ["number", "at", "code", "data"]


class MetricsShape(serializers.Serializer):
    step = serializers.IntegerField()
    values = serializers.DictField(help_text="every figure of this step, by its name")


class CheckpointShape(MetricsShape):
    at = serializers.DateTimeField()
    is_kept = serializers.BooleanField(help_text="whether its files are still in the run directory")
    size_bytes = serializers.IntegerField(allow_null=True, help_text="of its weights, while they are kept")
    state = serializers.ChoiceField(CheckpointState.choices, allow_null=True, help_text="null: it is gone")
    model = serializers.CharField(allow_null=True, help_text="name of the model that was made of it")


class PreflightShape(serializers.ModelSerializer):
    is_ready = serializers.BooleanField(help_text="it is over, and nothing stands in the way")
    report = serializers.DictField(help_text="what was found, see docs/run-directory.md")
    estimate = serializers.DictField(help_text="tokens, seconds with an interval, price")
    problems = serializers.SerializerMethodField(help_text="what stops the job")
    warnings = serializers.SerializerMethodField()

    class Meta:
        model = JobPreflight
        fields = ["is_ready", "waits_for_start", "finished_at", "problems", "warnings", "estimate", "report"]

    def get_problems(self, preflight: JobPreflight) -> list[str]:
        return [problem_sentence(problem) for problem in preflight.problems]

    def get_warnings(self, preflight: JobPreflight) -> list[str]:
        return [problem_sentence(warning) for warning in preflight.report.get("warnings") or []]


class DifferenceShape(serializers.Serializer):
    name = serializers.CharField()
    values = serializers.ListField(help_text="one for each job, in their order")


class CurveShape(serializers.Serializer):
    job = serializers.CharField()
    points = MetricsShape(many=True)


class ComparedJobsShape(serializers.Serializer):
    jobs = JobSummaryShape(many=True)
    differences = DifferenceShape(many=True, help_text="what they were given and do not share")
    curves = CurveShape(many=True)


class ModelShape(serializers.ModelSerializer):
    base_model = serializers.CharField(source="base_model.slug")
    job = serializers.CharField(source="job.key")
    parent = serializers.CharField(source="job.parent.name", default=None, allow_null=True)
    dataset_version = serializers.IntegerField(source="job.dataset_version.number")
    is_ready = serializers.BooleanField(help_text="whether its weights are there")

    class Meta:
        model = TunedModel
        fields = ["id", "name", "alias", "base_model", "job", "parent", "dataset_version", "is_ready", "created_at"]


class ModelFileShape(serializers.Serializer):
    name = serializers.CharField()
    size_bytes = serializers.IntegerField()


class WholeModelShape(ModelShape):
    files = ModelFileShape(many=True)
    result = serializers.DictField(source="job.result", help_text="what the trainer measured")

    class Meta(ModelShape.Meta):
        fields = [*ModelShape.Meta.fields, "files", "result"]
