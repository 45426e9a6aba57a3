"""Files, fine-tuning jobs, and their legacy form."""

from deployment.api.document.parts import (
    FLAG,
    MOMENT,
    NUMBER,
    ORDER,
    TEXT,
    WHOLE,
    Paths,
    Schema,
    deleted,
    in_path,
    many,
    maybe,
    one_of,
    operation,
    page,
    pages,
    query,
    ref,
    shape,
    whole_list,
)
from labeling.states import Scope
from training.states import FilePurpose, JobState

FILES, JOBS = (Scope.FILES,), (Scope.JOBS,)
UPLOADED = ("fine-tune", "batch", "evals")
METADATA: Schema = {
    "type": "object",
    "maxProperties": 16,
    "propertyNames": {"maxLength": 64},
    "additionalProperties": {"type": "string", "maxLength": 512},
}
AUTO: Schema = {"anyOf": [one_of("auto"), NUMBER, {"type": "null"}]}
HYPERPARAMETERS = shape({}, n_epochs=AUTO, batch_size=AUTO, learning_rate_multiplier=AUTO)
PREFERENCE = shape({}, **HYPERPARAMETERS["properties"], beta=AUTO, sft_weight=AUTO)
EVENT_STREAM: Schema = {"description": "each a FineTuneEvent, oldest first, at last `[DONE]`."}

SCHEMAS: dict[str, Schema] = {
    "File": shape(
        {
            "id": TEXT,
            "object": one_of("file"),
            "bytes": WHOLE,
            "created_at": MOMENT,
            "expires_at": maybe(MOMENT),
            "filename": TEXT,
            "purpose": one_of(*FilePurpose.values),
            "status": one_of("processed", "deleted"),
            "status_details": {"type": "null"},
        }
    ),
    "Upload": {
        **shape(
            {"purpose": one_of(*UPLOADED), "file": {"type": "string", "format": "binary"}},
            note="A file has at most 512 MB. Rows to train on are checked, and the first that cannot be used refuses the file.",
            **{
                "expires_after[anchor]": one_of("created_at"),
                "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 30 * 24 * 3600},
            },
        ),
    },
    "Job": shape(
        {
            "id": TEXT,
            "object": one_of("fine_tuning.job"),
            "created_at": MOMENT,
            "finished_at": maybe(MOMENT),
            "model": TEXT,
            "fine_tuned_model": maybe(TEXT),
            "organization_id": TEXT,
            "status": one_of(*JobState.values),
            "training_file": maybe(TEXT),
            "validation_file": maybe(TEXT),
            "result_files": many(TEXT),
            "trained_tokens": maybe(WHOLE),
            "estimated_finish": maybe(MOMENT),
            "error": maybe(shape({"code": TEXT, "message": TEXT, "param": maybe(TEXT)})),
            "hyperparameters": {"type": "object"},
            "method": shape({"type": one_of("supervised", "dpo")}),
            "seed": WHOLE,
            "integrations": {"type": "array"},
            "metadata": maybe(METADATA),
            "user_provided_suffix": maybe(TEXT),
        }
    ),
    "JobRequest": shape(
        {"model": {"type": "string", "maxLength": 200}, "training_file": {"type": "string", "maxLength": 200}},
        validation_file=maybe({"type": "string", "maxLength": 200}),
        suffix=maybe({"type": "string", "maxLength": 64}),
        seed=maybe({"type": "integer", "minimum": 0, "maximum": 2**31 - 1}),
        metadata=maybe(METADATA),
        method=maybe(
            shape(
                {},
                type=one_of("supervised", "dpo"),
                supervised=shape({}, hyperparameters=HYPERPARAMETERS),
                dpo=shape({}, hyperparameters=PREFERENCE),
            )
        ),
        hyperparameters=maybe({**HYPERPARAMETERS, "description": "The older form; `method` wins."}),
        integrations=maybe(many(shape({"type": one_of("wandb"), "wandb": shape({"project": TEXT})}), maxItems=5)),
    ),
    "JobEvent": shape(
        {
            "id": TEXT,
            "object": one_of("fine_tuning.job.event"),
            "created_at": MOMENT,
            "level": one_of("info", "warn", "error"),
            "message": TEXT,
            "type": one_of("message", "metrics"),
            "data": maybe({"type": "object"}),
        }
    ),
    "Checkpoint": shape(
        {
            "id": TEXT,
            "object": one_of("fine_tuning.job.checkpoint"),
            "created_at": MOMENT,
            "fine_tuned_model_checkpoint": TEXT,
            "fine_tuning_job_id": TEXT,
            "step_number": WHOLE,
            "metrics": {"type": "object"},
        }
    ),
    "FineTune": shape(
        {
            "id": TEXT,
            "object": one_of("fine-tune"),
            "model": TEXT,
            "created_at": MOMENT,
            "updated_at": MOMENT,
            "status": one_of("pending", "running", "succeeded", "failed", "cancelled"),
            "fine_tuned_model": maybe(TEXT),
            "organization_id": TEXT,
            "hyperparams": {"type": "object"},
            "training_files": many(ref("File")),
            "validation_files": many(ref("File")),
            "result_files": many(ref("File")),
        },
        events=many(ref("FineTuneEvent")),
    ),
    "FineTuneRequest": shape(
        {"training_file": {"type": "string", "maxLength": 200}},
        validation_file=maybe({"type": "string", "maxLength": 200}),
        model={"type": ["string", "null"], "maxLength": 200, "default": "curie"},
        suffix=maybe({"type": "string", "maxLength": 40}),
        n_epochs=AUTO,
        batch_size=AUTO,
        learning_rate_multiplier=AUTO,
        prompt_loss_weight=maybe({"type": "number", "minimum": 0, "maximum": 1}),
        compute_classification_metrics=maybe(FLAG),
        classification_n_classes=maybe({"type": "integer", "minimum": 2, "maximum": 10_000}),
        classification_positive_class=maybe({"type": "string", "maxLength": 1000}),
        classification_betas=maybe(many(NUMBER, maxItems=16)),
    ),
    "FineTuneEvent": shape(
        {
            "object": one_of("fine-tune-event"),
            "level": one_of("info", "warn", "error"),
            "message": TEXT,
            "created_at": MOMENT,
        }
    ),
}

_file, _job = in_path("file_id", "A file's id."), in_path("job_id", "A job's id.")
_legacy = in_path("fine_tune_id", "A fine-tune's id.")


def _act(name: str, summary: str) -> Schema:
    return {"post": operation(name, summary, tag="jobs", scopes=JOBS, parameters=_job, answer=ref("Job"))}


PATHS: Paths = {
    "/v1/files": {
        "get": operation(
            "listFiles",
            "List the files, newest first",
            tag="files",
            scopes=FILES,
            parameters=[query("purpose", TEXT), ORDER, *pages(10_000, 10_000)],
            answer=page("File"),
        ),
        "post": operation(
            "createFile",
            "Upload a file",
            tag="files",
            scopes=FILES,
            body=ref("Upload"),
            media="multipart/form-data",
            answer=ref("File"),
        ),
    },
    "/v1/files/{file_id}": {
        "get": operation(
            "showFile",
            "Show a file",
            tag="files",
            scopes=(Scope.FILES, Scope.JOBS),
            parameters=_file,
            answer=ref("File"),
        ),
        "delete": operation(
            "deleteFile", "Delete a file", tag="files", scopes=FILES, parameters=_file, answer=deleted("file")
        ),
    },
    "/v1/files/{file_id}/content": {
        "get": operation(
            "readFile",
            "Return the bytes as they came",
            tag="files",
            scopes=(Scope.FILES, Scope.JOBS),
            parameters=_file,
            answer={"type": "string", "format": "binary"},
            answer_media="application/octet-stream",
        )
    },
    "/v1/fine_tuning/jobs": {
        "get": operation(
            "listJobs",
            "List the jobs, newest first",
            tag="jobs",
            scopes=JOBS,
            parameters=[
                ORDER,
                *pages(100, 20),
                {
                    **query(
                        "metadata", {"type": "object", "additionalProperties": TEXT}, "Jobs that have these pairs."
                    ),
                    "style": "deepObject",
                    "explode": True,
                },
            ],
            answer=page("Job"),
        ),
        "post": operation(
            "createJob", "Start fine-tuning", tag="jobs", scopes=JOBS, body=ref("JobRequest"), answer=ref("Job")
        ),
    },
    "/v1/fine_tuning/jobs/{job_id}": {
        "get": operation("showJob", "Show a job", tag="jobs", scopes=JOBS, parameters=_job, answer=ref("Job"))
    },
    "/v1/fine_tuning/jobs/{job_id}/cancel": _act("cancelJob", "Stop a job for good"),
    "/v1/fine_tuning/jobs/{job_id}/pause": _act("pauseJob", "Pause a job"),
    "/v1/fine_tuning/jobs/{job_id}/resume": _act("resumeJob", "Let a paused job go on"),
    "/v1/fine_tuning/jobs/{job_id}/events": {
        "get": operation(
            "listJobEvents",
            "List a job's events, newest first",
            tag="jobs",
            scopes=JOBS,
            parameters=[*_job, *pages(1000, 20)],
            answer=page("JobEvent"),
        )
    },
    "/v1/fine_tuning/jobs/{job_id}/checkpoints": {
        "get": operation(
            "listCheckpoints",
            "List a job's checkpoints, newest first",
            tag="jobs",
            scopes=JOBS,
            parameters=[*_job, *pages(100, 10)],
            answer=page("Checkpoint"),
        )
    },
    "/v1/fine-tunes": {
        "get": operation(
            "listFineTunes", "List all, oldest first", tag="legacy", scopes=JOBS, answer=whole_list("FineTune")
        ),
        "post": operation(
            "createFineTune",
            "Start fine-tuning",
            tag="legacy",
            scopes=JOBS,
            body=ref("FineTuneRequest"),
            answer=ref("FineTune"),
        ),
    },
    "/v1/fine-tunes/{fine_tune_id}": {
        "get": operation(
            "showFineTune", "Show one", tag="legacy", scopes=JOBS, parameters=_legacy, answer=ref("FineTune")
        ),
        "delete": operation(
            "deleteFineTune",
            "Take an ended one off the list",
            tag="legacy",
            scopes=JOBS,
            parameters=_legacy,
            answer=deleted("fine-tune"),
        ),
    },
    "/v1/fine-tunes/{fine_tune_id}/cancel": {
        "post": operation(
            "cancelFineTune", "Stop it for good", tag="legacy", scopes=JOBS, parameters=_legacy, answer=ref("FineTune")
        )
    },
    "/v1/fine-tunes/{fine_tune_id}/events": {
        "get": operation(
            "listFineTuneEvents",
            "Tell its log, oldest first",
            tag="legacy",
            scopes=JOBS,
            parameters=[*_legacy, query("stream", one_of("true", "false"), "With true the log is told as it grows.")],
            answer=whole_list("FineTuneEvent"),
            event=EVENT_STREAM,
        )
    },
}
