"""The addresses of /api/v1 that are about training."""

from django.urls import path

from labeling.api.endpoint import address
from training.api import base_model, dataset, export, preset
from training.api.rest import evaluation, freeze, job, model, run

_PRESETS = "p/<slug:slug>/presets/"
_JOB, _MODEL = "p/<slug:slug>/jobs/<slug:key>/", "p/<slug:slug>/models/<int:pk>/"
_DATASET, _DATASETS = "p/<slug:slug>/datasets/<int:number>/", "p/<slug:slug>/datasets/"
_EVALUATIONS = "p/<slug:slug>/evaluations/"

urlpatterns = [
    path("p/<slug:slug>/base-models/", address(GET=base_model.base_model_list), name="api-base-models"),
    path("p/<slug:slug>/base-models/<slug:key>/", address(GET=base_model.base_model_show), name="api-base-model"),
    path("p/<slug:slug>/jobs/", address(GET=job.job_list, POST=job.job_create), name="api-jobs"),
    path("p/<slug:slug>/jobs/compare/", address(GET=run.job_compare), name="api-job-compare"),
    path(_JOB, address(GET=job.job_show), name="api-job"),
    path(f"{_JOB}preflight/", address(GET=run.job_preflight), name="api-job-preflight"),
    path(f"{_JOB}start/", address(POST=job.job_start), name="api-job-start"),
    path(f"{_JOB}pause/", address(POST=job.job_pause), name="api-job-pause"),
    path(f"{_JOB}resume/", address(POST=job.job_resume), name="api-job-resume"),
    path(f"{_JOB}cancel/", address(POST=job.job_cancel), name="api-job-cancel"),
    path(f"{_JOB}retry/", address(POST=job.job_retry), name="api-job-retry"),
    path(f"{_JOB}priority/", address(POST=job.job_priority), name="api-job-priority"),
    path(f"{_JOB}events/", address(GET=run.job_events), name="api-job-events"),
    path(f"{_JOB}metrics/", address(GET=run.job_metrics), name="api-job-metrics"),
    path(f"{_JOB}checkpoints/", address(GET=run.job_checkpoints), name="api-job-checkpoints"),
    path(
        f"{_JOB}checkpoints/<int:step>/model/",
        address(POST=run.job_checkpoint_model),
        name="api-job-checkpoint-model",
    ),
    path("p/<slug:slug>/models/", address(GET=model.model_list), name="api-models"),
    path(_MODEL, address(GET=model.model_show), name="api-model"),
    path(f"{_JOB}tensorboard/", address(GET=run.job_tensorboard), name="api-job-tensorboard"),
    path(f"{_MODEL}gguf/", address(GET=model.model_gguf), name="api-model-gguf"),
    path(f"{_MODEL}download/", address(GET=model.model_download), name="api-model-download"),
    path(_DATASETS, address(GET=dataset.dataset_list, POST=freeze.dataset_freeze), name="api-datasets"),
    path(f"{_DATASETS}preview/", address(POST=freeze.dataset_preview), name="api-dataset-preview"),
    path(_DATASET, address(GET=dataset.dataset_show), name="api-dataset"),
    path(f"{_DATASET}note/", address(POST=dataset.dataset_note), name="api-dataset-note"),
    path(f"{_DATASET}rows/", address(GET=dataset.row_list), name="api-dataset-rows"),
    path(f"{_DATASET}rows/<int:position>/", address(GET=dataset.row_show), name="api-dataset-row"),
    path(f"{_DATASET}diff/", address(GET=dataset.dataset_diff), name="api-dataset-diff"),
    path(f"{_DATASET}exports/", address(GET=export.dataset_export_list), name="api-dataset-exports"),
    path(
        f"{_DATASET}export/",
        address(GET=export.dataset_export_file, POST=export.dataset_export_make),
        name="api-dataset-export",
    ),
    path(
        _EVALUATIONS,
        address(GET=evaluation.evaluation_list, POST=evaluation.evaluation_create),
        name="api-evaluations",
    ),
    path(f"{_EVALUATIONS}<slug:key>/", address(GET=evaluation.evaluation_show), name="api-evaluation"),
    path(f"{_EVALUATIONS}<slug:key>/cancel/", address(POST=evaluation.evaluation_cancel), name="api-evaluation-cancel"),
    path(_PRESETS, address(GET=preset.preset_list, POST=preset.preset_save), name="api-presets"),
    path(
        f"{_PRESETS}<int:pk>/",
        address(GET=preset.preset_show, PATCH=preset.preset_rename, DELETE=preset.preset_delete),
        name="api-preset",
    ),
]
